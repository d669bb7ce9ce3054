"""Composition: the only place where settings become objects that talk to each other."""
