"""Importing a file in the browser: what it would do first, then step by step, with and without a script; and back."""

import json
import re
from uuid import uuid4

import openpyxl
import pytest
from playwright.sync_api import expect

from tests.support.browser import IN_EVERY_VIEW, SCRIPT_OR_NOT, complaints_of_axe, log_in, open_page
from tests.support.catalogue import CATALOGUE
from tests.support.products import stored, write_csv


def look_at(page, path, **options):
    page.goto("/products/import")
    page.get_by_label("File", exact=True).set_input_files(path)
    for label, value in options.items():
        page.locator(f"#{label}").select_option(value)
    page.get_by_role("button", name="Preview").click()


@SCRIPT_OR_NOT
def test_a_file_is_looked_at_stored_in_steps_and_the_refused_rows_are_kept(browser, site, tmp_path, javascript):
    word = uuid4().hex[:8]
    with open_page(browser, site, java_script_enabled=javascript) as page:
        log_in(page, site, "editor")
        page.get_by_role("link", name="Import", exact=True).first.click()  # an empty catalogue offers it twice
        look_at(page, write_csv(tmp_path, word, 1100), numbers="es")
        expect(page.get_by_role("heading", level=1)).to_have_text("Import preview")
        expect(page.get_by_label("Figures")).to_contain_text("New1,100")
        expect(page.get_by_label("Figures")).to_contain_text("Refused1")
        expect(page.get_by_label("Figures")).to_contain_text("Repeated1")
        expect(page.locator(".open-row .field-error")).to_contain_text("It is not a price.")
        expect(page.get_by_role("table").last).to_contain_text("€1.20")
        assert stored(site, word) == [], "nothing is stored by looking"
        page.get_by_role("button", name="Store 1,100 rows").click()
        if not javascript:
            expect(page.get_by_text("500 of 1,100")).to_be_visible()
            page.get_by_role("button", name="Continue").click()
            page.get_by_role("button", name="Continue").click()
        expect(page.get_by_text("All rows processed")).to_be_visible()
        expect(page.locator("dl.facts")).to_contain_text("New1,100")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download the refused rows").click()
        download.value.save_as(tmp_path / "refused.csv")
        text = (tmp_path / "refused.csv").read_text("utf-8-sig")
        assert "refused line;" in text
        assert f"'=Mala {word};Bolsa;mucho;1" in text
    assert len(stored(site, word)) == 200

    (tmp_path / "refused.csv").write_text(text.replace(";mucho;1\n", ";2,5;1\n"), "utf-8")
    with open_page(browser, site) as page:
        log_in(page, site, "editor")
        look_at(page, tmp_path / "refused.csv", numbers="es")
        page.get_by_role("button", name="Store 1 row").click()
        expect(page.locator("dl.facts")).to_contain_text("New1")
    assert [p["name"] for p in stored(site, f"mala {word}")] == [f"=Mala {word}"]


def write_xlsx(path, rows):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)


def test_a_second_import_shows_what_it_would_change_and_both_are_taken_back(browser, site, tmp_path):
    word = uuid4().hex[:8]
    rows = [["Nombre", "Precio", "Existencias"], [f"Alga {word}", 1.5, 3], [f"Nori {word}", 2, 4]]
    write_xlsx(tmp_path / "algas.xlsx", rows)
    rows[1][1], rows[2][2] = 1.75, 40
    write_xlsx(tmp_path / "más algas.xlsx", [*rows, [f"Wakame {word}", 3, 5]])
    with open_page(browser, site) as page:
        log_in(page, site, "editor")
        for name in ("algas.xlsx", "más algas.xlsx"):
            look_at(page, tmp_path / name)
            if name != "algas.xlsx":
                expect(page.get_by_label("Figures")).to_contain_text("Updated2")
                changes = page.locator(".changes")
                expect(changes).to_contain_text("€1.50 → after: €1.75", use_inner_text=True)
                expect(changes).to_contain_text(f"Nori {word}")
            page.get_by_role("button", name="Store").click()
            expect(page.get_by_text("All rows processed")).to_be_visible()
        assert [(p["price"], p["stock"]) for p in stored(site, word)] == [("1.75", 3), ("2", 40), ("3", 5)]

        page.get_by_role("link", name="Undo the import").click()
        expect(page.get_by_role("heading", level=2)).to_have_text("más algas.xlsx")
        expect(page.get_by_text("1 created product is deleted")).to_be_visible()
        page.get_by_role("button", name="Undo the import").click()
        expect(page.get_by_text("All products processed")).to_be_visible()
        assert [(p["price"], p["stock"]) for p in stored(site, word)] == [("1.5", 3), ("2", 4)]
        page.get_by_role("link", name="Go to imports").click()
        row = page.get_by_role("row", name="más algas.xlsx").first
        expect(row).to_contain_text("undone")
        expect(row).to_contain_text("editor")

        page.goto("/products/imports")
        page.get_by_role("link", name="Undo algas.xlsx", exact=True).first.click()
        page.get_by_role("button", name="Undo the import").click()
        expect(page.get_by_text("All products processed")).to_be_visible()
    assert stored(site, word) == []


def test_an_undo_leaves_what_was_changed_since_and_names_it(browser, site, tmp_path):
    word = uuid4().hex[:8]
    with open_page(browser, site) as page:
        log_in(page, site, "editor")
        look_at(page, write_csv(tmp_path, word, 2), numbers="es")
        page.get_by_role("button", name="Store").click()
        page.get_by_role("link", name="Undo the import").click()
        first = stored(site, word)[0]
        headers = {"If-Match": '"1"', "Content-Type": "application/merge-patch+json"}
        assert site.call("PATCH", f"/products/{first['id']}", {"stock": 77}, token=site.token(), **headers).ok
        page.get_by_role("button", name="Undo the import").click()
        expect(page.locator("#refused-rows")).to_contain_text(first["name"])
        expect(page.locator("#refused-rows")).to_contain_text("Another user changed it in the meantime.")
    assert [p["id"] for p in stored(site, word)] == [first["id"]]


def test_ndjson_is_imported_and_unknown_fields_are_left_out(browser, site, tmp_path):
    word = uuid4().hex[:8]
    lines = [
        {"name": f"Miso {word}", "price": "2.10", "stock": 4, "tags": ["soja"], "colour": "brown"},
        {"name": f"Tofu {word}", "price": "cheap"},
    ]
    path = tmp_path / "soja.ndjson"
    path.write_text("\n".join(map(json.dumps, lines)))
    with open_page(browser, site) as page:
        log_in(page, site, "editor")
        look_at(page, path)
        expect(page.get_by_label("colour")).to_have_value("ignore")
        expect(page.get_by_label("The whole line")).to_have_value(re.compile("cheap"))
        page.get_by_role("button", name="Store 1 row").click()
        expect(page.locator("dl.facts")).to_contain_text("New1")
    assert [(p["name"], p["tags"]) for p in stored(site, word)] == [(f"Miso {word}", ["soja"])]


def test_rows_find_their_products_by_sku(browser, site, tmp_path):
    sku = uuid4().hex[:8]
    product = site.add_product(name=f"Queso {sku}", sku=sku)
    path = tmp_path / "precios.csv"
    path.write_text(f"sku,precio\n{sku},7.25\nno-such-{sku},1\n")
    with open_page(browser, site) as page:
        log_in(page, site, "editor")
        look_at(page, path, numbers="en", by="sku")
        expect(page.get_by_label("Figures")).to_contain_text("Updated1")
        expect(page.get_by_label("Figures")).to_contain_text("Refused1")
        page.get_by_role("button", name="Store").click()
        expect(page.locator("dl.facts")).to_contain_text("Updated1")
        expect(page.locator("#refused-rows")).to_contain_text("A value is missing.")
    assert site.call("GET", f"/products/{product['id']}", token=site.token()).json()["price"] == "7.25"


def test_a_column_is_given_another_meaning(browser, site, tmp_path):
    path = tmp_path / "odd.csv"
    path.write_text(f"nombre,precio,raro\nAltramuces {uuid4().hex[:6]},1.5,Aperitivos\n", "utf-8")
    with open_page(browser, site) as page:
        log_in(page, site)
        look_at(page, path, numbers="en")
        page.get_by_label("raro").select_option("category")
        page.get_by_role("button", name="Store").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Import preview")
        page.get_by_label("raro").select_option("tag")
        page.get_by_role("button", name="Update the preview").click()
        page.get_by_label("raro").select_option("category")
        page.get_by_role("button", name="Update the preview").click()
        expect(page.get_by_role("table").last).to_contain_text("Aperitivos")


def test_a_file_whose_headings_nobody_knows_is_mapped_by_hand(browser, site, tmp_path):
    word = uuid4().hex[:8]
    path = tmp_path / "raro.csv"
    path.write_text(f"cosa,cuesta\nAlubia {word},1.5\n", "utf-8")
    with open_page(browser, site) as page:
        log_in(page, site)
        look_at(page, path, numbers="en")
        expect(page.get_by_role("alert")).to_contain_text("No column contains the name")
        page.get_by_label("cosa").select_option("name")
        page.get_by_label("cuesta").select_option("price")
        page.get_by_role("button", name="Update the preview").click()
        page.get_by_role("button", name="Store 1 row").click()
        expect(page.locator("dl.facts")).to_contain_text("New1")
    assert len(stored(site, word)) == 1


def test_the_own_export_is_taken_back_by_the_spanish_page_whatever_its_number_format(browser, site, tmp_path):
    word = uuid4().hex[:8]
    for price in ("1.234", "1.20", "1234.5"):
        site.add_product(name=f"Lenteja {word} {price}", price=price, stock=1200)
    with open_page(browser, site, locale="es-ES") as page:
        log_in(page, site, "editor")
        page.goto(f"/products?search={word}")
        page.locator("summary", has_text="Exportar").click()
        with page.expect_download() as download:
            page.get_by_role("link", name="CSV", exact=True).click()
        download.value.save_as(tmp_path / "productos.csv")
        page.goto("/products/import")
        expect(page.locator("#numbers")).to_have_value("auto")
        page.get_by_label("Archivo", exact=True).set_input_files(tmp_path / "productos.csv")
        page.get_by_role("button", name="Vista previa").click()
        for numbers in ("auto", "es", "en"):
            page.get_by_label("Formato de los números").select_option(numbers)
            page.get_by_role("button", name="Actualizar la vista previa").click()
            expect(page.locator("#numbers")).to_have_value(numbers)
            expect(page.locator(".figures")).to_contain_text("Sin cambios3")
            expect(page.get_by_role("table").last).to_contain_text("1,234")


def test_of_two_columns_with_one_heading_the_page_leaves_either_out(browser, site, tmp_path):
    path = tmp_path / "doble.csv"
    path.write_text(f"nombre;precio;precio\nNata {uuid4().hex[:6]};1,00;2,00\n", "utf-8")
    with open_page(browser, site) as page:
        log_in(page, site)
        look_at(page, path)
        expect(page.get_by_role("alert")).to_contain_text("both contain price")
        for left_out, price in ((1, "€1.00"), (0, "€2.00")):
            page.get_by_label("precio").nth(left_out).select_option("ignore")
            page.get_by_label("precio").nth(1 - left_out).select_option("price")
            page.get_by_role("button", name="Update the preview").click()
            expect(page.get_by_role("table").last).to_contain_text(price)


def test_a_file_larger_than_any_request_gets_the_same_answer_without_a_script(browser, site):
    with open_page(browser, site, java_script_enabled=False) as page:
        log_in(page, site)
        page.goto("/products/import")
        file = {"name": "big.csv", "mimeType": "text/csv", "buffer": b"name;price\n" + b"x" * 4_900_000}
        page.get_by_label("File", exact=True).set_input_files(file)
        page.get_by_role("button", name="Preview").click()
        expect(page.get_by_role("alert")).to_contain_text("This file is too large for the browser")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"PK\x03\x04nonsense", "damaged"),
        (b'[{"name": "x"}]', "This is a JSON list"),
        (b"\xd0\xcf\x11\xe0", "old"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(browser, site, tmp_path, content, words):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with open_page(browser, site) as page:
        log_in(page, site)
        look_at(page, path)
        expect(page.get_by_role("alert")).to_contain_text(words)


def test_an_import_whose_answer_is_lost_waits_and_goes_on(browser, site, tmp_path):
    word = uuid4().hex[:8]
    with open_page(browser, site, tolerated=("ERR_FAILED", "Failed to fetch")) as page:
        log_in(page, site, "editor")
        look_at(page, write_csv(tmp_path, word, 1200), numbers="es")
        lost = []

        def lose_once(route):
            if lost or "HX-Request".lower() not in route.request.headers:
                return route.continue_()
            lost.append(route.request.url)
            return route.abort()

        page.route("**/products/import/run", lose_once)
        page.get_by_role("button", name="Store").click()
        expect(page.get_by_role("alert")).to_contain_text("No answer arrived.")
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_text("All rows processed")).to_be_visible()
        expect(page.locator("dl.facts")).to_contain_text("New1,200")
        assert lost


def test_a_step_of_an_import_sends_less_than_ten_kilobytes(browser, site, tmp_path):
    with open_page(browser, site) as page:
        log_in(page, site, "editor")
        look_at(page, write_csv(tmp_path, uuid4().hex[:8], 1100), numbers="es")
        sizes = []
        page.on(
            "requestfinished",
            lambda request: (
                sizes.append(request.sizes()["responseBodySize"]) if request.headers.get("hx-request") else None
            ),
        )
        page.get_by_role("button", name="Store").click()
        expect(page.get_by_text("All rows processed")).to_be_visible()
        page.wait_for_load_state("networkidle")
        assert len(sizes) == 2
        assert max(sizes) <= 10_000, sizes


@IN_EVERY_VIEW
def test_axe_finds_nothing_on_the_pages_of_an_import(browser, site, tmp_path, theme, width):
    def check():
        assert complaints_of_axe(page) == [], page.url
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url

    with open_page(browser, site, color_scheme=theme, viewport={"width": width, "height": 844}) as page:
        log_in(page, site, "editor")
        page.goto("/products/import")
        check()
        look_at(page, write_csv(tmp_path, uuid4().hex[:8], 12), numbers="es")
        check()
        page.get_by_role("button", name="Store").click()
        expect(page.get_by_text("All rows processed")).to_be_visible()
        check()
        page.get_by_role("link", name="Undo the import").click()
        check()
        page.goto("/products/imports")
        check()


def test_a_viewer_sees_the_imports_and_takes_none_back(browser, site):
    with open_page(browser, site) as page:
        log_in(page, site, "viewer")
        page.get_by_role("link", name="Imports").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Imports")
        assert page.get_by_role("link", name=re.compile("Undo")).count() == 0
        for path in ("/products/import", f"/products/imports/{uuid4()}/undo"):
            assert page.goto(path).status == 403


def test_a_whole_catalogue_goes_in(browser, site):
    with open_page(browser, site, locale="es-ES") as page:
        log_in(page, site)
        page.goto("/products/import")
        page.get_by_label("Archivo").set_input_files(CATALOGUE)
        page.get_by_role("button", name="Vista previa").click()
        page.locator("main [formaction$='/run']").click()
        expect(page.get_by_text("Todas las filas procesadas")).to_be_visible(timeout=90_000)
