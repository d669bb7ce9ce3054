"""The address of a replica set: ``mongodb://user:password@host:port,…/database?replicaSet=name``."""

from __future__ import annotations

from typing import Any

from pymongo import MongoClient
from pymongo.errors import ConfigurationError, InvalidURI
from pymongo.monitoring import ServerHeartbeatListener
from pymongo.uri_parser import parse_uri

from prodcore.errors import ConfigError

Document = dict[str, Any]


class SetAddress:
    """A replica set's address, taken apart: its name, its members, and how to log in at each of them."""

    def __init__(self, uri: str) -> None:
        try:
            parsed = parse_uri(uri)
        except (InvalidURI, ConfigurationError, ValueError) as error:
            raise ConfigError(f"not a usable MongoDB address: {error}") from None
        options = parsed["options"]
        self.name: str = options.get("replicaSet") or ""
        if not self.name:
            raise ConfigError("a MongoDB address names no replica set", hint="add ?replicaSet=rsA (or rsB, rsU) to it")
        self.database: str = parsed["database"] or "products_db"
        self.members: list[str] = [f"{host}:{port}" for host, port in parsed["nodelist"]]
        self.login: Document = {k: v for k, v in options.items() if k.lower().startswith(("tls", "auth"))}
        if parsed["username"]:
            self.login |= {"username": parsed["username"], "password": parsed["password"]}
            self.login.setdefault("authSource", parsed["database"] or "admin")

    def watching_client(self, listener: ServerHeartbeatListener, name: str) -> MongoClient[Document]:
        """A client that does nothing but hear every member's heartbeat; ``name`` is how the servers' logs call it."""
        return MongoClient(
            self.members,
            replicaSet=self.name,
            heartbeatFrequencyMS=500,
            connectTimeoutMS=500,
            serverMonitoringMode="stream",
            appname=name,
            event_listeners=[listener],
            **self.login,
        )
