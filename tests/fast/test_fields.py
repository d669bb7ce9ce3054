"""The table of a product's fields: what follows from it agrees with it."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from prodcore.errors import InvalidInput
from prodcore.product.fields import BY_NAME, FIELDS, NAMES
from prodcore.product.model import Product, ProductDraft
from prodcore.support.validation import validate
from prodcore.tabular.columns import IGNORE, READ_ONLY, SYNONYMS, folded_title, map_columns
from prodcore.tabular.export import EXPORTED
from webapp.pages.labels import ALL

ROOT = Path(__file__).resolve().parents[2]


def test_a_product_has_the_fields_of_the_table_in_its_order():
    assert tuple(f.name for f in fields(Product))[1 : len(NAMES) + 1] == NAMES


def test_every_exported_column_is_imported_again():
    targets = {column.title: column.target for column in map_columns(EXPORTED, {})}
    assert targets == {name: name for name in NAMES} | dict.fromkeys(READ_ONLY, IGNORE)


def test_no_heading_gives_two_fields():
    headings = [folded_title(heading) for target in SYNONYMS.values() for heading in dict.fromkeys(target)]
    assert sorted(headings) == sorted(set(headings))
    assert all(row.name in row.headings for row in FIELDS)


@pytest.mark.parametrize("row", FIELDS, ids=lambda row: row.name)
def test_every_row_has_a_valid_example_and_a_label(row):
    draft = validate(ProductDraft, {"name": "Arroz", "price": "1.20", row.name: row.example})
    assert draft.model_dump(mode="json")[row.name] == row.example
    assert row.name in ALL["field_labels"]


def test_a_draft_that_gives_nothing_has_the_defaults():
    required = {row.name: row.example for row in FIELDS if row.required}
    draft = validate(ProductDraft, required).model_dump()
    assert {n: tuple(v) if isinstance(v, list) else v for n, v in draft.items() if n not in required} == {
        name: BY_NAME[name].default for name in NAMES if name not in required
    }


def test_the_documentation_of_the_columns_is_what_the_table_says():
    check = [sys.executable, str(ROOT / "scripts" / "write-field-docs"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("code", ["96385074", "036000291452", "4006381333931", "8410010123453", "10012345678902"])
def test_barcode_with_the_right_check_digit_is_taken(code):
    assert validate(ProductDraft, {"name": "Arroz", "price": "1", "barcode": f" {code} "}).barcode == code


@pytest.mark.parametrize(
    ("code", "refusal"),
    [
        ("96385075", "wrong_check_digit"),
        ("8410010123543", "wrong_check_digit"),  # two digits changed places
        ("841001012345", "wrong_check_digit"),
        ("123", "not_a_barcode"),
        ("84100101234531234", "string_too_long"),
        ("84 10010123453", "string_pattern_mismatch"),
        ("\u0668410010123453", "string_pattern_mismatch"),
        ("", "string_too_short"),
        (8410010123453, "string_type"),
    ],
)
def test_barcode_that_no_scanner_would_read_is_refused(code, refusal):
    with pytest.raises(InvalidInput) as caught:
        validate(ProductDraft, {"name": "Arroz", "price": "1", "barcode": code})
    assert [(p.field, p.code) for p in caught.value.problems] == [("barcode", refusal)]


def test_a_filter_finds_a_barcode_with_and_without_zeros_before_it():
    same = BY_NAME["barcode"].same
    assert (
        set(same("036000291452")) == {"036000291452", "0036000291452", "00036000291452"} == set(same("0036000291452"))
    )
    assert set(same("96385074")) == {"96385074", "000096385074", "0000096385074", "00000096385074"}
