"""Failover drills: break a member under load, measure, put it back, and prove that nothing acknowledged was lost."""
