"""Runs the rings of tests side by side, each in a place of its own, and says what they took: ``scripts/test``."""
