"""Paging cursors."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodcore.catalog.listing import Cursor, decode_cursor, encode_cursor
from prodcore.catalog.stores import EVERYTHING, Query, Sort
from prodcore.errors import InvalidCursor
from prodcore.routing import fold

keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=200).map(fold)
ID = UUID("7f0e0a3c-5d2f-4b52-9d7e-3f6f4b1f3a10")


@given(keys, keys, st.lists(keys, max_size=3).map(tuple))
def test_cursor_leads_back_to_its_place(name, variant, words):
    cursor, query = Cursor((name, variant)), Query(words)
    assert decode_cursor(encode_cursor(cursor, query), query) == cursor


@pytest.mark.parametrize(
    ("by", "value"),
    [
        ("price", Decimal("0.0001")),
        ("price", Decimal("999999999999.9999")),
        ("stock", 0),
        ("stock", 2**31 - 1),
        ("updated", datetime(2026, 1, 31, 8, 0, 0, 123000, tzinfo=UTC)),
        ("created", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_cursor_keeps_the_value_that_is_sorted_by_exactly(by, value):
    query = Query(sort=Sort(by))
    assert decode_cursor(encode_cursor(Cursor((value, ID)), query), query) == Cursor((value, ID))


@pytest.mark.parametrize(
    "other",
    [
        Query(("y",)),
        Query(category="x"),
        Query(tags=("x",)),
        Query(price_min=Decimal(1)),
        Query(price_max=Decimal(1)),
        Query(stock_min=1),
        Query(active=True),
        Query(shard="rsA"),
        Query(sort=Sort("name", descending=True)),
        Query(sort=Sort("price")),
    ],
)
def test_cursor_of_another_search_filter_or_order_is_refused(other):
    cursor = encode_cursor(Cursor(("a", "")), EVERYTHING)
    with pytest.raises(InvalidCursor):
        decode_cursor(cursor, other)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda b: b.decode("latin-1")))
def test_text_that_is_no_cursor_is_refused_and_never_breaks(text):
    with pytest.raises(InvalidCursor):
        decode_cursor(text, EVERYTHING)


@pytest.mark.parametrize("by", ["name", "price", "stock", "updated", "created"])
@given(
    after=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=4,
    )
)
def test_forged_place_is_refused_or_one_that_a_server_can_be_asked_for(by, after):
    query = replace(EVERYTHING, sort=Sort(by))
    text = json.dumps({"query": query.fingerprint, "after": after, "times": {}})
    forged = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    try:
        value, tie = decode_cursor(forged, query).after
    except InvalidCursor:
        return
    assert by == "name"
    assert isinstance(value, str)
    assert isinstance(tie, str)
    (value + tie).encode()


@pytest.mark.parametrize("times", [None, [], {"rsA": -1}, {"rsA": 2**63}, {"rsA": 1.5}, {"rsA": True}, "rsA", 7])
def test_forged_beginning_is_refused(times):
    text = json.dumps({"query": EVERYTHING.fingerprint, "after": ["a", ""], "times": times})
    with pytest.raises(InvalidCursor):
        decode_cursor(base64.urlsafe_b64encode(text.encode()).decode().rstrip("="), EVERYTHING)


def test_cursor_without_end_is_refused():
    with pytest.raises(InvalidCursor):
        decode_cursor("A" * 100_000, EVERYTHING)
