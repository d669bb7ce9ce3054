"""The way in from the internet: container → Incus proxy device → VM → NAT → tunnel, and what must hold on it.

The standard library alone, so that ``scripts/tunnel`` runs with a bare Python on the machine that has the tunnel.
"""
