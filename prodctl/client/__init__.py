"""The REST API and the credentials, as the command line uses them."""
