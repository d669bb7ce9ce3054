"""The installed program on one machine: supervisor, members, services."""
