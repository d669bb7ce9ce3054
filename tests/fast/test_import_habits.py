"""Files as people and their programs make them: read as they are meant, or refused with what to do."""

import gzip
import io
import json
import zipfile

import pytest

from prodcore.errors import InvalidInput, UnreadableInput
from prodcore.tabular.export import as_csv, csv_head
from prodcore.tabular.report import ImportReport, RefusedFile, RefusedRow
from prodcore.tabular.rows import RepeatedRow, RowIndex
from prodcore.tabular.source import Reading, open_source


def judged(data, **how):
    data = data.encode() if isinstance(data, str) else data
    source = open_source(io.BufferedReader(io.BytesIO(data)), Reading(**how))
    with RowIndex() as index:
        return list(source.kept_rows(index, how.get("keep", "refuse")))


def fields(data, **how):
    return [row.fields for row in judged(data, **how)]


def codes(data, **how):
    """What is refused, by column and code."""
    return [(p.column, p.code) for row in judged(data, **how) if isinstance(row, RefusedRow) for p in row.problems]


def reasons(data, **how):
    return [p.reason for row in judged(data, **how) if isinstance(row, RefusedRow) for p in row.problems]


def price_of(text, **how):
    return fields(f'nombre\tprecio\nA\t"{text}"\n', **how)[0]


@pytest.mark.parametrize(
    "text", ["12 50", "5\n7", "1 20", "1  000", "1\t000", "12 345 6", "1 2 3", "1\u3000000", "0 123"]
)
def test_white_space_inside_a_number_is_no_grouping_unless_of_three_digits(text):
    for locale in ("es", "en", None):
        assert [column for column, _ in codes(f'nombre|precio|stock\nA|"{text}"|"{text}"\n', locale=locale)] == [
            "precio",
            "stock",
        ]


@pytest.mark.parametrize("blank", [" ", "\u00a0", "\u202f", "\u2009", "\u2007"])
def test_a_blank_between_groups_of_three_digits_is_read(blank):
    text = f"nombre|precio|stock\nA|1{blank}234{blank}567,50 €|12{blank}000\n"
    assert fields(text)[0] == {"name": "A", "price": "1234567.50", "currency": "EUR", "stock": 12000}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("(5,00)", "negative"),
        ("21%", "percentage"),
        ("21 %", "percentage"),
        ("12,50 €/kg", "not_a_price"),
        ("=A1*2", "formula"),
        ("$5", "unclear_currency"),
        ("¥500", "unclear_currency"),
        ("1.23 4,5", "not_a_number"),
        ("gratis", "not_a_price"),
    ],
)
def test_what_is_no_price_is_refused_for_what_it_is(text, code):
    assert codes(f"nombre\tprecio\nA\t{text}\n") == [("precio", code)]


def test_the_sign_of_several_currencies_is_the_one_of_the_currency_column():
    text = "nombre;moneda;precio\nA;USD;$5\nB;€;2,00\nC;usd;3\nD;USD;4,00 €\n"
    assert [row["currency"] for row in fields("\n".join(text.split("\n")[:4]))] == ["USD", "EUR", "USD"]
    assert codes(text) == [("precio", "two_currencies")]


def test_numbers_that_could_mean_two_things_are_settled_by_the_others_of_their_column():
    assert [row["price"] for row in fields("nombre;precio\nA;1.234\nB;9,95\n")] == ["1234", "9.95"]
    assert [row["price"] for row in fields("nombre;precio\nA;1.234\nB;9.95\n")] == ["1.234", "9.95"]
    assert fields("nombre;precio;stock\nA;9,95;1.200\n")[0]["stock"] == 1200
    assert codes("nombre;precio\nA;1.234\nB;1.500\n") == [("precio", "ambiguous_number")] * 2
    assert codes("nombre;precio\nA;1.234\nB;9,95\nC;9.95\n") == [("precio", "ambiguous_number")]


def test_numbers_from_a_pipe_are_settled_too():
    class Pipe(io.RawIOBase):
        data = io.BytesIO(b"nombre;precio\nA;1.234\nB;9,95\n")

        def readable(self):
            return True

        def readinto(self, buffer):
            return self.data.readinto(buffer)

    rows = list(open_source(io.BufferedReader(Pipe()), Reading()).rows)
    assert [row.fields["price"] for row in rows] == ["1234", "9.95"]


@pytest.mark.parametrize("locale", ["es", "en", None])
def test_an_export_is_read_as_it_was_written_whatever_the_locale(locale):
    given = {"name": "A", "variant": "", "sku": "'7", "barcode": None, "description": "", "category": "", "tags": []}
    read_only = {"id": "x", "shard": "rsA", "version": 1, "created_at": "t", "updated_at": "t", "updated_by": "ana"}
    rows = [
        {**given, "price": price, "currency": "EUR", "stock": 1200, "active": True, **read_only}
        for price in ("1.20", "1.234", "12345.6", "7")
    ]
    for i, row in enumerate(rows):
        row["name"], row["sku"] = f"A{i}", f"'{i}"
    found = fields(csv_head() + as_csv(rows), locale=locale)
    assert [row["price"] for row in found] == ["1.20", "1.2340", "12345.6", "7"]
    assert [row["sku"] for row in found] == ["'0", "'1", "'2", "'3"]


@pytest.mark.parametrize(
    ("cell", "sku"), [('="0012345"', "0012345"), ("'0012345", "0012345"), ("0012345", "0012345"), ("1E5", "1E5")]
)
def test_a_code_is_kept_digit_by_digit(cell, sku):
    assert fields(f"sku;nombre;precio\n{cell};A;1\n")[0]["sku"] == sku


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("8,43E+12", "digits_lost"),
        ("8.41012E+12", "digits_lost"),
        ("8.4e+12", "digits_lost"),
        ("1E+15", "digits_lost"),
        ("8.43E12", "digits_lost"),
        ('=T("x")', "formula"),
        ("=A1", "formula"),
        ("84,1E+11", "digits_lost"),
        ("8410,0E+9", "digits_lost"),
        ("8410010000001.0", "shown_otherwise"),
        ("#N/A", "formula_error"),
        ("#¡REF!", "formula_error"),
        ("########", "formula_error"),
    ],
)
@pytest.mark.parametrize("heading", ["sku", "ean"])
def test_a_code_that_a_spreadsheet_has_changed_is_refused(heading, cell, code):
    text = f"{heading};nombre;precio\n{cell};A;1\n"
    assert codes(text) == [(heading, code)]


@pytest.mark.parametrize("error", ["#N/A", "#N/D", "#DIV/0!", "#¡VALOR!", "#¿NOMBRE?", "Err:502"])
@pytest.mark.parametrize("heading", ["nombre", "precio", "stock", "categoría", "descripción", "tags"])
def test_the_error_of_a_formula_is_no_value_of_any_field(heading, error):
    others = {"nombre": "A", "precio": "1", heading: error}
    text = "|".join(others) + "\n" + "|".join(others.values()) + "\n"
    assert codes(text) == [(heading, "formula_error")]


def test_a_text_that_begins_like_an_error_is_a_text():
    assert fields("nombre|precio\n#1 ¡REF!|1\n")[0]["name"] == "#1 ¡REF!"


def test_half_of_a_character_refuses_its_line_alone_and_the_file_of_refused_rows_is_written():
    lines = [
        '{"name":"a","price":"1"}',
        '{"name":"b \\ud83d","price":"1"}',
        '{"\\ud83d":1}',
        '{"name":"c","price":"1"}',
    ]
    rows = judged("\n".join(lines) + "\n")
    assert [isinstance(row, RefusedRow) for row in rows] == [False, True, True, False]
    assert (
        reasons("\n".join(lines)) == ["is not a JSON object: it holds half of a character, which cannot be stored"] * 2
    )
    file = io.TextIOWrapper(io.BytesIO(), "utf-8-sig")
    report = ImportReport(sink=RefusedFile(file, ["name", "price"], ";", None))
    for cells in (["b \ud83d", "1"], ["\udcff", "2"]):
        report.refuse(RefusedRow(2, rows[1].problems, cells))
    assert "b \\ud83d" in file.buffer.getvalue().decode("utf-8-sig")


def test_a_heading_may_begin_like_an_archive():
    assert fields("PK;Nombre;Precio\n1;Espinaca;1,10\n")[0] == {"name": "Espinaca", "price": "1.10"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_heading_may_take_several_lines(delimiter):
    header = delimiter.join(['"Nombre\r\ndel producto"', "Precio", '"Existencias\n(uds)"'])
    assert fields(f"{header}\nCaldo{delimiter}2{delimiter}7\n")[0] == {"name": "Caldo", "price": "2", "stock": 7}


@pytest.mark.parametrize(
    "line", ['"sep=;"', "SEP=;", "sep=;", "Sep = ;", "sep=;;;;", '"sep=;",,,', "\ufeffsep=;", " sep=; ", '"sep=;";;']
)
def test_the_line_that_names_the_delimiter_is_understood_in_all_its_forms(line):
    assert fields(f"{line}\r\nNombre;Precio\r\nBacalao;9,95\r\n") == [{"name": "Bacalao", "price": "9.95"}]


def test_the_line_that_names_a_tab_or_a_comma_is_understood():
    assert fields("sep=\t\nNombre\tPrecio\nA\t1\n") == [{"name": "A", "price": "1"}]
    assert fields('"sep=,"\nNombre,Precio\nA,1\n') == [{"name": "A", "price": "1"}]


def test_cells_that_are_missing_at_the_end_are_empty_and_too_many_are_refused():
    text = "Nombre;Precio;Existencias;Categoría\nA;1\nB;2;3\nC;3;;;;\nD;4;5;x;y\n"
    rows = judged(text)
    assert [row.fields for row in rows[:3]] == [
        {"name": "A", "price": "1"},
        {"name": "B", "price": "2", "stock": 3},
        {"name": "C", "price": "3"},
    ]
    assert codes(text) == [("", "wrong_cell_count")]


@pytest.mark.parametrize("end", ["\x1a", "\x1a\r\n", "\r\n\x1a"])
def test_the_sign_that_old_programs_write_at_the_end_is_no_row(end):
    assert fields(f"Nombre;Precio\nOliva;1\n{end}") == [{"name": "Oliva", "price": "1"}]
    assert fields(f"Nombre;Precio\nOliva;1{end}") == [{"name": "Oliva", "price": "1"}]
    assert fields(f'{{"name": "Oliva", "price": 1}}\n{end}') == [{"name": "Oliva", "price": 1}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_a_file_is_read_in_the_encoding_that_it_has(encoding):
    assert fields("Artículo;Precio\nPiñón;1,50 €\n".encode(encoding))[0]["name"] == "Piñón"


@pytest.mark.parametrize(
    ("number", "price"), [("1E+2", "100"), ("0E-8", "0.00000000"), ("86e-2", "0.86"), ("1.0E7", "10000000"), ("5", 5)]
)
def test_numbers_of_json_are_their_values(number, price):
    assert fields(f'{{"name": "a", "price": {number}, "stock": 4.0}}\n') == [{"name": "a", "price": price, "stock": 4}]


def test_a_number_of_json_that_nobody_can_mean_is_refused():
    assert codes('{"name": "a", "price": 1e999999}\n') == [("", "bad_json")]


def archive(*names, mimetype=""):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name in names:
            made.writestr(name, "x")
        if mimetype:
            made.writestr("mimetype", mimetype)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"\xff\xd8\xff\xe0", "a JPEG image"),
        (gzip.compress(b"nombre;precio\n", mtime=0), "a gzip archive"),
        (archive("productos.csv"), r"a ZIP archive that contains productos\.csv"),
        (archive("word/document.xml", "[Content_Types].xml"), "a Word document"),
        (archive("xl/workbook.bin", "[Content_Types].xml"), "a binary Excel workbook"),
        (archive("content.xml", mimetype="application/vnd.oasis.opendocument.text"), "a text document"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"<?xml version='1.0'?><Workbook/>", "an XML file"),
        (b"{\\rtf1", "an RTF document"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"\x7fELF\2\1\1\0", "a program"),
        (b"nombre\0;precio\n", "neither text nor a workbook"),
        ('{"name": "a"}\n'.encode("utf-16"), "NDJSON in UTF-16"),
        (b'{\r\n  "name": "a"\r\n}\n', "JSON over several lines"),
        (b"PK\x03\x04", "damaged"),
    ],
)
def test_what_is_something_else_is_named(data, says):
    with pytest.raises(UnreadableInput, match=says) as refused:
        judged(data)
    assert refused.value.hint or "damaged" in says


def test_a_title_above_the_headings_is_said_to_be_in_the_way():
    with pytest.raises(UnreadableInput, match="no column contains the name") as refused:
        judged("Lista de precios;;\nNombre;Precio;Stock\nA;1;2\n")
    assert refused.value.hint == "the first row must contain the headings: delete everything above them"


def test_columns_without_a_heading_need_no_word_and_equal_ones_are_told_apart_by_their_place():
    source = open_source(io.BufferedReader(io.BytesIO(b"Nombre;Precio;;;\nA;1;;;\n;;;;\n")), Reading())
    assert (source.unknown, [row.fields for row in source.rows]) == ([], [{"name": "A", "price": "1"}])
    text = "Nombre;Precio;Precio\nNata;1;2\n"
    with pytest.raises(UnreadableInput) as refused:
        judged(text)
    assert "#3=ignore" in refused.value.hint
    assert fields(text, mapping={"#3": "ignore"}) == [{"name": "Nata", "price": "1"}]
    assert fields(text, mapping={"#2": "ignore"}) == [{"name": "Nata", "price": "2"}]
    with pytest.raises(InvalidInput, match="2 columns are called 'precio': say which, #2 or #3"):
        judged(text, mapping={"precio": "ignore"})
    both = "Nombre;Precio;Notas;Notas\nNata;1;a;b\n"
    assert fields(both, mapping={"Notas": "ignore"}) == [{"name": "Nata", "price": "1"}]
    assert fields(both, mapping={"Notas": "tag"})[0]["tags"] == ["a", "b"]


def test_what_two_rows_say_differently_is_named_and_spelling_of_accents_is_no_difference():
    text = "Nombre;Precio;Stock\nCafé;1;2\nCafe\u0301;1;2\nCafé;2;3\nCAFÉ;1;2\n"
    rows = judged(text)
    assert isinstance(rows[1], RepeatedRow)
    assert reasons(text) == [
        "line 2 has this name and variant, with another price and stock",
        "line 2 has this name and variant, spelled otherwise",
    ]


@pytest.mark.parametrize(("keep", "price"), [("first", "1"), ("last", "3")])
@pytest.mark.parametrize("by", ["name", "sku"])
def test_of_rows_for_one_product_the_first_or_the_last_is_taken(by, keep, price):
    heading = "nombre" if by == "name" else "sku"
    found = judged(f"{heading};precio\nA;1\nB;5\nA;2\nA;3\n", keep=keep, by=by)
    taken = {row.fields[by]: row.fields["price"] for row in found if not isinstance(row, RepeatedRow)}
    assert taken == {"A": price, "B": "5"}
    assert [type(row) for row in found].count(RepeatedRow) == 2


def test_refusals_are_summed_by_reason():
    report = ImportReport()
    for row in judged("nombre;precio\nA;x\nB;y\nC;(1)\n"):
        report.refuse(row)
    assert report.refused_by_reason() == [
        {"column": "precio", "code": "not_a_price", "rows": 2},
        {"column": "precio", "code": "negative", "rows": 1},
    ]
    assert json.dumps(report.refused_by_reason())
