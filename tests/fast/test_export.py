"""Exported products, read back by the import, are the same products."""

import csv
import io
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prodcore.catalog import Catalog
from prodcore.errors import InvalidInput
from prodcore.product.model import Author, ProductDraft
from prodcore.routing import DEFAULT_MAP
from prodcore.support.validation import validate
from prodcore.tabular.cells import read_tags
from prodcore.tabular.export import EXPORTED, XlsxBook, as_csv, as_ndjson, csv_head, tags_cell
from prodcore.tabular.rows import Row
from prodcore.tabular.source import Reading, open_source
from prodctl.importing.export import export_to, write_products

ODD = [
    {"name": "=1+1", "variant": "@SUM(A1)", "category": "+x", "tags": ["-a", "=b"], "description": "\t=x"},
    {"name": "'=1", "variant": "'", "category": "''=x", "tags": ["'a", "'=b"]},
    {"name": 'Arroz, "bomba"; 1 kg', "tags": ["uno, dos"], "description": "línea\nlínea\r\nlínea\r\ttab"},
    {"name": "007", "sku": "00012", "tags": ["1;2", "a|b", "c\\", "\\|", "\\\\"], "price": "1.234"},
    {"name": "_x000D_", "description": "_x005F_ _x0041_", "price": "999999999999.9999"},
    {"name": "Ñandú 🍎", "variant": "N\u0303", "price": "0", "stock": 2**31 - 1, "active": False, "currency": "USD"},
    {"name": "#N/A", "variant": "#¡REF!", "category": "####", "tags": ["Err:502"]},
    {"name": "true", "variant": "null", "category": "1e5", "description": "sep=;"},
]


def shown(fields):
    product = Catalog(DEFAULT_MAP, {}).draft(validate(ProductDraft, {"price": "1.20", **fields}), Author("ana"))
    return product.as_dict()


def in_csv(rows):
    return csv_head() + as_csv(rows)


def in_xlsx(rows):
    book, file = XlsxBook(), io.BytesIO()
    book.add(rows)
    book.save(file)
    return file.getvalue()


def read_back(data):
    source = open_source(io.BufferedReader(io.BytesIO(data)), Reading())
    rows = list(source.rows)
    assert all(isinstance(row, Row) for row in rows), rows
    return [row.fields for row in rows]


def same(row, fields):
    """Whether importing ``fields`` into the product ``row`` would change nothing."""
    given = validate(ProductDraft, {"currency": "EUR", **fields})
    for name in given.model_fields_set:
        value = getattr(given, name)
        was = Decimal(row[name]) if name == "price" else row[name]
        assert value == was, name
    left_out = {"name", "price", "stock", "active", "currency"} - given.model_fields_set
    assert not left_out
    assert all(row[name] in ("", None, []) for name in ProductDraft.model_fields if name not in fields)


@pytest.mark.parametrize("write", [in_csv, as_ndjson, in_xlsx])
def test_odd_products_come_back_as_they_were(write):
    rows = [shown(fields) for fields in ODD]
    back = read_back(write(rows))
    assert len(back) == len(rows)
    for row, fields in zip(rows, back, strict=True):
        same(row, fields)


texts = st.text(st.characters(exclude_categories=["C"], include_characters="=+-@'|\\,;_"), max_size=20)


@settings(max_examples=60)
@given(
    name=texts, variant=texts, tags=st.lists(texts, max_size=3), price=st.decimals(0, 10**9, places=4, allow_nan=False)
)
@pytest.mark.parametrize("write", [in_csv, as_ndjson, in_xlsx])
def test_any_product_comes_back_as_it_was(write, name, variant, tags, price):
    try:
        row = shown({"name": name, "variant": variant, "tags": tags, "price": str(price)})
    except InvalidInput:
        return
    (fields,) = read_back(write([row]))
    same(row, fields)


def test_no_cell_of_a_csv_file_is_a_formula():
    cells = [cell for line in csv.reader(io.StringIO(in_csv(map(shown, ODD)).decode(), newline="")) for cell in line]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))]


def test_a_raw_csv_file_holds_the_very_texts():
    target = io.BytesIO()
    write_products("csv", [[shown(fields) for fields in ODD[:2]]], target, raw=True)
    rows = list(csv.DictReader(io.StringIO(target.getvalue().decode(), newline="")))
    assert [(row["name"], row["variant"]) for row in rows] == [("=1+1", "@SUM(A1)"), ("'=1", "'")]


def test_no_cell_of_a_workbook_is_a_formula():
    from openpyxl import load_workbook

    sheet = load_workbook(io.BytesIO(in_xlsx(map(shown, ODD)))).active
    assert "f" not in {cell.data_type for line in sheet.iter_rows() for cell in line}


def test_file_says_more_than_an_import_sets():
    row = shown({"name": "Pan"})
    (line,) = csv.DictReader(io.StringIO(in_csv([row]).decode(), newline=""))
    assert tuple(line) == EXPORTED
    assert UUID(line["id"]) == UUID(row["id"])
    assert (line["shard"], line["version"], line["updated_by"]) == ("rsB", "1", "ana")


@given(st.lists(texts.map(str.strip).filter(bool), max_size=5))
def test_tags_come_back_whatever_signs_they_hold(tags):
    assert read_tags(tags_cell(tags)) == tags


@pytest.mark.parametrize("before", [None, b"old"])
def test_an_interrupted_export_leaves_the_file_as_it_was_and_says_so(tmp_path, before):
    class Interrupted:
        def call(self, *_request, **_options):
            raise KeyboardInterrupt

    file = tmp_path / "all.csv"
    if before:
        file.write_bytes(before)
    with pytest.raises(KeyboardInterrupt) as interruption:
        export_to(file, "csv", Interrupted(), {}, force=True)
    assert interruption.value.__notes__ == [f"Nothing was written: {file} is as it was. The same command begins again."]
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before] * bool(before)


def test_csv_for_excel_begins_with_the_mark_of_utf8_and_reads_back_the_same():
    plain, marked, ndjson = io.BytesIO(), io.BytesIO(), io.BytesIO()
    write_products("csv", [[]], plain)
    write_products("csv", [[]], marked, bom=True)
    write_products("ndjson", [[]], ndjson, bom=True)
    assert marked.getvalue() == b"\xef\xbb\xbf" + plain.getvalue()
    assert ndjson.getvalue() == b""
