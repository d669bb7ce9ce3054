"""The preview of an import: values as they will be stored, cells corrected in it, duplicates, mappings."""

import io
import json
import re
from html.parser import HTMLParser

import openpyxl
import pytest

from prodcore.catalog.views import MAPPINGS
from prodcore.identity.rights import Role
from prodcore.tabular.columns import Column
from prodcore.tabular.source import Reading, SavedReading
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
    assert "No column contains the name" in page.text
    page = again(desk, page, **{"column:#2 cuesta": "price"})
    assert "1.5 → is stored as €1.50" in page.text


def test_another_delimiter_needs_no_other_upload(desk):
    page = look_at(desk, SUPPLIER, numbers="es")
    page = again(desk, page, delimiter="|")
    assert "No column contains the name" in page.text
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


def saved_mapping(desk, content=SUPPLIER, name="Mayorista Sur", **columns):
    """A preview from which a mapping was saved."""
    page = again(desk, look_at(desk, content, numbers="es"), **columns)
    return again(desk, page, "/products/import/mappings", mapping_name=name)


def test_a_mapping_is_saved_and_used_for_the_next_file(desk):
    page = saved_mapping(desk, "Cosa;Cuesta;Raro\nArroz;1,20;Granos\n", **{
        "column:#1 Cosa": "name", "column:#2 Cuesta": "price", "column:#3 Raro": "category",
    })  # fmt: skip
    assert "The mapping “Mayorista Sur” was saved." in page.text
    page = look_at(desk, "RARO;cuesta;cosa;Otra\nPastas;1.234;Fideos;x\n", mapping="Mayorista Sur")
    assert page.fields["numbers"] == "es"
    assert "1.234 → is stored as €1,234.00" in page.text
    stored(desk, page)
    assert products(desk) == [("Fideos", "", "1234", 0)]


def test_a_mapping_is_applied_in_the_preview_and_nothing_typed_is_lost(desk):
    saved_mapping(desk, **{"column:#4 Notas": "description"})
    page = again(desk, look_at(desk, SUPPLIER), **{"cell:4:#3 PVP": "0,95"})
    assert "Mayorista Sur (same columns)" in page.text
    page = again(desk, page, mapping="Mayorista Sur", apply="yes", mapping_name="Otro nombre")
    assert (page.fields["column:#4 Notas"], page.fields["numbers"]) == ("description", "es")
    assert (page.fields["cell:4:#3 PVP"], page.fields["mapping_name"]) == ("0,95", "Otro nombre")


def test_another_mapping_is_replaced_only_when_that_is_said(desk):
    saved_mapping(desk)
    page = saved_mapping(desk, name="mayorista SUR", **{"column:#4 Notas": "category"})
    assert "Another mapping has this name." in page.text
    page = again(desk, page, "/products/import/mappings", over="yes")
    assert "was saved" in page.text
    [view] = desk.catalog.mappings.of(MAPPINGS)[0]
    assert json.loads(view.query)["columns"]["Notas"] == "category"


def test_a_mapping_without_a_name_is_not_saved(desk):
    page = saved_mapping(desk, name=" ")
    assert "Fill this in." in page.text
    assert page.fields["file"]


def test_mappings_are_listed_renamed_and_removed(desk):
    saved_mapping(desk)
    saved_mapping(desk, name="Cooperativa")
    page = desk.get("/products/import/mappings").text
    assert "PVP → Price" in Form(page).text
    first, second = re.findall(r'action="(/products/import/mappings/[^"]+)"', page)
    refused = desk.post(first, {"action": "rename", "mapping_name": "cooperativa"}, page="/products/import")
    assert (refused.status_code, Form(refused.text).fields["mapping_name"]) == (422, "cooperativa")
    assert "Another mapping has this name." in refused.text
    assert desk.post(first, {"action": "rename", "mapping_name": "Norte"}, page="/products/import").status_code == 303
    assert desk.post(second, {"action": "remove"}, page="/products/import").status_code == 303
    assert [view.name for view in desk.catalog.mappings.of(MAPPINGS)[0]] == ["Norte"]
    gone = desk.post(second, {"action": "rename", "mapping_name": "Este"}, page="/products/import")
    assert gone.status_code == 303
    assert "This mapping no longer exists." in desk.get("/products/import/mappings").text


def test_who_may_not_import_sees_no_mapping():
    assert Desk(Role.VIEWER).get("/products/import/mappings").status_code == 403


def test_a_file_of_another_supplier_is_read_as_far_as_the_mapping_says(desk):
    saved = SavedReading(columns={"PVP": "price", "Ref. antigua": "sku", "#3": "category"})
    assert saved.targets(["Nombre", "pvp", ""]) == {1: "price", 2: "category"}
    assert saved.missing(["Nombre", "pvp", ""]) == ["Ref. antigua"]
    assert not saved.fits(["Nombre", "pvp", ""])
    said = Reading(mapping={"PVP": "ignore"}, saved=saved).given(["Nombre", "pvp", ""])
    assert said == {"#3": "category", "PVP": "ignore"}


@pytest.mark.parametrize("content", ["nombre;precio;precio;\na;1;2;3\n", "Nombre,Precio,Nota\na,1,2\n"])
def test_what_is_saved_of_a_file_reads_the_same_file_alike(desk, content):
    titles = content.splitlines()[0].split(";" if ";" in content else ",")
    columns = [Column(i, title, ("name", "price", "ignore", "ignore")[i]) for i, title in enumerate(titles)]
    saved = SavedReading.of_columns(columns, "sku", "en", "|")
    assert SavedReading.from_text(saved.as_text()) == saved
    assert saved.targets(titles) == {column.index: column.target for column in columns}
    assert saved.fits(titles)
