"""Incus by its own command line: instances, networks, and programs run inside a container."""
