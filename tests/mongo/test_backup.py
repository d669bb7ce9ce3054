"""Backups of real replica sets: made while people write and rename over the border, restored onto other maps."""

import threading
from contextlib import suppress
from itertools import count

import pytest

from campaigns import renames as campaign
from prodcore.app.backup import open_system, verify_backup
from prodcore.app.shards import open_shards
from prodcore.app.wiring import open_catalog
from prodcore.backup.archive import MOVING, Backup
from prodcore.errors import Conflict, Forbidden, NotFound
from prodcore.mongo.products.map_store import MongoMapStore, MongoOwnedRangesStore
from prodcore.mongo.restore import Selection
from prodcore.routing import DEFAULT_MAP, Range, ShardMap
from prodcore.settings import load_settings
from tests.support.cli import Cli
from tests.support.products import ANA, Killed, draft, everything, patch

USERS = ("users", "service_tokens", "sessions", "marks")


@pytest.fixture
def root_settings(cluster):
    return load_settings(**cluster.addresses("root"))


@pytest.fixture
def system(root_settings, catalog, raw_clients):
    """All sets, without products, users and claims before and after."""

    def empty():
        for name in USERS:
            raw_clients["rsU"]["auth_db"][name].delete_many({})
        for name in ("sku_claims", "saved_views"):
            raw_clients["rsU"]["prodctl_meta"][name].delete_many({})
        for shard in ("rsA", "rsB"):
            raw_clients[shard]["products_db"]["products"].delete_many({})
            raw_clients[shard]["products_db"]["imports"].delete_many({})

    empty()
    with open_system(root_settings) as opened:
        yield opened
    empty()


@pytest.fixture
def made(system, cluster, tmp_path):
    """Make a backup, as the user that may only do that."""

    numbers = count()

    def create(on_instant=lambda _name: None):
        directory = tmp_path / str(next(numbers))
        manifest = reader.create(directory, None, lambda _documents: None, on_instant)
        return Backup(directory / manifest.name)

    with open_system(load_settings(**cluster.addresses("backup"))) as reader:
        yield create


def restored(system, backup, **options):
    return system.restore(backup, replace=True, on_documents=lambda _documents: None, **options)


def findings(settings):
    with open_shards(settings) as shards:
        return list(shards.findings(lambda _looked: None))


def test_restore_brings_back_what_there_was_and_nothing_of_later(system, made, catalog, raw_clients, root_settings):
    kept = {name: catalog.create(draft(name, sku=f"S-{name[1:3]}"), ANA) for name in ("Arroz", "Zumo", "Ñandu")}
    gone = catalog.create(draft("Huevos"), ANA)
    catalog.delete(gone.id, ANA, 1)
    moved = catalog.edit(kept["Arroz"].id, patch(name="Yuca"), ANA, 1)
    raw_clients["rsU"]["auth_db"]["users"].insert_one({"_id": "u1", "username": "ana", "name_key": "ana"})
    raw_clients["rsU"]["auth_db"]["sessions"].insert_one({"_id": "s1", "user_id": "u1", "refresh_hash": "x"})
    histories = {p.id: catalog.history(p.id) for p in kept.values()}
    view = catalog.views.save("u1", "Agotados", "stock_max=0", "ana")
    backup = made()

    catalog.views.rename("u1", view.id, "Tarde", "ana")
    catalog.create(draft("Tarde"), ANA)
    catalog.delete(kept["Zumo"].id, ANA, 1)
    raw_clients["rsU"]["auth_db"]["users"].delete_many({})
    told = restored(system, backup)

    assert (told.products, told.users, told.left_out) == (4, 1, [])
    assert catalog.get(moved.id) == moved
    assert catalog.get(kept["Zumo"].id) == kept["Zumo"]
    assert {p.id: catalog.history(p.id) for p in kept.values()} == histories
    assert catalog.restore(gone.id, ANA, 2).name == "Huevos"
    assert sorted(p.name for p in catalog.page().items) == ["Huevos", "Yuca", "Zumo", "Ñandu"]
    assert findings(root_settings) == []
    assert catalog.views.of("u1") == [(view,)]
    users = raw_clients["rsU"]["auth_db"]
    assert [u["username"] for u in users["users"].find()] == ["ana"]
    assert users["sessions"].count_documents({}) == 0


def test_refuses_a_system_that_holds_something(system, made, catalog):
    catalog.create(draft("Arroz"), ANA)
    backup = made()
    with pytest.raises(Conflict, match="holds products or users"):
        system.restore(backup, replace=False, on_documents=lambda _documents: None)
    assert [p.name for p in catalog.page().items] == ["Arroz"]


def test_without_the_right_to_read_users_nothing_is_made(cluster, catalog, tmp_path):
    with open_system(load_settings(**cluster.addresses("operator"))) as system, pytest.raises(Forbidden, match="rsU"):
        system.create(tmp_path, None, lambda _documents: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["intended", "received", "committed", "published"])
def test_product_that_was_left_in_a_move_comes_back_once(system, made, catalog, root_settings, step):
    def die(name):
        if name == step:
            raise Killed

    product = catalog.create(draft("Arroz", sku="A-1"), ANA)
    with pytest.raises(Killed):
        campaign.stepping(catalog, die).edit(product.id, patch(name="Zanahoria"), ANA, 1)
    backup = made()
    assert verify_backup(backup.path, None, lambda _documents: None).problems == []
    restored(system, backup)
    decided = step in ("committed", "published")
    assert [(p.id, p.name) for p in catalog.page().items] == [(product.id, "Zanahoria" if decided else "Arroz")]
    assert findings(root_settings) == []


def test_products_that_move_while_the_instants_are_chosen_are_in_it_once(system, made, catalog, root_settings):
    """The shards' instants are milliseconds apart; here all of this happens in between."""
    names = ("Arroz", "Leche", "Zumo", "Pan", "Nata", "Café")
    products = {name: catalog.create(draft(name), ANA) for name in names}

    def rename(old, new, dies_after=""):
        def die(step):
            if step == dies_after:
                raise Killed

        with suppress(Killed):
            found = catalog.get(products[old].id)
            campaign.stepping(catalog, die).edit(found.id, patch(name=new), ANA, found.version)

    def move(name):
        if name == "rsA":
            rename("Arroz", "Yuca")
            rename("Zumo", "Azúcar")
            rename("Pan", "Bollo", "committed")
            rename("Leche", "Queso", "received")
            rename("Nata", "Arena")
            rename("Nata", "Nuez")
            rename("Café", "Té")
            rename("Café", "Cacao")

    backup = made(move)
    held = {f.place[0]: f.documents for f in backup.manifest.collections if f.place[2] == "products"}
    assert held == {"rsA": 3, "rsB": 7, MOVING: 6}
    assert backup.manifest.old_places == 5
    restored(system, backup)
    there = {product.id: product.name for product in catalog.page().items}
    assert sorted(there.values()) == ["Azúcar", "Bollo", "Cacao", "Leche", "Nuez", "Yuca"]
    assert there.keys() == {product.id for product in products.values()}
    assert findings(root_settings) == []


def test_products_go_where_the_present_map_sends_them(system, made, catalog, root_settings, put_back_map, cluster):
    for name in ("Arroz", "Café", "Zumo"):
        catalog.create(draft(name, sku=name[:2]), ANA)
    backup = made()
    swapped = ShardMap(
        2, tuple(Range(r.lower, r.upper, {"rsA": "rsB", "rsB": "rsA"}[r.shard]) for r in DEFAULT_MAP.ranges)
    )
    MongoMapStore(system.users).swap(1, swapped)
    for name, shard in system.shards.items():
        MongoOwnedRangesStore(shard).save(2, swapped.owned_by(name))
    assert restored(system, backup).products == 3
    assert findings(root_settings) == []
    with open_catalog(load_settings(**cluster.addresses("web"))) as elsewhere:
        assert {p.name: p.shard for p in elsewhere.page().items} == {"Arroz": "rsB", "Café": "rsB", "Zumo": "rsA"}


def test_one_product_one_category_and_one_user_come_back_beside_what_is_there(system, made, catalog, raw_clients):
    def some(replace=False, **chosen):
        items = system.restore_some(backup, Selection(**chosen), replace=replace, on_documents=lambda _documents: None)
        return [(item.name, item.outcome) for item in items]

    users = raw_clients["rsU"]["auth_db"]["users"]
    user = {"username": "Ana", "role": "viewer", "disabled": False, "removed_at": None, "version": 1, "epoch": 0}
    users.insert_one({"_id": "u1", "name_key": "ana", "password_hash": "then", **user})
    gone, changed, same = (
        catalog.create(draft(name, category="Lácteos", sku=f"S-{name[0]}"), ANA) for name in ("Leche", "Nata", "Kéfir")
    )
    other = catalog.create(draft("Zumo"), ANA)
    backup = made()

    catalog.edit(changed.id, patch(name="Crema", price="9", sku=None), ANA, 1)
    raw_clients["rsA"]["products_db"]["products"].delete_one({"_id": gone.id})
    taken = catalog.edit(other.id, patch(name="Leche"), ANA, 1)
    catalog.delete(same.id, ANA, 1)
    users.update_one({"_id": "u1"}, {"$set": {"password_hash": "now"}})

    assert some(products=("  LECHE ",)) == [("Leche", "left_out")]
    catalog.edit(taken.id, patch(name="Suero"), ANA, 2)
    assert some(products=("leche",)) == [("Leche", "restored")]
    assert catalog.get(gone.id) == gone
    assert catalog.history(gone.id)[0].action == "created"
    assert sorted(some(categories=("lacteos",))) == [
        ("Kéfir", "restored"),
        ("Leche", "unchanged"),
        ("Nata", "left_out"),
    ]
    assert some(replace=True, products=(str(changed.id),)) == [("Nata", "replaced")]
    now = catalog.get(changed.id)
    assert (now.content(), now.version) == (changed.content(), 3)
    assert catalog.history(changed.id)[0].by.username == "prodctl backup restore"
    assert some(users=("ANA",)) == [("Ana", "left_out")]
    assert some(replace=True, users=("ANA",)) == [("Ana", "left_out")]  # there would be no admin
    users.insert_one({"_id": "u2", "name_key": "eva", **user, "username": "Eva", "role": "admin"})
    assert some(replace=True, users=("ANA",)) == [("Ana", "replaced")]
    assert users.find_one({"_id": "u1"}, {"_id": 0, "password_hash": 1, "epoch": 1}) == {
        "password_hash": "then",
        "epoch": 1,
    }
    with pytest.raises(NotFound):
        some(products=("Nunca",), users=("nadie",))


def test_backup_under_renames_and_writes_holds_each_product_once(system, made, catalog, root_settings):
    ids = campaign.fill(catalog, 30)
    acknowledged, ended = [], threading.Event()

    def write():
        number = 0
        while not ended.is_set():
            campaign.rename(catalog, catalog.get(ids[number % len(ids)]))
            acknowledged.append(catalog.create(draft(f"Nuevo {number:04}"), ANA))
            number += 1

    writing = threading.Thread(target=write)
    writing.start()
    try:
        backups, before = [], []
        for _round in range(3):
            before.append(list(acknowledged))
            backups.append(made())
    finally:
        ended.set()
        writing.join(60)
    after = {product.id for product in acknowledged}
    for backup, known in zip(backups, before, strict=True):
        restored(system, backup)
        there = [product.id for product in everything(catalog)]
        assert len(there) == len(set(there))
        assert set(ids) | {product.id for product in known} <= set(there) <= set(ids) | after
        assert findings(root_settings) == []


def test_commands_say_what_they_did_and_refuse_what_would_destroy(system, cluster, catalog, tmp_path):
    cli = Cli(tmp_path, {n.upper(): url.get_secret_value() for n, url in cluster.addresses("root").items()})
    kept = catalog.create(draft("Arroz"), ANA)
    made = cli.inside("backup", "create", str(tmp_path / "backups"), "-o", "json")
    assert (made.status, made.json["products"], made.json["users"]) == (0, 1, 0), made.err
    path = made.json["path"]
    assert cli.inside("backup", "verify", path).status == 0
    catalog.edit(kept.id, patch(stock=7), ANA, 1)

    refused = cli.inside("backup", "restore", path)
    assert (refused.status, refused.err.splitlines()[0]) == (5, "Error: the system holds 1 product and 0 users")
    asked = cli.inside("backup", "restore", path, "--replace")
    assert (asked.status, "pass --yes" in asked.err) == (2, True)
    assert catalog.get(kept.id).stock == 7
    some = cli.inside("backup", "restore", path, "--product", "ARROZ", "-o", "json")
    assert (some.status, some.json["outcomes"]) == (6, {"left_out": 1})
    none = cli.inside("backup", "restore", path, "--user", "nadie")
    assert (none.status, none.err.splitlines()[0]) == (3, "Error: the backup contains none of these")

    done = cli.inside("backup", "restore", path, "--replace", "--yes", "-o", "json")
    assert (done.status, done.json["products"], done.json["left_out"]) == (0, 1, [])
    assert catalog.get(kept.id) == kept
    assert cli.inside("shard", "verify").status == 0
