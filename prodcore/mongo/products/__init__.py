"""Products of one shard, and the records that belong to them."""
