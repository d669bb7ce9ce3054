"""Records become products: headings, numbers, yes and no, repeats."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodcore.errors import InvalidInput, UnreadableInput
from prodcore.tabular.cells import CellRefused, NumberForm, PlainNumber, read_active, read_price, read_stock, read_tags
from prodcore.tabular.columns import SYNONYMS, count_known, map_columns, unknown_titles
from prodcore.tabular.csv import CsvText
from prodcore.tabular.report import RefusedRow
from prodcore.tabular.rows import RepeatedRow, Row, RowIndex, read_rows, without_repeats
from tests.support.catalogue import CATALOGUE, CONTRADICTED, PRODUCTS, REPEATED, ROWS, written

SMALL = Path(__file__).parents[1] / "data" / "small.csv"


def rows(text, locale="es", mapping=None):
    source = CsvText(io.BufferedReader(io.BytesIO(text.encode())), count_known)
    columns = map_columns(source.header.cells, mapping or {})
    with RowIndex() as seen:
        return list(without_repeats(read_rows(source.records(), columns, locale), seen))


def only_row(text, **options):
    (row,) = rows(text, **options)
    assert isinstance(row, Row), row
    return row.fields


def only_refusal(text, **options):
    refused = [row for row in rows(text, **options) if isinstance(row, RefusedRow)]
    assert len(refused) == 1
    (problem,) = refused[0].problems
    return refused[0].line, problem.column, problem.value, problem.code


@pytest.mark.parametrize(
    ("text", "locale", "amount", "currency"),
    [
        ("22,95 €", "es", "22.95", "EUR"),
        ("22,95\xa0€", "es", "22.95", "EUR"),
        ("1.234,50", "es", "1234.50", None),
        ("1.234.567", "es", "1234567", None),
        ("1 234,50 EUR", "es", "1234.50", "EUR"),
        ("-1,5", "es", "-1.5", None),
        ("1,234.50", "en", "1234.50", None),
        ("£ 3.20", "en", "3.20", "GBP"),
        ("usd 3", "en", "3", "USD"),
        ("22.95", "en", "22.95", None),
    ],
)
def test_prices_as_people_write_them(text, locale, amount, currency):
    assert read_price(text, NumberForm(locale)) == (amount, currency)


@pytest.mark.parametrize(
    ("text", "locale", "code"),
    [
        ("22.95", "es", "not_a_number"),
        ("22,95", "en", "not_a_number"),
        ("1.23,5", "es", "not_a_number"),
        ("12.34.56", "es", "not_a_number"),
        ("1,2,3", "es", "not_a_number"),
        ("€ 3 GBP", "es", "two_currencies"),
        ("gratis", "es", "not_a_price"),
        ("NaN", "en", "not_a_price"),
        ("1e9", "en", "not_a_price"),
        ("٣", "en", "not_a_price"),
        ("=1+1", "en", "not_a_price"),
    ],
)
def test_prices_that_mean_nothing_or_two_things(text, locale, code):
    with pytest.raises(CellRefused) as refused:
        read_price(text, NumberForm(locale))
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("22,95 €", "22.95"),
        ("22.95", "22.95"),
        ("1.234,50", "1234.50"),
        ("1,234.50", "1234.50"),
        ("0,500", "0.500"),
        ("1.234.567", "1234567"),
        ("1234", "1234"),
        ("1.2340", "1.2340"),
    ],
)
def test_a_number_that_can_mean_only_one_thing_needs_no_locale(text, amount):
    assert read_price(text, NumberForm(None))[0] == amount


@pytest.mark.parametrize("text", ["1.234", "1,234", "12.000 €"])
def test_a_number_that_could_mean_two_things_is_refused_with_the_way_out(text):
    for read in (read_price, read_stock):
        with pytest.raises(CellRefused, match=r"--locale es.*--locale en") as refused:
            read(text.removesuffix(" €"), NumberForm())
        assert refused.value.code == "ambiguous_number"


def test_a_plain_number_means_the_same_in_every_locale():
    for locale in ("es", "en", None):
        assert read_price(PlainNumber("1.234"), NumberForm(locale)) == ("1.234", None)
        assert read_stock(PlainNumber("1234"), NumberForm(locale)) == 1234


def test_a_number_in_the_other_locale_says_so():
    with pytest.raises(CellRefused, match="--locale es"):
        read_price("22,95 €", NumberForm("en"))


@given(st.decimals(min_value=0, max_value=10**9, places=2))
def test_a_price_means_the_same_in_both_locales(amount):
    english = f"{amount:,}"
    spanish = english.translate(str.maketrans(",.", ".,"))
    assert read_price(english, NumberForm("en"))[0] == read_price(spanish, NumberForm("es"))[0] == str(amount)


@given(st.text())
def test_any_text_is_a_price_or_refused(text):
    for locale in ("es", "en"):
        try:
            amount, _currency = read_price(text, NumberForm(locale))
        except CellRefused:
            continue
        assert amount.lstrip("-").replace(".", "", 1).isdigit()


def test_whole_numbers():
    assert read_stock("1.200", NumberForm("es")) == read_stock("1,200.00", NumberForm("en")) == 1200
    for text in ("1,5", "doce", "", "1.20"):
        with pytest.raises(CellRefused):
            read_stock(text, NumberForm("es"))


def test_yes_no_and_tags():
    assert [read_active(word) for word in ("Sí", "SI", "x", "no", "Falso", "0")] == [True, True, True] + [False] * 3
    with pytest.raises(CellRefused, match="neither"):
        read_active("quizás")
    assert read_tags("Aceite, vinagre y sal|bio") == ["Aceite, vinagre y sal", "bio"]


@pytest.mark.parametrize("heading", [name for names in SYNONYMS.values() for name in names])
def test_every_heading_is_known_in_any_case_and_without_accents(heading):
    from prodcore.routing import fold

    plain = heading if "ñ" in heading else fold(heading)
    assert count_known([heading, heading.upper(), plain, f" {heading}: ", heading.replace(" ", "_")]) == 5


def test_a_spanish_row():
    header = "Nombre;Presentación;PRECIO (€);Existencias;Código;Descripción;Categoría;Subcategoría;Etiquetas;Activo"
    fields = only_row(f"{header}\nArroz;1 kg;1,20 €;1.200;A-1;Redondo;Granos;Arroz, pasta;bio|eco;sí\n")
    assert fields == {
        "name": "Arroz",
        "variant": "1 kg",
        "price": "1.20",
        "currency": "EUR",
        "stock": 1200,
        "sku": "A-1",
        "description": "Redondo",
        "category": "Granos",
        "tags": ["Arroz, pasta", "bio", "eco"],
        "active": True,
    }


def test_an_empty_cell_and_a_missing_column_leave_the_field_alone():
    assert only_row("name,price,stock,sku\nArroz,1.20,,\n", locale="en") == {"name": "Arroz", "price": "1.20"}
    assert only_row("name,stock\nArroz,7\n") == {"name": "Arroz", "stock": 7}


def test_columns_can_be_said():
    text = "Artículo interno;PVP;notas\nArroz;1,20;x\n"
    assert only_row(text, mapping={"artículo interno": "name"}) == {"name": "Arroz", "price": "1.20"}
    assert only_row(text, mapping={"ARTICULO INTERNO": "name", "Notas": "description"})["description"] == "x"


@pytest.mark.parametrize(
    ("header", "mapping", "error", "says"),
    [
        (
            "nombre;coste",
            {},
            UnreadableInput,
            "no column contains anything but the name; the columns are nombre, coste",
        ),
        ("a;b", {}, UnreadableInput, "no column contains the name; the columns are a, b"),
        ("nombre;precio;pvp", {}, UnreadableInput, r"'precio' \(#2\) and 'pvp' \(#3\) both contain the price"),
        ("nombre;precio;precio", {}, UnreadableInput, "both contain the price"),
        ("nombre;precio", {"coste": "price"}, InvalidInput, "no column 'coste'"),
        ("nombre;precio", {"precio": "cost"}, InvalidInput, "'cost' is none of name, variant"),
    ],
)
def test_a_header_that_cannot_be_understood(header, mapping, error, says):
    with pytest.raises(error, match=says):
        rows(f"{header}\nArroz;1;2\n", mapping=mapping)


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        (";1,20", (2, "nombre", "", "missing")),
        ("Arroz;1;2", (2, "", "", "wrong_cell_count")),
        ("Arroz;gratis", (2, "precio", "gratis", "not_a_price")),
        ("\u200b;1", (2, "nombre", "\u200b", "unroutable_name")),
    ],
)
def test_a_bad_row_is_refused_with_line_column_value_and_code(line, refusal):
    assert only_refusal(f"nombre;precio\n{line}\n") == refusal


def test_a_refused_row_comes_along_as_it_stands_in_the_file():
    found = rows('nombre;precio;nota\nArroz;x;"a ""b"""\nPan;1;y;z\n"Sal"x;1;\nPan;1;\npan;2;y\n')
    assert [list(row.cells) for row in found if isinstance(row, RefusedRow)] == [
        ["Arroz", "x", 'a "b"'],
        ["Pan", "1", "y", "z"],
        ['"Sal"x;1;'],
        ["pan", "2", "y"],
    ]


def test_what_exports_and_refused_files_add_is_left_out_without_a_word():
    titles = ["refused line", "refused code", "id", "Name", "price", "created_at", "version", "notas", "Otra"]
    columns = map_columns(titles, {"Otra": "ignore"})
    assert [c.title for c in columns if c.target != "ignore"] == ["Name", "price"]
    assert unknown_titles(columns, {"Otra": "ignore"}) == ["notas"]


def test_a_row_of_a_file_by_sku_needs_no_name():
    source = CsvText(io.BufferedReader(io.BytesIO(b"sku;stock\nA-1;7\n;8\nA-1;9\nA-1;7\n")), count_known)
    columns = map_columns(source.header.cells, {}, ("sku",))
    with RowIndex() as seen:
        found = list(without_repeats(read_rows(source.records(), columns, "es", ("sku",)), seen))
    assert found[0].fields == {"sku": "A-1", "stock": 7}
    assert [r.problems[0].code for r in found[1:3]] == ["missing", "duplicate_in_file"]
    assert isinstance(found[3], RepeatedRow)
    with pytest.raises(UnreadableInput, match="no column contains the sku"):
        map_columns(["nombre", "precio"], {}, ("sku",))


def test_empty_cells_beyond_the_header_do_no_harm():
    assert only_row("nombre;precio\nArroz;1;;\n") == {"name": "Arroz", "price": "1"}


def test_all_problems_of_a_row_are_told_together():
    (row,) = rows("nombre;precio;stock\nArroz;x;y\n")
    assert [(p.column, p.code) for p in row.problems] == [("precio", "not_a_price"), ("stock", "not_a_number")]


def test_a_row_cannot_name_two_currencies():
    assert only_refusal("nombre;precio;moneda\nArroz;1 €;USD\n") == (2, "moneda", "USD", "two_currencies")


def test_a_row_said_twice_is_a_repeat_and_one_said_otherwise_is_refused():
    text = "nombre;presentacion;precio\nCafé;A;1\nCAFE;a ;2\n  café;A;1\nCafé;A;1\nCafé;B;1\n"
    found = rows(text)
    assert [type(row) for row in found] == [Row, RefusedRow, RefusedRow, RepeatedRow, Row]
    assert [row.line for row in found] == [2, 3, 4, 5, 6]
    assert found[1].problems[0].code == "duplicate_in_file"
    assert found[1].problems[0].reason.startswith("line 2 has this name and variant")
    assert found[3].first == 2


def test_a_sku_said_twice_is_refused():
    assert only_refusal("nombre;precio;sku\nArroz;1;S\nPan;1;S\n") == (3, "sku", "S", "duplicate_in_file")


def read(path):
    with path.open("rb") as file, RowIndex() as seen:
        text = CsvText(file, count_known)
        columns = map_columns(text.header.cells, {})
        assert [column.target for column in columns] == ["name", "variant", "price", "category", "tag"]
        return list(without_repeats(read_rows(text.records(), columns, "es"), seen))


def test_a_small_catalogue_reads_as_counted_by_hand():
    found = read(SMALL)
    assert [row.fields["name"][:20] for row in found if isinstance(row, Row)] == [
        "Café molido",
        "Café molido",
        'Galletas "de la abue',
        "Piñón",
        "Ñoras\r\nsecas",
        "Zumo",
        "Mezcla muy larga muy",
        "Mezcla demasiado lar",
        "Agua",
    ]
    refused = {row.line: row.problems[0].code for row in found if isinstance(row, RefusedRow)}
    assert refused == {4: "duplicate_in_file", 11: "not_a_price", 14: "missing"}
    assert [(row.line, row.first) for row in found if isinstance(row, RepeatedRow)] == [(3, 2)]


def test_a_whole_catalogue_reads_as_it_was_made():
    found = read(CATALOGUE)
    assert (len(found), sum(isinstance(row, Row) for row in found)) == (ROWS, PRODUCTS)
    refused = [row for row in found if isinstance(row, RefusedRow)]
    assert len(refused) == CONTRADICTED
    assert {problem.code for row in refused for problem in row.problems} == {"duplicate_in_file"}
    assert sum(isinstance(row, RepeatedRow) for row in found) == REPEATED


def test_the_catalogue_is_what_its_program_writes():
    assert CATALOGUE.read_bytes() == written()
