"""Connections to a replica set: addresses, timeouts, retries, and the driver's errors as ours."""
