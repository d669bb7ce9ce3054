"""The browser dashboard and the REST API: a door to the core."""
