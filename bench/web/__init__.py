"""The web bench: ours beside the seed's handlers, Eve and FastAPI, in one run on one machine."""
