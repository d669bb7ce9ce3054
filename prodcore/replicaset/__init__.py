"""What a replica set says of itself, and what follows from it; no connection is opened here."""
