"""The first page: what waits for somebody, what each role sees of it, and what is left when nobody answers."""

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from flask import g

from prodcore.catalog import Catalog
from prodcore.catalog.finding import Matches
from prodcore.catalog.stores import ImportRecord
from prodcore.identity.rights import Right, Role
from prodcore.identity.tokens import Identity
from prodcore.product.model import Author, ProductDraft
from prodcore.replicaset.cluster import ClusterStatus
from prodcore.replicaset.status import Health, Member, SetStatus
from prodcore.routing import DEFAULT_MAP
from prodcore.settings import load_settings
from prodcore.sharding.mover import Bounds, MoveOrder
from tests.support.identity import SERVICE_SECRET, SESSION_SECRET
from tests.support.memory_products import MemoryClaimStore, MemoryProductStore
from webapp.app import create_app
from webapp.pages.curves import Growth
from webapp.pages.home import Filling, Found, full_first, tasks

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


class Shop:
    """An app with a catalogue in this process; where its replica sets are it does not know, and nobody logs it in."""

    def __init__(self):
        self.stores = {shard: MemoryProductStore(shard) for shard in DEFAULT_MAP.shards}
        self.catalog = Catalog(DEFAULT_MAP, self.stores, MemoryClaimStore())
        secrets = {"session_secret": SESSION_SECRET, "service_secret": SERVICE_SECRET}
        self.app = create_app(load_settings(**secrets, auth_server_url="http://127.0.0.1:1"), self)

    def get(self):
        return self.catalog

    def add(self, name, stock, **fields):
        self.catalog.create(ProductDraft(name=name, price="1", stock=stock, **fields), Author("ana"))

    def page(self, role, language="en", path="/", endpoint="pages.home.home"):
        with self.app.test_request_context(path, headers={"Accept-Language": language}):
            g.identity = Identity("1", "eva", role, "session", datetime.now(UTC) + timedelta(hours=1))
            return self.app.view_functions[endpoint]()


@pytest.fixture(scope="module")
def shop():
    shop = Shop()
    for name, stock in (("Arroz", 0), ("Leche", 0), ("Nata", 2), ("Pan", 40)):
        shop.add(name, stock)
    shop.add("Zumo", 0, active=False)
    shop.stores["rsA"].imports.note(ImportRecord(uuid4(), "proveedor.csv", "luis", NOW))
    return shop


def titles(page):
    return re.findall(r'<h2 id="title-(\w+)">', page)


def text_of(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


def test_the_page_stands_while_no_set_and_no_service_answers(shop):
    page = shop.page(Role.ADMIN)
    assert "The state of the cluster is unknown" in page
    assert {"drills", "audit", "running"} <= set(titles(page))
    assert page.count("This could not be read just now.") == 3
    assert "Nothing is running" not in page


def test_what_is_sold_out_and_what_is_low_leads_to_its_list(shop):
    page = shop.page(Role.EDITOR)
    assert "2 products are sold out" in page
    assert "1 product is low in stock" in page
    assert 'href="/products?active=true&amp;stock_max=0&amp;sort=stock"' in page
    assert "Nata" in page.partition('class="bars"')[2].partition("</ol>")[0]


def test_each_role_sees_what_it_can_do_something_about(shop):
    viewer, editor, operator, admin = (titles(shop.page(role)) for role in Role)
    assert "tasks" not in viewer
    assert editor == operator
    assert set(editor) - set(viewer) == {"tasks"}
    assert set(admin) - set(operator) == {"audit"}
    assert "New drill" not in shop.page(Role.EDITOR)
    assert "New drill" in shop.page(Role.OPERATOR)


def test_a_shard_that_does_not_answer_is_named_beside_what_is_shown_without_it(shop):
    shop.stores["rsB"].is_silent = True
    try:
        page = shop.page(Role.VIEWER)
    finally:
        shop.stores["rsB"].is_silent = False
    assert "Without rsB, which is not responding" in page
    assert "Arroz" in page


def test_who_changed_what_is_told_with_its_age_in_the_reader_s_language(shop):
    changes = shop.page(Role.VIEWER, "es").partition('id="title-changes"')[2].partition("</section>")[0]
    assert "Pan" in changes
    assert "ana" in changes
    assert re.search("hace [0-9]+ segundos?", text_of(changes))


def test_a_figure_says_how_sure_it_is(shop):
    with shop.app.test_request_context(headers={"Accept-Language": "en"}):
        assert Found((), (), Matches(12)).count == "12"
        assert Found((), (), Matches(12, approximate=True)).count == "≈ 12"
        assert Found((), (), Matches(2000, more=True)).count == "2,000+"
        assert Found(({}, {}), ()).count == "2+"


def said(answers, right):
    return [task.text for needed, task in tasks(answers, NOW) if needed is right]


def imported(minutes, **fields):
    return ImportRecord(uuid4(), f"{minutes}.csv", "ana", NOW - timedelta(minutes=minutes), **fields)


def test_an_import_that_was_left_unfinished_waits_for_somebody(shop):
    week = 7 * 24 * 60
    records = [
        imported(3),
        imported(30),
        imported(40, finished_at=NOW),
        imported(50, undone_at=NOW),
        imported(week + 1),
    ]
    with shop.app.test_request_context():
        found = said({"imports": records}, Right.WRITE_PRODUCTS)
    assert found == ["The import of 30.csv by ana has not finished"]


def test_a_move_that_does_not_go_on_and_a_drill_that_failed_wait_for_operators(shop):
    def move(**fields):
        return MoveOrder(uuid4(), Bounds("a", "c"), "rsA", "rsB", "ana", NOW, **fields)

    drills = [{"outcome": "failed", "run": "drill1"}, {"outcome": "failed", "run": "drill2"}]
    moves = [move(wanted="pause"), move(seen_at=NOW - timedelta(minutes=5)), move(seen_at=NOW)]
    with shop.app.test_request_context():
        assert said({"moves": moves}, Right.CHANGE_SHARDS) == [
            "A move from rsA to rsB is paused",
            "A move from rsA to rsB is interrupted",
        ]
        assert said({"drills": drills}, Right.RUN_DRILLS) == ["The last drill failed"]
        assert said({"drills": drills[:0]}, Right.RUN_DRILLS) == []


def shard_of(name, free, documents=1000, size=1_000_000):
    members = (
        Member(f"{name}:1", "PRIMARY", term=1, documents=documents, data_bytes=size, free_disk_bytes=10 * free),
        Member(f"{name}:2", "SECONDARY", free_disk_bytes=free),
        Member(f"{name}:3", "DOWN", error="refused"),
    )
    return SetStatus(name, members, (), Health.HEALTHY, ())


def grown(products, hours=24):
    return Growth(products, NOW - timedelta(hours=hours), ())


@pytest.mark.parametrize(
    ("growth", "first"),
    [
        ({"rsA": grown(100), "rsB": grown(100)}, Filling("rsA", 10 * 24 * 3600)),
        ({"rsA": grown(100), "rsB": grown(1000)}, Filling("rsB", 2 * 24 * 3600)),
        ({"rsA": grown(-5), "rsB": grown(1000)}, Filling("rsB", 2 * 24 * 3600)),
        ({"rsA": grown(100, hours=0.5), "rsB": grown(0)}, None),
        ({"rsU": grown(1)}, None),
        ({}, None),
    ],
)
def test_the_shard_that_will_be_full_first_is_told(growth, first):
    status = ClusterStatus((shard_of("rsA", 1_000_000), shard_of("rsB", 2_000_000)), (), 1, Health.HEALTHY, ())
    found = full_first(status, growth, NOW)
    assert (found and (found.shard, round(found.seconds))) == (first and (first.shard, first.seconds))
    assert full_first(None, growth, NOW) is None
