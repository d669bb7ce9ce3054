"""Which products are refused, field by field."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodcore.errors import InvalidInput
from prodcore.product.model import ProductDraft, ProductPatch, validate


def refusals(**fields):
    with pytest.raises(InvalidInput) as caught:
        validate(ProductDraft, {"name": "Arroz", "price": Decimal("1.20"), **fields})
    return {(p.field, p.code) for p in caught.value.problems}


def test_draft_with_name_and_price_is_enough():
    draft = validate(ProductDraft, {"name": " Arroz ", "price": "1.20"})
    assert (draft.name, draft.price) == ("Arroz", Decimal("1.20"))
    assert (draft.stock, draft.active, draft.variant) == (0, True, "")


@pytest.mark.parametrize(
    ("price", "code"),
    [
        (Decimal("NaN"), "finite_number"),
        (Decimal("Infinity"), "finite_number"),
        (Decimal("1E+999"), "less_than"),
        (Decimal("-0.0"), "greater_than_equal"),
        (Decimal("1E-9"), "decimal_max_places"),
        (-1, "greater_than_equal"),
        (10**30, "less_than"),
        ("1,50", "decimal_type"),
        ("22,95 €", "decimal_type"),
        ("１", "decimal_type"),
        ("1_0", "decimal_type"),
        ("", "decimal_type"),
        ("NaN", "decimal_type"),
        (True, "decimal_type"),
        (None, "decimal_type"),
        ([], "decimal_type"),
        ({"$gt": 0}, "decimal_type"),
        (1.5, "decimal_type"),
    ],
)
def test_price_that_is_no_plain_decimal_is_refused(price, code):
    assert refusals(price=price) == {("price", code)}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "string_too_short"),
        ("   ", "string_too_short"),
        ("\u200b\u202e", "string_too_short"),
        ("\u0301", "unroutable_name"),
        ("x" * 201, "string_too_long"),
        ("a\nb", "forbidden_character"),
        ("a\tb", "forbidden_character"),
        ("a\x00b", "forbidden_character"),
        ("\ud800", "forbidden_character"),
        ("\ue000", "forbidden_character"),
        (["Arroz"], "string_type"),
        ({"$ne": None}, "string_type"),
        (None, "string_type"),
        (5, "string_type"),
    ],
)
def test_name_that_cannot_be_kept_is_refused(name, code):
    assert refusals(name=name) == {("name", code)}


@pytest.mark.parametrize("stock", [1.5, -1, 2**31, "5", True, None, Decimal(5), [5]])
def test_stock_that_is_no_count_is_refused(stock):
    assert {field for field, _code in refusals(stock=stock)} == {"stock"}


@pytest.mark.parametrize("field", ["id", "_id", "version", "shard", "created_at", "updated_by", "$gt", "a.b", ""])
def test_field_that_is_not_the_callers_is_refused(field):
    assert refusals(**{field: 1}) == {(field, "extra_forbidden")}


@pytest.mark.parametrize("currency", ["EURO", "eur", "XXY", "", 5])
def test_currency_that_does_not_exist_is_refused(currency):
    assert {field for field, _code in refusals(currency=currency)} == {"currency"}


def test_every_problem_is_listed_at_once():
    assert {field for field, _code in refusals(name="", price=-1, stock=-1)} == {"name", "price", "stock"}


@pytest.mark.parametrize("body", [None, [], "Arroz", 5])
def test_input_that_is_no_object_is_refused(body):
    with pytest.raises(InvalidInput):
        validate(ProductDraft, body)


def test_format_characters_are_dropped_and_outer_space_trimmed():
    draft = validate(ProductDraft, {"name": "\u202eAr\u200broz ", "price": 1, "description": "two\nlines\u200f"})
    assert (draft.name, draft.description) == ("Arroz", "two\nlines")


def test_tags_that_differ_in_spelling_only_are_one():
    draft = validate(ProductDraft, {"name": "a", "price": 1, "tags": ["Bio", "BIO", "bío", "vegano"]})
    assert draft.tags == ["Bio", "vegano"]


def test_patch_holds_only_what_was_given():
    patch = validate(ProductPatch, {"stock": 0, "sku": None})
    assert patch.changes() == {"stock": 0, "sku": None}


@given(st.decimals(min_value=0, max_value=10**9, places=4))
def test_every_price_with_four_decimals_is_kept_exactly(price):
    assert validate(ProductDraft, {"name": "a", "price": str(price)}).price == price
