"""A drill's load on a shard's products, straight through the catalogue that the services use themselves."""

from __future__ import annotations

from decimal import Decimal

from prodcore.catalog import Catalog
from prodcore.drill.ledger import State
from prodcore.drill.ports import Record
from prodcore.errors import ConfigError
from prodcore.history import Author
from prodcore.product import ProductDraft, ProductPatch
from prodcore.routing import ShardMap, name_key

_USERNAME = "failover-test"
_FIRST_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


class CatalogTraffic:
    """A ``prodcore.drill.ports.Traffic`` on the products whose names begin with ``prefix``, of the drill ``run``."""

    def __init__(self, catalog: Catalog, prefix: str, run: str) -> None:
        self._catalog = catalog
        self._prefix = prefix
        self._author = Author(_USERNAME, request_id=run)  # by which even the deleted ones are found and removed

    def name(self, number: int) -> str:
        """A product name that belongs to the shard; the prefix holds the run's id as a word."""
        return f"{self._prefix} {number:06}"

    def create(self, record: Record) -> None:
        """Add a product that is not for sale."""
        draft = ProductDraft(name=record.state.name, price=Decimal(1), stock=record.state.value, active=False)
        self._catalog.create(draft, self._author, record.id)

    def write(self, record: Record, state: State) -> int:
        """Edit name and stock."""
        patch = ProductPatch(name=state.name, stock=state.value)
        return self._catalog.edit(record.id, patch, self._author, record.version).version

    def delete(self, record: Record) -> None:
        """Delete the product."""
        self._catalog.delete(record.id, self._author, record.version)

    def read(self, record: Record) -> None:
        """Get the product."""
        self._catalog.get(record.id)

    def close(self) -> None:
        """The catalogue belongs to whoever opened it."""


def letter_of(shard_map: ShardMap, shard: str) -> str:
    """A first word that routes to the shard. Raises ConfigError when no letter or digit does."""
    for letter in _FIRST_LETTERS:
        if shard_map.shard_for(name_key(f"{letter} ")) == shard_map.shard_for(name_key(f"{letter} z")) == shard:
            return letter
    raise ConfigError(f"no product name that a drill could use belongs to {shard}")
