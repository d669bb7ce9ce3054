"""Imports, exports and bulk edits: long work with progress, a journal and an undo."""
