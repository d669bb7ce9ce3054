"""Importing a file in the browser: what it means first, then step by step, with and without a script."""

from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from tests.system.browser import log_in, open_page

MERCADONA = Path(__file__).parents[3] / "shared/data/mercadona/productos.csv"


def write_csv(folder, word, count=3):
    """Good rows, one that is wrong, one that an earlier one says already."""
    lines = [f"Lenteja {n:04} {word};Bolsa;1,20 €;{n}" for n in range(count)]
    lines += [f"=Mala {word};Bolsa;mucho;1", lines[0]]
    path = folder / "lentejas.csv"
    path.write_text("nombre;presentacion;precio;existencias\n" + "\n".join(lines), "utf-8")
    return path


@pytest.mark.parametrize("javascript", [True, False], ids=["script", "no script"])
def test_a_file_is_looked_at_stored_in_steps_and_the_refused_rows_are_kept(browser, site, tmp_path, javascript):
    word = uuid4().hex[:8]
    with open_page(browser, site, java_script_enabled=javascript) as page:
        log_in(page, site, "editor")
        page.get_by_role("link", name="Import").click()
        page.get_by_label("CSV file").set_input_files(write_csv(tmp_path, word, 600))
        page.get_by_label("Numbers are written").select_option("es")
        page.get_by_role("button", name="Look at it").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("What the file means")
        expect(page.get_by_label("Figures")).to_contain_text("Rows to store600")
        expect(page.get_by_label("Figures")).to_contain_text("Said twice1")
        expect(page.locator(".steps")).to_contain_text("mucho")
        expect(page.get_by_role("table").last).to_contain_text("€1.20")
        page.get_by_role("button", name="Store 600 rows").click()
        if not javascript:
            page.get_by_role("button", name="Go on").click()
        expect(page.get_by_text("All rows are through")).to_be_visible()
        expect(page.locator("dl.facts")).to_contain_text("New600")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download the refused rows").click()
        download.value.save_as(tmp_path / "refused.csv")
        assert '"mucho"' in (tmp_path / "refused.csv").read_text("utf-8-sig")
    listed = site.call("GET", f"/products?search={word}&limit=200", token=site.token()).json()
    assert len(listed["items"]) == 200


def test_a_column_is_given_another_meaning(browser, site, tmp_path):
    path = tmp_path / "odd.csv"
    path.write_text(f"nombre,precio,raro\nAltramuces {uuid4().hex[:6]},1.5,Aperitivos\n", "utf-8")
    with open_page(browser, site) as page:
        log_in(page, site)
        page.goto("/products/import")
        page.get_by_label("CSV file").set_input_files(path)
        page.get_by_label("Numbers are written").select_option("en")
        page.get_by_role("button", name="Look at it").click()
        page.get_by_label("raro").select_option("category")
        page.get_by_role("button", name="Look at it again").click()
        expect(page.get_by_role("table").last).to_contain_text("Aperitivos")


@pytest.mark.parametrize(("content", "words"), [("", "empty"), ("a;b\n1;2", "no column gives the name")])
def test_a_file_that_cannot_be_read_says_why(browser, site, tmp_path, content, words):
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with open_page(browser, site) as page:
        log_in(page, site)
        page.goto("/products/import")
        page.get_by_label("CSV file").set_input_files(path)
        page.get_by_role("button", name="Look at it").click()
        expect(page.get_by_role("alert")).to_contain_text(words)


@pytest.mark.skipif(not MERCADONA.exists(), reason="the Mercadona catalogue is not beside the project")
def test_a_whole_catalogue_goes_in(browser, site):
    with open_page(browser, site, locale="es-ES") as page:
        log_in(page, site)
        page.goto("/products/import")
        page.get_by_label("Archivo CSV").set_input_files(MERCADONA)
        page.get_by_role("button", name="Examinarlo").click()
        page.get_by_role("button", name="Guardar").click()
        expect(page.get_by_text("Todas las filas procesadas")).to_be_visible(timeout=90_000)
