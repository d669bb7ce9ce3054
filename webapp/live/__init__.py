"""What a worker process keeps while it runs: the catalogue, the cluster's picture, the drill desk."""
