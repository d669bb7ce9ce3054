"""Bytes of CSV files, as people's programs write them, become records; broken lines stay alone."""

import csv
import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodcore.errors import UnreadableInput
from prodcore.tabular.columns import count_known
from prodcore.tabular.csv import CsvRecord, CsvText
from prodcore.tabular.report import RefusedRow, escape_formula, unescape_formula

HEADER = b"nombre;precio\r\n"


def read(data, **options):
    text = CsvText(io.BufferedReader(io.BytesIO(data)), count_known, **options)
    return text, list(text.records())


def cells(records):
    return [(r.line, list(r.cells)) for r in records if isinstance(r, CsvRecord)]


def problems(records):
    return [(r.line, r.problems[0].code) for r in records if isinstance(r, RefusedRow)]


@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_finds_the_delimiter_whatever_ends_the_lines(delimiter, ending):
    lines = [delimiter.join(row) for row in (("nombre", "precio"), ("Arroz", "1.20"), ("Pan", "2"))]
    text, records = read(ending.join(lines).encode())
    assert text.delimiter == delimiter
    assert cells(records) == [(2, ["Arroz", "1.20"]), (3, ["Pan", "2"])]
    assert not problems(records)


def test_takes_the_delimiter_that_makes_known_headings_and_not_the_most_frequent_one():
    text, records = read("nombre;precio;notas, muchas, aquí\nArroz;1,20;a,b,c\n".encode())
    assert text.delimiter == ";"
    assert cells(records) == [(2, ["Arroz", "1,20", "a,b,c"])]


def test_believes_the_line_in_which_excel_names_the_delimiter():
    text, records = read(b"sep=|\r\nnombre|precio\r\nArroz|1\r\n")
    assert text.delimiter == "|"
    assert cells(records) == [(3, ["Arroz", "1"])]


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ("nombre;precio\nCafé ñ €;1\n".encode(), "UTF-8"),
        ("nombre;precio\nCafé ñ €;1\n".encode("utf-8-sig"), "UTF-8"),
        ("nombre;precio\nCafé ñ €;1\n".encode("cp1252"), "Windows-1252"),
        ("nombre;precio\nCafé ñ €;1\n".encode("utf-16"), "utf-16"),
    ],
    ids=["utf-8", "utf-8 with BOM", "cp1252", "utf-16"],
)
def test_finds_the_encoding(data, encoding):
    text, records = read(data)
    assert list(text.header.cells) == ["nombre", "precio"]
    assert cells(records) == [(2, ["Café ñ €", "1"])]
    assert text.encoding == encoding


def test_refuses_lines_that_contradict_the_encoding_of_the_lines_before():
    latin_in_utf8 = HEADER + "Café;1\n".encode() + "Jamón;2\n".encode("cp1252") + b"Pan;3\n"
    _text, records = read(latin_in_utf8)
    assert cells(records) == [(2, ["Café", "1"]), (4, ["Pan", "3"])]
    assert problems(records) == [(3, "bad_encoding")]
    utf8_in_latin = HEADER + "Café;1\n".encode("cp1252") + "Jamón;2\n".encode() + b"Pan;3\n"
    assert problems(read(utf8_in_latin)[1]) == [(3, "bad_encoding")]


def test_refuses_lines_that_are_not_in_the_given_encoding():
    _text, records = read(HEADER + "Café;1\n".encode("cp1252") + b"Pan;3\n", encoding="utf-8")
    assert problems(records) == [(2, "bad_encoding")]
    assert cells(records) == [(3, ["Pan", "3"])]


def test_reads_cells_of_several_lines_and_counts_the_lines_of_the_file():
    _text, records = read(b'nombre;precio\n"Arroz\n""largo""";1\n\n  ;\nPan;2\n')
    assert cells(records) == [(2, ['Arroz\n"largo"', "1"]), (6, ["Pan", "2"])]


def test_an_unclosed_quote_costs_only_its_own_line():
    rest = "".join(f"Pan {i};{i}\n" for i in range(3000)).encode()
    _text, records = read(HEADER + b'"Arroz;1\n' + rest)
    assert problems(records) == [(2, "unclosed_quote")]
    assert len(cells(records)) == 3000
    assert cells(records)[0] == (3, ["Pan 0", "0"])


def test_an_unclosed_quote_on_the_last_line_is_refused():
    assert problems(read(HEADER + b'Pan;1\n"Arroz;2')[1]) == [(3, "unclosed_quote")]


def test_text_after_a_closing_quote_is_refused_and_quotes_inside_words_are_not():
    _text, records = read(HEADER + b'"Arroz"x;1\nTubo 3/4";2\n')
    assert problems(records) == [(2, "bad_quotes")]
    assert cells(records) == [(3, ['Tubo 3/4"', "2"])]


@given(st.text(alphabet="'=+-@ab\t", max_size=6))
def test_a_cell_that_was_made_harmless_is_read_as_it_was(cell):
    assert unescape_formula(escape_formula(cell)) == cell
    assert not escape_formula(cell).startswith(("=", "+", "-", "@", "\t"))
    row = io.StringIO()
    csv.writer(row, delimiter=";").writerow([escape_formula(cell), "1"])
    expected = [(2, [cell, "1"])]
    assert cells(read(HEADER + row.getvalue().encode())[1]) == expected


def test_a_nul_stays_a_character_of_its_cell():
    assert cells(read(HEADER + b"A\x00rroz;1\n")[1]) == [(2, ["A\x00rroz", "1"])]


def test_a_huge_line_is_refused_in_little_memory():
    class Huge(io.RawIOBase):
        """A line of 64 MiB after the header, then a good row."""

        def __init__(self):
            self.left = 64 * 1024 * 1024
            self.ends = [HEADER, b"\nPan;2\n"]

        def readable(self):
            return True

        def readinto(self, buffer):
            if len(self.ends) == 2 or not self.left:
                data = self.ends.pop(0) if self.ends else b""
            else:
                data = b"x" * min(len(buffer), self.left)
                self.left -= len(data)
            buffer[: len(data)] = data
            return len(data)

    tracemalloc.start()
    text = CsvText(io.BufferedReader(Huge(), 1 << 20), count_known, delimiter=";")
    records = list(text.records())
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert problems(records) == [(2, "line_too_long")]
    assert cells(records) == [(3, ["Pan", "2"])]
    assert peak < 8 * 1024 * 1024


@pytest.mark.parametrize("data", [b"", b"\n\r\n", b"\xef\xbb\xbf", b"sep=;\n"], ids=["nothing", "blank", "BOM", "sep"])
def test_a_file_without_a_header_cannot_be_read(data):
    with pytest.raises(UnreadableInput, match="empty"):
        read(data)


def test_a_header_alone_is_a_file_with_no_rows():
    text, records = read(HEADER)
    assert list(text.header.cells) == ["nombre", "precio"]
    assert records == []
