"""SKUs are given once, over any number of shards: a claim is written before the product that is to have the SKU.

All claims are in one place, in the users' set, one document an SKU: which product it is for, and which writes are at
work to give it. A product without an SKU needs none, nor does a write that leaves the SKU as it is. Nothing else says
that an SKU is free: the claim of a product that has it no more, because it was edited or deleted or never came to be,
is freed by whoever wants the SKU next. So it needs nobody to tidy up after a crash; only a write that may still be at
work is waited for, for ``PATIENCE``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID, uuid4

from prodcore.catalog.lookup import Finder
from prodcore.errors import OutcomeUnknown, ProdError, SkuTaken, Unavailable
from prodcore.product.model import Product

PATIENCE = timedelta(seconds=30)
"""How long a write may be at work: longer than the budget of any request."""


@dataclass(frozen=True, slots=True)
class Claim:
    """An SKU and the product that it is for."""

    sku: str
    product_id: UUID
    at: datetime
    """When it was last claimed, by the clock of the set that keeps it."""
    at_work: bool
    """Whether a write that gives the SKU may not have ended."""


class ClaimStore(Protocol):
    """Where the claims are kept. Raises Unavailable, and OutcomeUnknown for what may be repeated."""

    def claim(self, wanted: Mapping[str, UUID], write: UUID) -> dict[str, Claim]:
        """Note that ``write`` is at work to give these products these SKUs; the claims of others that forbid it."""

    def done(self, skus: Sequence[str], write: UUID) -> None:
        """Note that it is not any more."""

    def free(self, claims: Sequence[Claim]) -> None:
        """Remove these claims, as far as they still are as they were read."""

    def read(self, skus: Sequence[str]) -> dict[str, Claim]:
        """The claims of these SKUs."""

    def after(self, sku: str, limit: int) -> list[Claim]:
        """The next claims in the order of their SKUs."""


class Claims:
    """Claims for products that ``finder`` finds."""

    def __init__(self, store: ClaimStore | None, finder: Finder) -> None:
        self.store = store
        """None in a catalogue of products without an SKU."""
        self._finder = finder

    @contextmanager
    def of(self, product: Product) -> Iterator[None]:
        """Around the write that gives a product its SKU. Raises SkuTaken, and Unavailable when nothing was written."""
        write = uuid4()
        if refused := self.take([product], write):
            raise refused[product.id]
        try:
            yield
        except OutcomeUnknown:  # it may be at work
            raise
        except ProdError:
            self.done([product], write)
            raise
        self.done([product], write)

    def take(self, products: Sequence[Product], write: UUID) -> dict[UUID, ProdError]:
        """Claim the SKUs of those that have one, for ``write``; why not, by product, where one may not have it."""
        wanted: dict[str, UUID] = {}
        for product in products:
            if product.sku is not None:
                wanted.setdefault(product.sku, product.id)
        try:
            taken = self._taken(wanted, write) if wanted else {}
        except (Unavailable, OutcomeUnknown) as error:
            why = Unavailable(f"the SKU cannot be claimed: {error.message}", shard=error.details.get("shard", ""))
            return {product.id: why for product in products if product.sku is not None}
        owners = {**wanted, **taken}
        others = {p.id: p.sku for p in products if p.sku is not None and owners[p.sku] != p.id}
        return {product_id: _taken(sku) for product_id, sku in others.items()}

    def done(self, products: Sequence[Product], write: UUID) -> None:
        """The write has ended. Where that cannot be noted it counts as at work for some time more."""
        skus = [product.sku for product in products if product.sku is not None]
        if skus:
            with suppress(Unavailable, OutcomeUnknown):
                self._kept.done(skus, write)

    @property
    def _kept(self) -> ClaimStore:
        if self.store is None:
            raise AssertionError("this catalogue was made for products without an SKU")
        return self.store

    def _taken(self, wanted: Mapping[str, UUID], write: UUID) -> dict[str, UUID]:
        """Claim; who has those that others have."""
        against = self._kept.claim(wanted, write)
        if free := [claim for claim in self.unused(list(against.values())) if not claim.at_work]:
            self._kept.free(free)
            freed = {claim.sku: wanted[claim.sku] for claim in free}
            against = {sku: c for sku, c in against.items() if sku not in freed} | self._kept.claim(freed, write)
        held = {sku: claim.product_id for sku, claim in against.items()}
        seen = self._finder.sku_owners([sku for sku in wanted if sku not in held])  # stored without a claim
        return held | {sku: owner for sku, owner in seen.items() if owner != wanted[sku]}

    def unused(self, claims: Sequence[Claim]) -> list[Claim]:
        """Those whose product is known not to have the SKU."""
        if not claims:
            return []
        found, unreachable = self._finder.get_many([claim.product_id for claim in claims])

        def has_it(claim: Claim) -> bool:
            product = found.get(claim.product_id)
            if product is None:
                return unreachable is not None  # nobody knows
            return isinstance(product, Product) and product.sku == claim.sku

        return [claim for claim in claims if not has_it(claim)]


def _taken(sku: str | None) -> SkuTaken:
    return SkuTaken(f"another product has the SKU {sku!r}", sku=sku)
