"""A product: its fields, its history, the words it is found by, and its move to another shard."""
