"""Many products are written at once, and what became of each is said in the same words everywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from prodcore.errors import OutcomeUnknown, ProdError, Unavailable
from prodcore.product.model import Product

Failure = Literal["refused", "unavailable", "unknown"]
"""``unavailable`` did not happen and may be repeated, ``unknown`` may have happened."""


def failure(error: ProdError) -> Failure:
    """What an error says of the write that it ended."""
    if isinstance(error, OutcomeUnknown):
        return "unknown"
    return "unavailable" if isinstance(error, Unavailable) else "refused"


def write_each(
    write: Callable[[Sequence[Product]], Sequence[ProdError | None]], products: Sequence[Product]
) -> Sequence[ProdError | None]:
    """Write the products of one shard: an error or None for each; the same for all where the shard is out."""
    try:
        return write(products)
    except Unavailable as error:
        return [error] * len(products)
