"""The preview of an import: values as they will be stored, cells corrected in it, and the line that says otherwise."""

import io
import json
from html.parser import HTMLParser

import openpyxl
import pytest

from tests.support.desk import Desk


class Form(HTMLParser):
    """What a form of a page would send, and what the page says."""

    def __init__(self, page):
        super().__init__()
        self.fields, self._select, self._textarea, self._texts = {}, None, None, []
        self.feed(page)
        self.text = " ".join(" ".join(self._texts).split())

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "input" and "name" in given:
            self.fields.setdefault(given["name"], given.get("value", ""))
        elif tag == "select":
            self._select = given["name"]
        elif tag == "option" and "selected" in given:
            self.fields[self._select] = given["value"]
        elif tag == "textarea":
            self._textarea = given["name"]

    def handle_data(self, data):
        if self._textarea:
            self.fields[self._textarea] = data.removeprefix("\n")
            self._textarea = None
        self._texts.append(data)


@pytest.fixture
def desk():
    return Desk()


def look_at(desk, content, name="supplier.csv", **options):
    """Give a file, and get its preview."""
    content = content.encode() if isinstance(content, str) else content
    form = {"upload": (io.BytesIO(content), name), **options}
    return Form(desk.post("/products/import", form, page="/products/import").text)


def again(desk, form, path="/products/import", **changes):
    """Send the form of a preview, changed."""
    return Form(desk.post(path, form.fields | changes, page="/products/import").text)


def stored(desk, form):
    return again(desk, form, "/products/import/run")


def products(desk):
    """Name, presentation, price and stock of what is stored."""
    lines = desk.get("/products/export?format=ndjson").text.splitlines()
    return [
        tuple(product[name] for name in ("name", "variant", "price", "stock")) for product in map(json.loads, lines)
    ]


SUPPLIER = "Artículo;Formato;PVP;Notas\nAceite;1 l;8,95;\nPan;;1.234;nuevo\nLeche;Brik 1 l;barato;\n"


def test_each_column_shows_values_as_they_will_be_stored(desk):
    page = look_at(desk, SUPPLIER, numbers="es")
    assert "8,95 → is stored as €8.95" in page.text
    assert "1.234 → is stored as €1,234.00" in page.text
    assert "barato It is not a price." in page.text
    assert "From €8.95 to €1,234.00" in page.text
    page = again(desk, page, numbers="en")
    assert "8,95 It is not a number in the chosen number format." in page.text
    assert "1.234 → is stored as €1.234" in page.text


def test_values_are_shown_before_the_columns_are_a_possible_choice(desk):
    page = look_at(desk, "cosa,cuesta\nAlubias,1.5\n")
    assert "No column gives the name" in page.text
    page = again(desk, page, **{"column:#2 cuesta": "price"})
    assert "1.5 → is stored as €1.50" in page.text


def test_another_delimiter_needs_no_other_upload(desk):
    page = look_at(desk, SUPPLIER, numbers="es")
    page = again(desk, page, delimiter="|")
    assert "No column gives the name" in page.text
    page = again(desk, page, delimiter="")
    assert "€8.95" in page.text


def test_a_file_that_cannot_be_read_otherwise_is_not_to_be_chosen_again(desk):
    page = look_at(desk, 'name;price\n"Arroz";1\n', numbers="es")
    page = again(desk, page, delimiter="|")
    assert page.fields["file"]
    page = again(desk, page, delimiter=";")
    assert "Arroz" in page.text


def test_a_bad_cell_is_corrected_in_place_and_its_row_is_stored(desk):
    page = look_at(desk, SUPPLIER, numbers="es")
    assert page.fields["cell:4:#3 PVP"] == "barato"
    page = again(desk, page, **{"cell:4:#3 PVP": "0,95"})
    assert "Corrected rows Line 4" in page.text
    assert "In the file: barato" in page.text
    assert "Store 3 rows" in page.text
    done = stored(desk, page)
    assert "All rows processed" in done.text
    assert products(desk) == [
        ("Aceite", "1 l", "8.95", 0),
        ("Leche", "Brik 1 l", "0.95", 0),
        ("Pan", "", "1234", 0),
    ]


def test_what_was_typed_survives_another_reading_of_the_file(desk):
    page = look_at(desk, SUPPLIER, numbers="es")
    page = again(desk, page, **{"cell:4:#3 PVP": "0,95"}, delimiter="|")
    assert "Corrected rows" not in page.text
    page = again(desk, page, delimiter=";", numbers="en")
    assert page.fields["cell:4:#3 PVP"] == "0,95"
    page = again(desk, page, **{"column:#3 PVP": "ignore"})
    page = again(desk, page, **{"column:#3 PVP": "price"}, numbers="es")
    assert page.fields["cell:4:#3 PVP"] == "0,95"
    assert "Store 3 rows" in page.text


def test_what_was_not_looked_at_is_shown_before_it_is_stored(desk):
    page = look_at(desk, SUPPLIER, numbers="es")
    page = again(desk, page, "/products/import/run", **{"cell:4:#3 PVP": "0,95"})
    assert "Nothing is stored yet" in page.text
    assert products(desk) == []
    assert "All rows processed" in stored(desk, page).text


def test_the_duplicate_is_shown_beside_the_line_before_it(desk):
    page = look_at(desk, "name;variant;price\nArroz;1 kg;1,20\nPan;;1\nArroz;1 kg;1,50\n", numbers="es")
    assert "Line 4 name An earlier row has the same product with other values." in page.text
    assert "price Line 2: 1,20" in page.text
    assert page.fields["cell:4:#3 price"] == "1,50"
    page = again(desk, page, **{"cell:4:#2 variant": "5 kg"})
    stored(desk, page)
    assert ("Arroz", "5 kg", "1.50", 0) in products(desk)


def test_a_row_with_a_cell_too_many_is_put_right(desk):
    page = look_at(desk, "name,price,stock\nLeche,1,20,5\n", numbers="es")
    page = again(desk, page, **{"cell:2:#2 price": "1,20", "cell:2:#3 stock": "5", "cell:2:#4 ": ""})
    stored(desk, page)
    assert products(desk) == [("Leche", "", "1.20", 5)]


def test_what_the_catalogue_would_refuse_can_be_corrected_too(desk):
    page = look_at(desk, "name;sku;price\nArroz;A1;1\nPan;A1;2\nLeche;L1;\n", numbers="es")
    assert page.fields["cell:4:#3 price"] == ""
    page = again(desk, page, **{"cell:3:#2 sku": "P1", "cell:4:#3 price": "0,95"})
    stored(desk, page)
    assert [name for name, *_ in products(desk)] == ["Arroz", "Leche", "Pan"]


def test_an_untouched_number_of_a_sheet_is_read_as_the_sheet_has_it(desk):
    book = openpyxl.Workbook()
    for row in (["Nombre", "Precio", "Existencias"], ["Alga", 1.5, "muchas"], ["Nori", 2.25, 4]):
        book.active.append(row)
    file = io.BytesIO()
    book.save(file)
    page = look_at(desk, file.getvalue(), "algas.xlsx", numbers="es")
    assert page.fields["cell:2:#2 Precio"] == "1.5"
    stored(desk, again(desk, page, **{"cell:2:#3 Existencias": "3"}))
    assert products(desk) == [("Alga", "", "1.5", 3), ("Nori", "", "2.25", 4)]


def test_a_line_of_ndjson_is_corrected_as_a_whole(desk):
    page = look_at(desk, '{"name": "Miso", "price": "2.10"}\n{"name": "Tofu", "price": "cheap"}\n', "soja.ndjson")
    line = page.fields["cell:2:#1 "]
    stored(desk, again(desk, page, **{"cell:2:#1 ": line.replace("cheap", "1.95")}))
    assert [name for name, *_ in products(desk)] == ["Miso", "Tofu"]


def test_a_cell_of_several_lines_stays_as_it_is_while_another_is_corrected(desk):
    page = look_at(desk, 'name;description;price\nArroz;"uno\ndos";caro\n', numbers="es")
    assert page.fields["cell:2:#2 description"] == "uno\ndos"
    typed = {"cell:2:#2 description": "uno\r\ndos", "cell:2:#3 price": "1,20"}
    page = again(desk, page, **typed)
    assert page.text.count("In the file:") == 1


def test_what_stays_refused_is_given_back_as_it_was_typed(desk):
    page = look_at(desk, SUPPLIER, numbers="es")
    page = again(desk, page, **{"cell:4:#2 Formato": "Brik 2 l"})
    done = stored(desk, page)
    assert "Brik 2 l" in done.fields["refused_row"]
