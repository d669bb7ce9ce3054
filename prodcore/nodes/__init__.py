"""A hand on the processes of a cluster: start, stop, kill or pause one named member, wherever it runs."""
