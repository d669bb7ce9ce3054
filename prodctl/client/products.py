"""Products through the REST API, with what a careful caller does about lost answers and ambiguous names."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prodcore.errors import (
    InvalidInput,
    OutcomeUnknown,
    ProductDeleted,
    ProductNotFound,
    ShardUnavailable,
    Unavailable,
    UnroutableName,
    VersionConflict,
)
from prodcore.routing import fold, name_key
from prodctl.client.api import ApiClient

if TYPE_CHECKING:
    from prodcore.drill.ledger import State
    from prodcore.drill.load import DrillRecord, Place

Product = dict[str, Any]

MAX_PAGE = 200
_MAX_SEARCH = 100
_PAUSE_SECONDS = 0.25


def create(client: ApiClient, product: Product, notify: Callable[[str], None]) -> Product:
    """Create a product, whose ``id`` makes a repeated request the same creation.

    A lost answer is asked for again, as long as one request may take. Raises OutcomeUnknown with the id when none came.
    """
    gives_up = time.monotonic() + client.budget_seconds
    lost: OutcomeUnknown | None = None
    while True:
        try:
            created: Product = client.call("POST", "/products", body=product)
        except OutcomeUnknown as error:
            if lost is None:
                notify("no answer yet: asking again, with the same id")
            lost = error
        except Unavailable:
            if lost is None:  # nothing has happened: the caller may as well know now
                raise
        else:
            return created
        if time.monotonic() >= gives_up:
            raise OutcomeUnknown(
                f"it is not known whether {product['name']!r} was added, with id {product['id']}",
                hint=f"check with: prodctl product show {product['id']}; or repeat it with --id {product['id']}",
                product_id=product["id"],
            )
        time.sleep(_PAUSE_SECONDS)


def find(client: ApiClient, name_or_id: str, variant: str | None) -> Product:
    """The product with this id, or with this name and variant.

    Without a variant a name that only one product has is enough. Raises ProductNotFound, or InvalidInput naming the
    variants to choose from.
    """
    found: Product
    if (product_id := as_id(name_or_id)) and variant is None:
        found = client.call("GET", f"/products/{product_id}")
        return found
    try:
        found = client.call("GET", "/products/by-name", query={"name": name_or_id, "variant": variant or ""})
    except ProductNotFound:
        if variant is not None:
            raise
        return _only_one(client, name_or_id)
    return found


def pages(
    client: ApiClient,
    query: Mapping[str, Any],
    cursor: str | None = None,
    limit: int | None = None,
    path: str = "/products",
) -> Iterator[ListPage]:
    """Pages of what ``query`` asks for: up to ``limit`` products, or all with None."""
    left = limit
    while True:
        size = MAX_PAGE if left is None else min(left, MAX_PAGE)
        asked = {**query, "limit": size} | ({"cursor": cursor} if cursor else {})
        answer = client.call("GET", path, query=asked)
        page = ListPage(answer["items"], answer["next_cursor"], answer["unavailable"], answer.get("stale", []))
        yield page
        cursor = page.next_cursor
        left = None if left is None else left - len(page.items)
        if cursor is None or left == 0:
            return


@dataclass(frozen=True, slots=True)
class ListPage:
    """Some products, where the next page begins, and the shards whose products may be missing or out of date."""

    items: list[Product]
    next_cursor: str | None
    unavailable: list[str]
    stale: list[str]


@dataclass(slots=True)
class Lacks:
    """What a list over several pages may lack, or show as it was before."""

    unavailable: set[str] = field(default_factory=set)
    stale: set[str] = field(default_factory=set)

    def add(self, page: ListPage) -> None:
        """Note what a page says."""
        self.unavailable |= set(page.unavailable)
        self.stale |= set(page.stale)

    def as_dict(self) -> dict[str, Any]:
        """As JSON says it."""
        facts = {"unavailable": sorted(self.unavailable), "stale": sorted(self.stale)}
        return {"partial": bool(self.unavailable), **facts}

    def refuse(self, missing: str) -> None:
        """Raise ShardUnavailable if there is anything. ``missing`` says what that means where shards are silent."""
        said = [f"{', '.join(sorted(self.unavailable))} unavailable: {missing}"] if self.unavailable else []
        if self.stale:
            said.append(f"{', '.join(sorted(self.stale))} without a majority: it may be out of date")
        if said:
            raise ShardUnavailable("; ".join(said), hint="prodctl cluster status")


def _only_one(client: ApiClient, name: str) -> Product:
    try:
        key = name_key(name)
    except UnroutableName:
        raise InvalidInput("give a product's id or its name") from None
    words = name[:_MAX_SEARCH] if len(name) <= _MAX_SEARCH else name[:_MAX_SEARCH].rpartition(" ")[0]
    page = next(pages(client, {"search": words}, None, MAX_PAGE))
    named = [product for product in page.items if name_key(product["name"]) == key]
    if len(named) == 1:
        return named[0]
    if named:
        variants = "; ".join(repr(product["variant"]) for product in named[:10])
        raise InvalidInput(
            f"{len(named)} products are called {name!r}", hint=f"choose with --variant, or give the id: {variants}"
        )
    raise ProductNotFound(f"there is no product {name!r}", hint="prodctl product list --search WORDS", name=name)


def as_id(text: str) -> UUID | None:
    """The id that a text is; None for a name."""
    if len(text) != 36:
        return None
    try:
        return UUID(text)
    except ValueError:
        return None


def deleted_pages(client: ApiClient, limit: int | None) -> Iterator[ListPage]:
    """Pages of deleted products, the last one first: up to ``limit`` of them, or all with None."""
    return pages(client, {}, limit=limit, path="/products/deleted")


def find_deleted(client: ApiClient, name_or_id: str, variant: str | None) -> Product:
    """``id`` and ``version`` of the deleted product with this id, or that was called so.

    Raises ProductNotFound; InvalidInput naming the ids where several were; VersionConflict for one that is not
    deleted.
    """
    if product_id := as_id(name_or_id):
        try:
            live = client.call("GET", f"/products/{product_id}")
        except ProductDeleted as deleted:
            return {"id": str(product_id), "version": deleted.details["version"]}
        raise VersionConflict(f"{live['name']!r} is not deleted")
    answer = client.call("GET", "/products/deleted", query={"name": name_or_id, "limit": MAX_PAGE})
    named: list[Product] = [p for p in answer["items"] if variant is None or fold(p["variant"]) == fold(variant)]
    if len(named) == 1:
        return named[0]
    if named:
        ids = "; ".join(f"{p['id']} ({p['variant'] or 'no variant'}, {p['deleted_at'][:16]})" for p in named[:10])
        raise InvalidInput(f"{len(named)} deleted products were called {name_or_id!r}", hint=f"give the id: {ids}")
    if answer["unavailable"]:
        raise ShardUnavailable(f"{', '.join(answer['unavailable'])} unavailable: it may be deleted there")
    raise ProductNotFound(f"no deleted product was called {name_or_id!r}", hint="prodctl product deleted lists them")


def find_any(client: ApiClient, name_or_id: str, variant: str | None) -> Product:
    """``id`` of the product with this id or name, live or deleted. Raises what ``find`` raises."""
    if variant is None and (product_id := as_id(name_or_id)):
        return {"id": str(product_id)}
    try:
        return find(client, name_or_id, variant)
    except ProductNotFound as not_found:
        try:
            return find_deleted(client, name_or_id, variant)
        except ProductNotFound:
            raise not_found from None


class ApiTraffic:
    """A ``prodcore.drill.load.Traffic`` on products with names of these places."""

    def __init__(self, client: ApiClient, home: Place, elsewhere: Place | None) -> None:
        self.home = home
        self.elsewhere = elsewhere
        self._client = client

    def create(self, record: DrillRecord) -> None:
        """POST a product that is not for sale, under an id of our own."""
        body = {"id": str(record.id), "price": "1", "active": False, **_content(record.state)}
        self._client.call("POST", "/products", body=body)

    def write(self, record: DrillRecord, state: State) -> int:
        """PATCH name and stock of the version that was seen."""
        answer = self._client.call("PATCH", self._path(record), body=_content(state), headers=_seen(record))
        return int(answer["version"])

    def delete(self, record: DrillRecord) -> None:
        """DELETE the version that was seen."""
        self._client.call("DELETE", self._path(record), headers=_seen(record))

    def read(self, record: DrillRecord) -> None:
        """GET it."""
        self._client.call("GET", self._path(record))

    def close(self) -> None:
        """The client belongs to whoever made it."""

    def _path(self, record: DrillRecord) -> str:
        return f"/products/{record.id}"


def _content(state: State) -> dict[str, Any]:
    return {"name": state.name, "stock": state.value}


def _seen(record: DrillRecord) -> dict[str, str]:
    return {"If-Match": f'"{record.state.version}"'}
