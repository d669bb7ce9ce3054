"""The guard: sees a primary die, asks the freshest secondary to run for election, keeps a successor ready."""
