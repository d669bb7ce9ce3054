"""The table of a product's fields: what follows from it agrees with it."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

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
