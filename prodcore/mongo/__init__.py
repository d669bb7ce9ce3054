"""The only home of pymongo: clients, stores, admin commands. Driver errors leave it as the project's own."""
