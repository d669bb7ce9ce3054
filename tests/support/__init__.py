"""What the rings share."""
