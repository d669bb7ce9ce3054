"""A drill's load on a shard's products, straight through the catalogue that the services use themselves."""

from __future__ import annotations

from decimal import Decimal

from prodcore.catalog import Catalog
from prodcore.catalog.stores import TRAFFIC_CATEGORY
from prodcore.drill.ledger import State
from prodcore.drill.ports import Place, Record
from prodcore.errors import ConfigError
from prodcore.product.history import Author
from prodcore.product.model import ProductDraft, ProductPatch
from prodcore.routing import ShardMap, name_key

_USERNAME = "failover-test"
_FIRST_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


class CatalogTraffic:
    """A ``prodcore.drill.ports.Traffic`` on products with names of these places."""

    def __init__(self, catalog: Catalog, home: Place, elsewhere: Place | None) -> None:
        self.home = home
        self.elsewhere = elsewhere
        self._catalog = catalog
        self._author = Author(_USERNAME)

    def create(self, record: Record) -> None:
        """Add a product that is not for sale."""
        draft = ProductDraft(
            name=record.state.name,
            category=TRAFFIC_CATEGORY,
            price=Decimal(1),
            stock=record.state.value,
            active=False,
        )
        self._catalog.create(draft, self._author, record.id)

    def write(self, record: Record, state: State) -> int:
        """Edit name and stock."""
        patch = ProductPatch(name=state.name, stock=state.value)
        return self._catalog.edit(record.id, patch, self._author, record.state.version).version

    def delete(self, record: Record) -> None:
        """Delete the product."""
        self._catalog.delete(record.id, self._author, record.state.version)

    def read(self, record: Record) -> None:
        """Get the product."""
        self._catalog.get(record.id)

    def close(self) -> None:
        """The catalogue belongs to whoever opened it."""


def places_of(shard_map: ShardMap, shard: str, run: str) -> tuple[Place, Place | None]:
    """Names of the shard and of another one, for the drill ``run``."""
    others = [name for name in shard_map.shards if name != shard]
    home, *elsewhere = (Place(name, f"{letter_of(shard_map, name)} {run}") for name in (shard, *others[:1]))
    return home, elsewhere[0] if elsewhere else None


def letter_of(shard_map: ShardMap, shard: str) -> str:
    """A first word that routes to the shard. Raises ConfigError when no letter or digit does."""
    for letter in _FIRST_LETTERS:
        if shard_map.shard_for(name_key(f"{letter} ")) == shard_map.shard_for(name_key(f"{letter} z")) == shard:
            return letter
    raise ConfigError(f"no product name that a drill could use belongs to {shard}")
