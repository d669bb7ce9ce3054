"""Users, passwords and tokens: a door to the core."""
