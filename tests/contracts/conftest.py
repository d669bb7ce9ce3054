"""One suite for every store of products: the class in this process, which it keeps honest, and replica sets."""

from datetime import timedelta
from itertools import count

import pytest

from prodcore.catalog import Catalog
from prodcore.catalog.catalog import now
from prodcore.routing import DEFAULT_MAP
from tests.support.memory_products import MemoryClaimStore, MemoryProductStore, MemoryViewStore


def ticking(moment):
    """A clock that never tells a time twice: this process is quicker than the milliseconds that are kept."""
    ticks = count(1)
    return lambda: moment + timedelta(milliseconds=next(ticks))


@pytest.fixture(
    params=[
        pytest.param("memory", marks=pytest.mark.memory),
        pytest.param("mongod", marks=pytest.mark.mongod),
    ]
)
def catalog(request):
    """The catalogue without products."""
    if request.param == "memory":
        stores = {shard: MemoryProductStore(shard) for shard in DEFAULT_MAP.shards}
        return Catalog(DEFAULT_MAP, stores, MemoryClaimStore(), views=MemoryViewStore(), clock=ticking(now()))
    request.getfixturevalue("raw_products")
    return request.getfixturevalue("shared_catalog")
