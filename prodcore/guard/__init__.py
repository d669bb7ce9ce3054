"""The guard: sees a primary die, asks the freshest secondary to stand, keeps a successor ready."""
