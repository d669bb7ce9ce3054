"""Which products are refused, field by field."""

import unicodedata
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodcore.errors import InvalidInput
from prodcore.product.model import ProductDraft, ProductPatch
from prodcore.routing import fold
from prodcore.support.validation import validate


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
        (Decimal("0E-60000000"), "decimal_max_places"),
        (Decimal("1.00000000000000000000"), "decimal_max_places"),
        ("1.00000000000000000000", "decimal_max_places"),
        ("0.00000", "decimal_max_places"),
        (Decimal("1E+60000000"), "less_than"),
        (Decimal("0E+60000000"), "less_than"),
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


@pytest.mark.parametrize(
    "name",
    [
        "\U0001f469\u200d\U0001f33e",  # a farmer: a woman, a joiner, an ear of rice
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian, with a joint that must stay open
        "\u0915\u094d\u200d\u0937",  # Hindi, the half form of a letter
        "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",  # the flag of Scotland
        "\u2764\ufe0f",
        "Lim\u00f3n \u200fABC\u200f 5",
        "\u0600\u0661\u0662",
    ],
)
def test_what_people_see_is_kept_and_routes_as_if_it_were_not_there(name):
    draft = validate(ProductDraft, {"name": name, "price": 1, "description": name, "tags": [name]})
    assert (draft.name, draft.description, draft.tags) == (name, name, [name])
    seen = "".join(char for char in name if unicodedata.category(char) != "Cf")
    assert fold(name) == fold(seen)


@pytest.mark.parametrize("name", ["\u200d", "\u200c\u200f", "\u200d \u200d", "\u00ad\u200b\u2066"])
def test_name_of_which_nobody_sees_anything_is_empty(name):
    assert refusals(name=name) == {("name", "string_too_short")}


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
