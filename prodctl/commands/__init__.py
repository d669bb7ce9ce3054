"""One file a noun: one group, one heading in the docs, one test file."""
