"""A file is taken for what it is: CSV, XLSX or JSON objects; damaged and dangerous ones are refused in a sentence."""

import io
import tracemalloc
import zipfile
from decimal import Decimal

import openpyxl
import pytest

from prodcore.deadline import budget
from prodcore.errors import InvalidInput, UnreadableInput
from prodcore.tabular.report import RefusedRow
from prodcore.tabular.rows import RowIndex, without_repeats
from prodcore.tabular.sheets import MAX_TEXTS_BYTES
from prodcore.tabular.source import Reading, kind_of, open_source


def opened(data, **how):
    return open_source(io.BufferedReader(io.BytesIO(data)), Reading(**how))


def fields(data, **how):
    return [row.fields for row in opened(data, **how).rows]


def refusals(data, **how):
    return [
        (row.line, p.column, p.code)
        for row in opened(data, **how).rows
        if isinstance(row, RefusedRow)
        for p in row.problems
    ]


def workbook(*rows, hidden_first=False):
    book = openpyxl.Workbook()
    sheet = book.active
    if hidden_first:
        sheet.append(["secret"])
        sheet.sheet_state = "hidden"
        sheet = book.create_sheet()
    for row in rows:
        sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def json_lines(*lines):
    return "".join(line + "\n" for line in lines).encode()


class Pipe(io.RawIOBase):
    """A stream that cannot go back."""

    def __init__(self, data):
        self._data = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self._data.readinto(buffer)


def test_the_first_bytes_tell_what_a_file_is():
    assert opened(b"\xef\xbb\xbfnombre;precio\n").kind == "CSV"
    assert opened(b'\xef\xbb\xbf\n {"name": "Arroz"}').kind == "NDJSON"
    assert opened(workbook(["nombre", "precio"])).kind == "XLSX"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old or a locked Excel file"),
        (b'[{"name": "Arroz"}]', "one JSON list"),
        (b"PK\x03\x04 and nothing of a workbook", "damaged"),
        (workbook(["nombre", "precio"])[:-30], "damaged"),
        (workbook([]), "the first sheet is empty"),
        (workbook(["a", "b"]), "no column contains the name"),
        (b"", "the file is empty"),
    ],
)
def test_what_is_no_file_of_products_is_refused_in_a_sentence(data, says):
    with pytest.raises(UnreadableInput, match=says):
        opened(data)


def test_an_archive_that_is_no_workbook_is_named_with_what_it_holds():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("hello.txt", "hello")
    with pytest.raises(UnreadableInput, match=r"ZIP archive that contains hello\.txt"):
        opened(file.getvalue())


def test_options_that_mean_nothing_for_a_file_are_refused():
    for how in ({"delimiter": ";"}, {"encoding": "utf-8"}):
        for data in (workbook(["nombre", "precio"]), b'{"name": "a"}'):
            with pytest.raises(InvalidInput, match=f"--{next(iter(how))} has no effect"):
                opened(data, **how)


def test_an_object_says_exactly_what_it_is():
    line = '{"name": "Café", "price": 1.50, "sku": null, "tags": ["a, b"], "stock": 0, "active": false, "id": "x"}'
    assert fields(json_lines(line, "", '{"nombre": "Pan", "PVP": "1.234"}')) == [
        {"name": "Café", "price": "1.50", "sku": None, "tags": ["a, b"], "stock": 0, "active": False},
        {"name": "Pan", "price": "1.234"},
    ]
    assert fields(json_lines('{"que": "Pan", "price": 1}'), mapping={"que": "name"}) == [{"name": "Pan", "price": 1}]


@pytest.mark.parametrize(
    ("line", "column", "code"),
    [
        ('{"name": "a", "price": 1', "", "bad_json"),
        ('{"name": "a", "name": "b"}', "", "bad_json"),
        ('{"name": "a", "price": NaN}', "", "bad_json"),
        ('{"name": "a", "price": 1e99999999999999999999}', "", "bad_json"),
        ('{"name": "a", "price": 0e-99999999999999999999}', "", "bad_json"),
        ('{"name": "a", "price": 1, "stock": ' + "9" * 70 + "}", "", "bad_json"),
        ('{"name": "a", "price": 1, "stock": ' + "9" * 5000 + "}", "", "bad_json"),
        (r'{"name": "a\ud800", "price": 1}', "", "bad_json"),
        ("[" * 100_000, "", "line_too_long"),
        ('{"name": ' + "[" * 20_000, "", "bad_json"),
        ('"Arroz"', "", "bad_json"),
        ('{"price": 1}', "name", "missing"),
        ('{"name": 1, "price": 1}', "name", "wrong_type"),
        ('{"name": 1.5, "price": 1}', "name", "wrong_type"),
        ('{"name": null, "price": 1}', "name", "wrong_type"),
        ('{"name": "a", "price": {"$gt": 0}}', "price", "wrong_type"),
        ('{"name": "a", "tags": "b"}', "tags", "wrong_type"),
        ('{"name": "a", "tags": [1.5]}', "tags", "wrong_type"),
        ('{"name": "a", "nombre": "b"}', "nombre", "repeated"),
        ('{"name": "a", "cost": 1}', "cost", "extra_forbidden"),
    ],
)
def test_a_line_that_is_no_product_is_refused_alone(line, column, code):
    data = json_lines('{"name": "before", "price": 1}', line, '{"name": "after", "price": 1}')
    assert refusals(data) == [(2, column, code)]
    assert len(list(opened(data).rows)) == 3


@pytest.mark.parametrize("line", ['"price": 1e99999999999999999999', '"stock": ' + "9" * 5000])
def test_a_number_beyond_all_is_refused_in_our_words(line):
    [row] = opened(json_lines(f'{{"name": "a", {line}}}')).rows
    assert row.problems[0].reason.endswith("has too many digits")


def test_a_line_that_is_not_utf8_is_refused_alone():
    assert refusals(b'{"name": "a"}\n{"name": "\xf1"}\n') == [(2, "", "bad_encoding")]


def test_numbers_of_a_sheet_mean_themselves_in_every_locale():
    data = workbook(
        ["Nombre", "Precio", "Existencias", "Código", "Activo", "Descripción"],
        ["Arroz", 1.234, 1200.0, 8480000100128, True, "2026-01-02"],
        ["Pan", 0.1 + 0.2, 3, None, False, None],
        [],
        ["Sal", "1.234,50 €", "7", "A-1", "no", "texto"],
        [1234.5, Decimal("2"), None],
    )
    found = fields(data, locale="es")
    assert found[0] == {
        "name": "Arroz",
        "price": "1.234",
        "stock": 1200,
        "sku": "8480000100128",
        "active": True,
        "description": "2026-01-02",
    }
    assert found[1] == {"name": "Pan", "price": "0.3", "stock": 3, "active": False}
    assert (found[2]["price"], found[2]["currency"], found[2]["active"]) == ("1234.50", "EUR", False)
    assert found[3] == {"name": "1234.5", "price": "2"}
    assert [row.line for row in opened(data, locale="es").rows] == [2, 3, 5, 6]


def test_a_sheet_is_read_from_a_pipe_and_the_first_one_that_people_see():
    data = workbook(["nombre", "precio"], ["Arroz", 1], hidden_first=True)
    source = open_source(io.BufferedReader(Pipe(data)), Reading())
    assert [row.fields for row in source.rows] == [{"name": "Arroz", "price": "1"}]


def test_the_error_of_a_formula_refuses_its_row_and_no_other():
    data = workbook(["nombre", "precio", "nota"], ["Arroz", "#N/A", ""], ["Pan", 1, "#REF!"], ["#DIV/0!", 1])
    assert refusals(data) == [(2, "precio", "formula_error"), (4, "nombre", "formula_error")]


def test_rows_of_a_sheet_that_are_too_wide_or_too_long_are_refused_alone():
    data = workbook(
        ["nombre", "precio"], ["Arroz", 1], ["x"] * 257, ["a", 1, "b" * 32_000, "c" * 32_000, "d" * 3000], ["Pan", 2]
    )
    assert refusals(data) == [(3, "", "too_many_cells"), (4, "", "line_too_long")]
    assert len(list(opened(data).rows)) == 4


def unfolding(name, size):
    """A workbook one part of which is mostly air."""
    file = io.BytesIO(workbook(["nombre", "precio"], ["Arroz", 1]))
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as part:
        for _ in range(size >> 20):
            part.write(b" " * (1 << 20))
    return file.getvalue()


def changed(data, name, change):
    """An archive in which one part is another."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w") as new:
        for part in old.infolist():
            content = old.read(part)
            new.writestr(part.filename, change(content) if part.filename == name else content)
    return file.getvalue()


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1e300", "9" * 60])
def test_a_count_beyond_all_refuses_its_row_and_no_other(number):
    """The service would not read such a number, nor the rows beside it."""
    book = workbook(["name", "price", "stock"], ["before", 1, 2], ["a", 1, 77], ["after", 1, 2])
    sheet = changed(book, "xl/worksheets/sheet1.xml", lambda part: part.replace(b">77<", f">{number}<".encode()))
    assert refusals(sheet) == [(3, "stock", "int_parsing_size")]
    if number.isdigit():
        assert refusals(f"name;price;stock\na;1;{number}\n".encode()) == [(2, "stock", "int_parsing_size")]


@pytest.mark.parametrize("damage", ["place", "data", "end", "method", "locked", "name"])
def test_an_archive_with_a_wrong_byte_is_damaged_and_nothing_worse(damage):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet" * 9)
        archive.writestr("xl/workbook.xml", "<a/>" * 9)
    data = bytearray(file.getvalue())
    listed, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    packed = 30 + len("mimetype")
    match damage:
        case "place":
            data[listed + 42 : listed + 46] = b"\xff\xff\xff\x7f"
        case "data":
            data[packed : packed + 20] = b"\xff" * 20
        case "end":
            data[end + 16 : end + 20] = b"\xff\xff\0\0"
        case "method":
            data[8:10] = data[listed + 10 : listed + 12] = b"\x63\0"
        case "locked":
            data[6], data[listed + 8] = 1, 1
        case "name":
            data[listed + 8 : listed + 10], data[listed + 46] = b"\0\x08", 0xFF
    with pytest.raises(UnreadableInput, match="the workbook is damaged"):
        list(opened(bytes(data)).rows)


def test_a_text_nested_without_end_is_damage():
    spans = 3_000
    cell = f"<p>{'<span>' * spans}a{'</span>' * spans}</p>"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", f"<t><table><table-row><table-cell>{cell}</table-cell></table-row></table></t>")
    with pytest.raises(UnreadableInput, match="the workbook is damaged"):
        opened(file.getvalue())


def test_what_an_archive_is_is_told_by_its_first_characters_alone():
    """Its mimetype may unfold to anything: 64 MiB here, of which nothing is held."""
    data = unfolding("mimetype", 64 << 20)
    tracemalloc.start()
    try:
        assert kind_of(data[:512], io.BytesIO(data)) == "XLSX"
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_zip_bomb_is_refused_unread():
    data = unfolding("xl/worksheets/sheet9.xml", 64 << 20)
    assert len(data) < 100_000
    with pytest.raises(UnreadableInput, match="far more than a sheet of products"):
        opened(data)


def test_entities_that_multiply_are_refused():
    bomb = '<!DOCTYPE b [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
    source = workbook(["nombre", "precio"], ["Arroz", 1])
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(source)) as old, zipfile.ZipFile(file, "w") as new:
        for part in old.infolist():
            content = old.read(part)
            if part.filename == "xl/worksheets/sheet1.xml":
                content = bomb.encode() + content.replace(b"Arroz", b"&b;")
            new.writestr(part.filename, content)
    with pytest.raises(UnreadableInput, match="damaged"):
        list(opened(file.getvalue()).rows)


def test_more_texts_than_fit_in_memory_are_refused_with_the_way_out():
    file = io.BytesIO(workbook(["nombre", "precio"]))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("xl/sharedStrings.xml", b" " * (MAX_TEXTS_BYTES + 1))
    with pytest.raises(UnreadableInput, match="16 MiB of different texts") as refused:
        opened(file.getvalue())
    assert "CSV" in refused.value.hint


@pytest.mark.parametrize(
    "data",
    [b"name,price\n" + b"a,1\n" * 3, workbook(["name", "price"], ["a", 1]), json_lines('{"name": "a", "price": "1"}')],
    ids=["CSV", "XLSX", "NDJSON"],
)
def test_a_file_is_read_within_the_time_that_there_is(data):
    """On the command line there is no limit; a request ends with a sentence, however much a small file unfolds to."""
    assert fields(data)
    with budget(0), pytest.raises(UnreadableInput, match="takes too long"), RowIndex() as seen:
        list(without_repeats(opened(data).rows, seen))
