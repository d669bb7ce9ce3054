"""What goes wrong is said where somebody looks, in their language, with the way out."""

import re

from playwright.sync_api import expect

from tests.support.browser import log_in, open_page

NO_NETWORK = ("ERR_INTERNET_DISCONNECTED", "Failed to fetch")


def test_a_search_without_network_says_that_the_list_is_old(browser, site):
    with open_page(browser, site, tolerated=NO_NETWORK) as page:
        log_in(page, site)
        page.context.set_offline(True)
        page.get_by_label("Search products").fill("ace")
        expect(page.get_by_role("status").first).to_contain_text("No connection")
        expect(page.locator("#results")).to_have_class(re.compile("out-of-date"))
        page.context.set_offline(False)
        page.get_by_label("Search products").fill("acei")
        expect(page.locator("#results")).not_to_have_class(re.compile("out-of-date"))
        expect(page.get_by_role("status").first).not_to_contain_text("No connection")


def test_without_a_script_no_page_claims_to_be_live(browser, site):
    with open_page(browser, site, java_script_enabled=False) as page:
        log_in(page, site)
        page.goto("/cluster")
        expect(page.get_by_text("Live", exact=True)).to_be_hidden()
        expect(page.get_by_role("link", name="Reload")).to_be_visible()


def test_after_an_error_the_focus_is_on_its_summary_which_leads_to_the_field(browser, site):
    with open_page(browser, site) as page:
        log_in(page, site)
        page.goto("/products/new")
        page.get_by_label("Name", exact=True).fill("Focus")
        page.get_by_label("Price").fill("cheap")
        page.get_by_role("button", name="Create").click()
        expect(page.get_by_role("alert")).to_be_focused()
        page.get_by_role("alert").get_by_role("link", name="Price").click()
        expect(page.get_by_label("Price")).to_be_focused()


def test_a_taken_name_or_sku_leads_to_the_product_that_has_it(browser, site):
    there = site.add_product(name="Taken name", sku="TAKEN-1")
    with open_page(browser, site) as page:
        log_in(page, site)
        for name, sku in (("taken  NAME", ""), ("Another name", "TAKEN-1")):
            page.goto("/products/new")
            page.get_by_label("Name", exact=True).fill(name)
            page.get_by_label("SKU").fill(sku)
            page.get_by_label("Price").fill("1.00")
            page.get_by_role("button", name="Create").click()
            link = page.get_by_role("alert").get_by_role("link", name="See “Taken name”")
            expect(link).to_have_attribute("href", f"/products/{there['id']}")


def test_a_sku_is_found_and_not_offered_to_be_created(browser, site):
    there = site.add_product(name="Found by its code", sku="SKU-77/a")
    with open_page(browser, site) as page:
        log_in(page, site)
        page.get_by_label("Search products").fill("SKU-77/a")
        found = page.get_by_role("link", name="Found by its code")
        expect(found).to_have_attribute("href", f"/products/{there['id']}")
        expect(page.get_by_role("link", name="Create it")).to_have_count(0)


def test_a_drill_cannot_be_started_against_its_preflight(browser, site):
    with open_page(browser, site) as page:
        log_in(page, site)
        page.goto("/drills/new")
        start = page.get_by_role("button", name="Start the drill")
        expect(start).to_be_enabled()
        page.locator("[name=sets]:checked").uncheck()
        expect(page.locator("#verdict")).to_contain_text("The drill cannot start")
        expect(start).to_be_disabled()


def test_a_file_of_any_size_gets_the_same_answer(browser, site):
    with open_page(browser, site) as page:
        log_in(page, site)
        for size in (3_500_000, 4_900_000):
            page.goto("/products/import")
            row = b"name;price\n"
            file = {"name": "big.csv", "mimeType": "text/csv", "buffer": row + b"x" * (size - len(row))}
            page.get_by_label("File", exact=True).set_input_files(file)
            expect(page.get_by_role("alert")).to_contain_text("This file is too large for the browser")


def test_number_format_and_delimiter_are_changed_without_another_upload(browser, site):
    file = {"name": "marks.csv", "mimeType": "text/csv", "buffer": b"name|price\nMarks, all|1.500\n"}
    with open_page(browser, site) as page:
        log_in(page, site)
        page.goto("/products/import")
        page.locator("#numbers").select_option("es")
        page.get_by_label("File", exact=True).set_input_files(file)
        page.get_by_role("button", name="Preview").click()
        expect(page.get_by_role("table").last).to_contain_text("€1,500.00")
        page.get_by_label("Number format").select_option("en")
        page.get_by_role("button", name="Store 1 row").click()  # it was not seen so yet
        expect(page.get_by_role("heading", level=1)).to_have_text("Import preview")
        expect(page.get_by_role("table").last).to_contain_text("€1.50")
        page.get_by_label("Delimiter").select_option(",")
        page.get_by_role("button", name="Update the preview").click()
        expect(page.get_by_role("alert")).to_contain_text("No column contains")
        page.get_by_label("Delimiter").select_option("|")
        page.get_by_role("button", name="Update the preview").click()
        expect(page.get_by_role("table").last).to_contain_text("Marks, all")


def test_an_import_speaks_one_language(browser, site):
    rows = b'nombre;precio\nUno;caro\nDos;1,00;sobra\nTres;"1,00\n'
    file = {"name": "malo.csv", "mimeType": "text/csv", "buffer": rows}
    with open_page(browser, site, locale="es-ES") as page:
        log_in(page, site)
        page.goto("/products/import")
        page.get_by_label("Archivo", exact=True).set_input_files(file)
        page.get_by_role("button", name="Vista previa").click()
        reasons = page.locator(".open-row .field-error")
        expect(reasons).to_have_text([re.compile("precio"), re.compile("celdas"), re.compile("comillas")])
        page.goto("/products/import")
        page.get_by_label("Archivo", exact=True).set_input_files({**file, "buffer": b"\n"})
        page.get_by_role("button", name="Vista previa").click()
        expect(page.get_by_role("alert")).to_contain_text("El archivo está vacío")
