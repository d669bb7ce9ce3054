"""The shard map as data: where it is kept, and which map a router may trust."""
