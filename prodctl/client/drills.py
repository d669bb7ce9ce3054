"""A drill's load through the REST API, as any client makes it."""

from __future__ import annotations

from typing import Any

from prodcore.drill.ledger import State
from prodcore.drill.ports import Place, Record
from prodctl.client.api import ApiClient


class ApiTraffic:
    """A ``prodcore.drill.ports.Traffic`` on products with names of these places."""

    def __init__(self, client: ApiClient, home: Place, elsewhere: Place | None) -> None:
        self.home = home
        self.elsewhere = elsewhere
        self._client = client

    def create(self, record: Record) -> None:
        """POST a product that is not for sale, under an id of our own."""
        body = {"id": str(record.id), "price": "1", "active": False, **_content(record.state)}
        self._client.call("POST", "/products", body=body)

    def write(self, record: Record, state: State) -> int:
        """PATCH name and stock of the version that was seen."""
        answer = self._client.call("PATCH", self._path(record), body=_content(state), headers=_seen(record))
        return int(answer["version"])

    def delete(self, record: Record) -> None:
        """DELETE the version that was seen."""
        self._client.call("DELETE", self._path(record), headers=_seen(record))

    def read(self, record: Record) -> None:
        """GET it."""
        self._client.call("GET", self._path(record))

    def close(self) -> None:
        """The client belongs to whoever made it."""

    def _path(self, record: Record) -> str:
        return f"/products/{record.id}"


def _content(state: State) -> dict[str, Any]:
    return {"name": state.name, "stock": state.value}


def _seen(record: Record) -> dict[str, str]:
    return {"If-Match": f'"{record.state.version}"'}
