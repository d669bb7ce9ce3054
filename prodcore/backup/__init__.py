"""Backups: one directory each, with everything that the replica sets hold, and a manifest with a checksum a file."""
