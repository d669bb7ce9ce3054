"""Long proofs under load and faults; each prints a table and judges it. Their short forms run with the tests."""
