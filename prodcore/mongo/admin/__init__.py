"""A replica set as its operator sees it: status, elections, membership, drills and the guard."""
