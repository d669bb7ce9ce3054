"""The system in Incus containers: from one description to running services."""
