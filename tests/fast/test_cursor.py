"""Paging cursors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodcore.catalog.cursor import decode_cursor, encode_cursor
from prodcore.errors import InvalidCursor
from prodcore.routing import fold

keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=200).map(fold)


@given(keys, keys, st.lists(keys, max_size=3).map(tuple))
def test_cursor_leads_back_to_its_place(name, variant, words):
    assert decode_cursor(encode_cursor((name, variant), words), words) == (name, variant)


def test_cursor_of_another_search_is_refused():
    with pytest.raises(InvalidCursor):
        decode_cursor(encode_cursor(("a", ""), ("x",)), ("y",))


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda b: b.decode("latin-1")))
def test_text_that_is_no_cursor_is_refused_and_never_breaks(text):
    with pytest.raises(InvalidCursor):
        decode_cursor(text, ())


def test_cursor_without_end_is_refused():
    with pytest.raises(InvalidCursor):
        decode_cursor("A" * 100_000, ())
