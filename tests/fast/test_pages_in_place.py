"""Price and stock changed in the list, and changes undone by their notices: with a script and without."""

import re
from html import unescape

import pytest

from prodcore.catalog.bulk import Seen, undo_change, undo_changes
from prodcore.errors import VersionConflict
from prodcore.identity.rights import Role
from tests.support.desk import Desk
from tests.support.products import ANA, EVA, draft, patch
from webapp.pages.forms import pack_json


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture
def rice(desk):
    return desk.catalog.create(draft("Arroz", stock=10), EVA)


def value(product, field, typed, version=None):
    return {"id": str(product.id), "field": field, "value": typed, "version": str(version or product.version)}


def undo_button(page):
    """Where a notice's button leads, and what it sends."""
    found = re.search(r'action="(/products/[^"]+/undo)".*?name="version" value="(\d+)"', page.text, re.DOTALL)
    return (found[1], {"version": found[2]}) if found else None


@pytest.mark.parametrize(("field", "typed", "stored"), [("stock", "12", 12), ("price", "2.5", 2.5)])
def test_a_value_is_stored_and_undone(desk, rice, field, typed, stored):
    answer = desk.post("/products/quick", value(rice, field, typed))
    assert (answer.status_code, answer.location) == (303, "/products")
    assert getattr(desk.catalog.get(rice.id), field) == stored
    page = desk.get("/products")
    assert "Arroz" in page.text
    path, form = undo_button(page)
    assert desk.post(path, form).status_code == 303
    assert getattr(desk.catalog.get(rice.id), field) == getattr(rice, field)
    assert [change.by.username for change in desk.catalog.history(rice.id)] == ["ana", "ana", "eva"]


def test_a_price_is_read_as_the_language_writes_it(desk, rice):
    desk.language = "es"
    assert desk.post("/products/quick", value(rice, "price", "2,50")).status_code == 303
    refused = desk.post("/products/quick", value(rice, "price", "3.75", 2))
    assert refused.status_code == 422
    assert 'value="3.75"' in refused.text


def test_a_button_counts_without_a_script(desk, rice):
    page = desk.get("/products")
    up, down = (re.search(rf'name="step" value="([^"]+)"[^>]*aria-label="{words}"', page.text)[1]
                for words in ("One more", "One less"))  # fmt: skip
    assert desk.post("/products/quick", {"step": up}).status_code == 303
    assert desk.catalog.get(rice.id).stock == 11
    assert desk.post("/products/quick", {"step": down}).status_code == 409
    assert desk.catalog.get(rice.id).stock == 11


def test_the_row_and_its_notice_come_back_to_a_script(desk, rice):
    answer = desk.post("/products/quick", {**value(rice, "stock", "0"), "list": "columns=stock"}, part=True)
    assert answer.status_code == 200
    assert f'hx-target="#p-{rice.id}"' in answer.text
    assert "none-left" in answer.text
    assert "c-price" not in answer.text
    assert 'hx-target="#toasts"' in answer.text
    path, form = undo_button(answer)
    undone = desk.post(path, form, part=True)
    assert f'hx-target="#toast-{rice.id}-2" hx-swap="delete"' in undone.text
    assert desk.catalog.get(rice.id).stock == 10


def test_another_user_s_value_is_shown_beside_the_typed_one(desk, rice):
    desk.catalog.edit(rice.id, patch(stock=7), EVA, 1)
    for part in (True, False):
        answer = desk.post("/products/quick", value(rice, "stock", "12"), part=part)
        assert answer.status_code == 409
        words = re.sub(r"\s+", " ", re.sub("<[^>]+>", "", answer.text))
        assert "Stored now: 7 (eva" in words
        assert "Yours: 12." in words
        assert 'name="value" value="12"' in answer.text
        assert 'name="version" value="2"' in answer.text
    assert desk.catalog.get(rice.id).stock == 7
    desk.post("/products/quick", value(rice, "stock", "12", 2))
    assert desk.catalog.get(rice.id).stock == 12


def test_a_value_that_is_stored_already_is_no_conflict_and_nothing_to_undo(desk, rice):
    desk.catalog.edit(rice.id, patch(stock=12), EVA, 1)
    assert desk.post("/products/quick", value(rice, "stock", "12")).status_code == 303
    assert desk.post("/products/quick", value(rice, "stock", "12", 2)).status_code == 303
    assert desk.catalog.get(rice.id).version == 2


@pytest.mark.parametrize("typed", ["-1", "1.5", "many", "", "9" * 11])
def test_what_is_no_stock_is_refused_and_kept(desk, rice, typed):
    answer = desk.post("/products/quick", value(rice, "stock", typed))
    assert answer.status_code == 422
    assert f'name="value" value="{typed}"' in answer.text
    assert 'role="alert"' in answer.text


@pytest.mark.parametrize(
    "form",
    [{}, {"id": "x", "field": "stock"}, {"field": "name", "id": "0" * 32}, {"step": "::"}, {"step": "x"}],
)
def test_what_no_page_sends_is_refused(desk, rice, form):
    assert desk.post("/products/quick", form).status_code == 400


def test_a_silent_shard_keeps_what_was_typed(desk, rice):
    desk.get("/products")
    desk.stores["rsA"].is_silent = True
    answer = desk.post("/products/quick", value(rice, "stock", "12"))
    assert answer.status_code == 503
    assert 'name="value" value="12"' in answer.text
    desk.stores["rsA"].is_silent = False
    assert desk.catalog.get(rice.id).stock == 10


def test_a_deletion_is_undone_by_its_notice(desk, rice):
    desk.post(f"/products/{rice.id}/delete", {"version": "1"})
    path, form = undo_button(desk.get("/products"))
    desk.post(path, form)
    assert desk.catalog.get(rice.id).name == "Arroz"


def test_what_was_changed_since_is_not_undone(desk, rice):
    desk.post("/products/quick", value(rice, "stock", "12"))
    path, form = undo_button(desk.get("/products"))
    desk.catalog.edit(rice.id, patch(stock=3), EVA, 2)
    answer = desk.post(path, form)
    assert "was not undone" in unescape(desk.get(answer.location).text)
    assert desk.catalog.get(rice.id).stock == 3


def test_a_viewer_finds_nothing_to_change_and_changes_nothing(desk, rice):
    desk.role = Role.VIEWER
    page = desk.get("/products")
    assert "cell-edit" not in page.text
    assert "quick" not in page.text
    for path in ("/products/quick", f"/products/{rice.id}/undo"):
        assert desk.post(path, value(rice, "stock", "12")).status_code in (400, 403)
    assert desk.catalog.get(rice.id).stock == 10


def test_the_core_undoes_names_over_borders_and_restores(desk, rice):
    desk.catalog.edit(rice.id, patch(name="Zumo", sku="Z-1"), ANA, 1)
    assert undo_change(desk.catalog, Seen(rice.id, 2), ANA).name == "Arroz"
    assert desk.catalog.get(rice.id).shard == "rsA"
    desk.catalog.delete(rice.id, ANA, 3)
    assert undo_change(desk.catalog, Seen(rice.id, 4), ANA).version == 5
    with pytest.raises(VersionConflict):
        undo_change(desk.catalog, Seen(rice.id, 4), ANA)
    with pytest.raises(VersionConflict):
        undo_change(desk.catalog, Seen(desk.catalog.create(draft("Pan"), ANA).id, 1), ANA)
    outcomes = undo_changes(desk.catalog, [Seen(rice.id, 5), Seen(rice.id, 5)], ANA)
    assert [outcome.status for outcome in outcomes] == ["restored", "refused"]


@pytest.mark.parametrize("action", ["edit", "delete"])
def test_a_bulk_is_undone_but_for_what_was_changed_since(desk, action):
    products = [desk.catalog.create(draft(f"{'AN'[n % 2]}rroz {n}", category="Vieja"), EVA) for n in range(4)]
    chosen = [[product.id.hex, 1] for product in products]
    form = {"action": action, "list": "", "category": "Nueva", "chosen": pack_json(chosen), "typed": "4"}
    page = desk.post("/products/bulk/run", form)
    made = re.findall(r'name="made" value="([^"]+)"', page.text)
    assert 'formaction="/products/bulk/undo"' in page.text
    if action == "edit":
        desk.catalog.edit(products[0].id, patch(stock=3), EVA, 2)
    undone = desk.post("/products/bulk/undo", {"made": made, "list": "", "done": "4"})
    assert undone.status_code == 200
    left = [desk.catalog.get(product.id).category for product in products]
    assert left == ["Nueva" if action == "edit" else "Vieja", "Vieja", "Vieja", "Vieja"]
    assert 'name="made"' not in undone.text


@pytest.mark.parametrize(("site", "cookie"), [("http://localhost", "columns"), ("https://localhost", "__Host-columns")])
def test_a_row_comes_back_with_the_columns_that_were_chosen(desk, rice, site, cookie):
    headers = {"HX-Request": "true", "Referer": f"{site}/products", "Cookie": f"{cookie}=sku,stock"}
    address = f"/products/quick?keep=1&field=stock&id={rice.id}"
    row = desk.app.test_client(use_cookies=False).get(address, base_url=site, headers=headers).text
    assert re.findall(r'class="c-(\w+)', row) == ["sku", "stock"]
