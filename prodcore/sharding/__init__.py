"""The shard map against the data: which map a router may trust, verify and repair."""
