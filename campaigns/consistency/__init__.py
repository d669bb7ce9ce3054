"""A checker of the system's promises that knows nothing of its code: HTTP, a ledger, a judge, and faults."""
