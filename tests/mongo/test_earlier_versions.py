"""What earlier versions stored is set up by this one, and then read, found, listed, changed and restored."""

from decimal import Decimal
from pathlib import Path

import pytest
from bson.json_util import JSONMode, JSONOptions, loads

from prodcore.app.wiring import open_catalog, open_replica_set, open_user_stores, prepare_cluster
from prodcore.catalog import Query, Sort, search_words
from prodcore.catalog.imports import recent_imports
from prodcore.catalog.listing import deleted_page
from prodcore.mongo.products.checks import is_upgraded
from prodcore.product.fields import BY_NAME
from prodcore.product.model import ProductPatch
from prodcore.settings import load_settings
from prodcore.support.validation import validate
from tests.support.products import ANA

ARCHIVES = sorted((Path(__file__).parents[1] / "data" / "earlier_versions").glob("*.jsonl"))
OPTIONS = JSONOptions(json_mode=JSONMode.CANONICAL, tz_aware=True, uuid_representation=4)
IN_ORDER = ["8up", "Aceite de oliva", "Águila", "Arroz", "Café molido", "Fruta naranja", "Ñandú", "Zumo"]


@pytest.fixture(params=ARCHIVES, ids=lambda path: path.stem)
def stored(request, cluster, raw_clients, raw_products, put_back_map):
    """The documents of an archive, in a real set each, made ready as ``local up`` does it."""
    entries = [loads(line, json_options=OPTIONS) for line in request.param.read_text().splitlines()]
    for place in {(e["set"], e["database"], e["collection"]) for e in entries}:
        name, database, collection = place
        raw_clients[name][database][collection].delete_many({})
        documents = [e["document"] for e in entries if (e["set"], e["database"], e["collection"]) == place]
        raw_clients[name][database][collection].insert_many(documents)
    for name in ("rsA", "rsB"):
        # An earlier version's own mark is in its archive; this version's would say that all has been renewed already.
        raw_clients[name]["products_db"]["marks"].delete_many(
            {"_id": {"$nin": [e["document"]["_id"] for e in entries if (e["set"], e["collection"]) == (name, "marks")]}}
        )
        if "barcode" in raw_clients[name]["products_db"]["products"].index_information():
            raw_clients[name]["products_db"]["products"].drop_index("barcode")
    prepare_cluster(load_settings(**cluster.addresses("root")))
    yield entries
    raw_clients["rsU"]["auth_db"]["users"].delete_many({})
    for name in ("rsA", "rsB"):
        raw_clients[name]["products_db"]["imports"].delete_many({})


@pytest.fixture
def old_catalog(settings, stored):
    with open_catalog(settings) as catalog:
        yield catalog


def names(catalog, **query):
    return [product.name for product in catalog.page(Query(**query)).items]


def test_products_of_an_earlier_version_are_read_found_listed_changed_and_restored(old_catalog, stored, settings):
    for setting in ("db1_url", "db2_url"):
        replica_set = open_replica_set(settings, setting)
        assert is_upgraded(replica_set)
        replica_set.close()
    assert names(old_catalog) == IN_ORDER
    assert names(old_catalog, sort=Sort("price"))[0] == "8up"
    assert len(names(old_catalog, sort=Sort("stock", descending=True))) == len(IN_ORDER)
    assert names(old_catalog, words=search_words("caf mol")) == ["Café molido"]
    assert names(old_catalog, words=search_words("ace-1")) == ["Aceite de oliva"]
    assert names(old_catalog, codes=(("sku", BY_NAME["sku"].same("CAF-1")),)) == ["Café molido"]
    assert names(old_catalog, category="granos", tags=("basico",)) == ["Arroz"]
    assert names(old_catalog, active=False) == ["Ñandú"]
    for product in old_catalog.page(Query()).items:
        assert product.barcode is None
        assert old_catalog.find(product.name, product.variant) == old_catalog.get(product.id) == product
        patch = validate(ProductPatch, {"price": "7.77", "barcode": "96385074"})
        changed = old_catalog.edit(product.id, patch, ANA, product.version)
        assert (changed.price, changed.version) == (Decimal("7.77"), product.version + 1)
        assert old_catalog.history(product.id)[0].was == {"price": product.price, "barcode": None}
        moved = old_catalog.edit(
            product.id, validate(ProductPatch, {"name": f"Z {product.name}"}), ANA, changed.version
        )
        assert moved.shard == "rsB"
    assert len(names(old_catalog, codes=(("barcode", ("96385074",)),))) == len(IN_ORDER)


def test_what_was_deleted_and_imported_before_is_still_known(old_catalog, stored):
    gone = deleted_page(old_catalog, limit=10).items
    for deleted in gone:
        assert old_catalog.restore(deleted.product.id, ANA, deleted.product.version).name == deleted.product.name
    documents = [e["document"] for e in stored if e["collection"] == "products"]
    assert len(gone) == sum("deleted" in document for document in documents)
    imports = {e["document"]["_id"] for e in stored if e["collection"] == "imports"}
    assert {record.import_id for record in recent_imports(old_catalog, 10)} == imports


def test_the_users_of_an_earlier_version_are_read(cluster, stored):
    expected = {e["document"]["username"]: e["document"]["role"] for e in stored if e["collection"] == "users"}
    stores = open_user_stores(load_settings(**cluster.addresses("auth")))
    try:
        assert {user.username: user.role for user in stores.users.all()} == expected
    finally:
        stores.close()
