"""Start, stop, kill and pause the process of a member, whoever supervises it."""
