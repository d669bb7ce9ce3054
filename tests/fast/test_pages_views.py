"""Saved views of the list: tabs, saved from the list that is shown, renamed, removed, shared by those who may."""

import re
from datetime import UTC, datetime
from html import unescape
from uuid import uuid4

import pytest

from prodcore.catalog.catalog import now
from prodcore.catalog.views import EVERYBODY, MOST_VIEWS, SavedViews
from prodcore.errors import Unavailable
from prodcore.identity.rights import Role
from tests.support.desk import Desk
from tests.support.memory_products import MemoryViewStore
from tests.support.products import ANA, draft
from webapp.identity.trust import Trust, TrustMemory

CHEAP = "/products?price_max=2&sort=-price&size=25"
KEPT = "price_max=2&sort=-price&size=25"


@pytest.fixture(scope="module")
def shop():
    shop = Desk()
    shop.catalog.create(draft("Arroz", price="1.20"), ANA)
    return shop


@pytest.fixture
def desk(shop):
    """A new user, and no views yet."""
    shop.role, shop.user_id = Role.EDITOR, str(uuid4())
    shop.catalog.views = SavedViews(MemoryViewStore(), now)
    return shop


@pytest.fixture
def heard(desk):
    """What authsvc has heard of, when asked."""
    entries = []

    def authsvc(question):
        entries.extend(question["events"])
        return {"now": datetime.now(UTC).isoformat(), "cursor": "1", "keys": [], "sessions": [], "users": {}}

    client, _trust, access = desk.app.extensions["prodctl_identity"]
    trust = Trust(authsvc, TrustMemory(None))
    desk.app.extensions["prodctl_identity"] = client, trust, access

    def hear():
        trust.catch_up()
        return [(entry["action"], entry["subject"]) for entry in entries]

    return hear


class SilentStore:
    """The users' set while it has no primary."""

    def load(self, _owners):
        raise Unavailable("rsU does not answer")


def tabs(page):
    """The tabs by name, each with where it leads and whether it is the one that is shown."""
    nav = page.text.partition('class="view-tabs"')[2].partition("</nav>")[0]
    found = re.findall(r'<a class="view[^"]*" href="([^"]*)"( aria-current="page")?>([^<]*)<', nav)
    return [(name, unescape(href), bool(current)) for href, current, name in found]


def form(page, name="view"):
    """What the form that saves the list brings along."""
    return unescape(re.search(r'name="list" value="([^"]*)"', page.text.partition('action="/products/views"')[2])[1])


def save(desk, name, query=KEPT, path="/products/views", **fields):
    return desk.post(path, {"view": name, "list": query, **fields}, page=CHEAP)


def ids(desk, owner=None):
    return {view.name: view.id for view in desk.catalog.views.of(owner or desk.user_id)[0]}


def test_the_list_that_is_shown_becomes_a_tab(desk):
    page = desk.get(CHEAP + "&columns=sku")
    assert tabs(page) == [("All", "/products", False)]
    assert "Manage" not in page.text
    assert form(desk.get(CHEAP)) == KEPT
    answer = save(desk, "Cheap")
    assert (answer.status_code, answer.location) == (303, CHEAP)
    page = desk.get(answer.location)
    assert "The view “Cheap” was saved." in page.text
    assert tabs(page) == [("All", "/products", False), ("Cheap", CHEAP, True)]
    assert "Save view" not in page.text
    assert tabs(desk.get("/products")) == [("All", "/products", True), ("Cheap", CHEAP, False)]


def test_without_views_and_filters_the_list_has_no_tabs(desk):
    assert 'class="views"' not in desk.get("/products").text


def test_columns_are_no_part_of_a_view(desk):
    save(desk, "Cheap")
    assert tabs(desk.get(CHEAP + "&columns=sku"))[1] == ("Cheap", CHEAP, True)


def test_a_search_that_is_being_typed_can_be_saved_too(desk):
    assert form(desk.part("/products?search=arroz")) == "search=arroz"


def test_a_viewer_has_views_and_sees_the_shared_ones(desk):
    save(desk, "For all", path="/products/views/shared")
    desk.role, desk.user_id = Role.VIEWER, str(uuid4())
    page = desk.get("/products")
    assert tabs(page)[1][0] == "For all"
    assert "Save for everyone" not in desk.get("/products?stock_max=0").text
    assert save(desk, "Mine", "stock_max=0").status_code == 303
    assert [name for name, _href, _current in tabs(desk.get("/products"))] == ["All", "Mine", "For all"]
    managed = desk.get("/products/views").text
    assert managed.count('value="rename"') == 1
    [shared] = ids(desk, EVERYBODY).values()
    assert save(desk, "No", path="/products/views/shared").status_code == 403
    assert save(desk, "No", path=f"/products/views/shared/{shared}", action="remove").status_code == 403
    assert list(ids(desk, EVERYBODY)) == ["For all"]


def test_nobody_changes_the_views_of_another_user(desk):
    save(desk, "Mine")
    [(_name, view)] = ids(desk).items()
    owner, desk.user_id = desk.user_id, str(uuid4())
    assert [name for name, _href, _current in tabs(desk.get(CHEAP))] == ["All"]
    answer = save(desk, "Theirs", path=f"/products/views/{view}", action="rename")
    assert "no longer exists" in desk.get(answer.location).text
    assert list(ids(desk, owner)) == ["Mine"]


def test_a_name_that_is_taken_is_written_over_only_when_told(desk):
    save(desk, "Cheap")
    refused = save(desk, "cheap", "stock_max=0")
    assert refused.status_code == 422
    assert "Another view has this name." in refused.text
    assert 'name="view" class="form-control" aria-invalid="true"' in refused.text
    assert 'name="over" value="yes"' in refused.text
    assert save(desk, "cheap", "stock_max=0", over="yes").status_code == 303
    assert [(v.name, v.query) for v in desk.catalog.views.of(desk.user_id)[0]] == [("cheap", "stock_max=0")]


@pytest.mark.parametrize(
    ("name", "says"), [("  ", "Fill this in."), ("x" * 41, "At most 40 characters."), ("a\x1bb", "cannot be stored")]
)
def test_a_bad_name_is_told_with_what_was_typed_and_which_list(desk, name, says):
    refused = save(desk, name)
    assert refused.status_code == 422
    assert says in refused.text
    assert unescape(re.search(r'id="view" name="view"[^>]*value="([^"]*)"', refused.text)[1]) == name
    assert unescape(re.search(r'name="list" value="([^"]*)"', refused.text)[1]) == KEPT


def test_one_view_too_many_is_refused_with_the_way_out(desk):
    for n in range(MOST_VIEWS):
        desk.catalog.views.save(desk.user_id, f"View {n}", f"stock_max={n}", "ana")
    refused = save(desk, "One more")
    assert refused.status_code == 422
    assert "There are 20 views already" in refused.text
    assert 'name="over"' not in refused.text


@pytest.mark.parametrize("query", ["price_max=nonsense", "shard=" + "x" * 5_000])
def test_what_no_page_offers_to_save_is_refused(desk, query):
    assert save(desk, "Odd", query).status_code in (400, 422)
    assert ids(desk) == {}


def test_a_view_is_renamed_and_removed_on_its_page(desk):
    save(desk, "Cheap")
    save(desk, "Other", "stock_max=0")
    path = f"/products/views/{ids(desk)['Cheap']}"
    refused = save(desk, "OTHER", path=path, action="rename")
    assert refused.status_code == 422
    assert 'value="OTHER"' in refused.text
    answer = save(desk, "Under {name} 2", path=path, action="rename")
    assert "The view is called “Under {name} 2” now." in desk.get(answer.location).text
    answer = save(desk, "", path=path, action="remove")
    assert "The view “Under {name} 2” was removed." in desk.get(answer.location).text
    assert list(ids(desk)) == ["Other"]
    assert save(desk, "", path=path, action="burn").status_code == 400


def test_the_page_says_what_each_view_shows(desk):
    save(desk, "Cheap", "search=arroz&category=Cocina&sort=-price&size=25")
    text = re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", desk.get("/products/views").text))
    assert "“arroz” Category Cocina sorted by price ↓ 25 a page" in text


def test_the_audit_hears_of_shared_views_alone(desk, heard):
    save(desk, "Mine")
    save(desk, "For all", path="/products/views/shared")
    shared = f"/products/views/shared/{ids(desk, EVERYBODY)['For all']}"
    save(desk, "For each", path=shared, action="rename")
    save(desk, "For each", "stock_max=0", path="/products/views/shared")
    save(desk, "", path=shared, action="remove")
    assert heard() == [
        ("view.save", "For all"),
        ("view.rename", "For each"),
        ("view.remove", "For each"),
    ]


def test_a_form_of_another_site_saves_nothing(desk):
    answer = desk.post("/products/views", {"view": "Evil", "list": KEPT, "csrf_token": "theirs"})
    assert "Nothing has been saved yet" in answer.text
    assert ids(desk) == {}


def test_the_list_stands_while_the_views_cannot_be_read():
    desk = Desk(views=SilentStore())
    desk.catalog.create(draft("Arroz"), ANA)
    page = desk.get("/products")
    assert page.status_code == 200
    assert "Arroz" in page.text
    assert "Saved views could not be read just now." in page.text
    assert desk.get("/products/views").status_code == 503
