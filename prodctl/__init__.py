"""The command line: a door to the core."""

__version__ = "0.1.0"
