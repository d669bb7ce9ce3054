"""Products that an earlier version stored are found by what this one looks for."""

from decimal import Decimal

import pytest

from prodcore.app.wiring import open_replica_set
from prodcore.catalog.stores import Query, Sort
from prodcore.mongo.products.checks import upgrade_products
from prodcore.mongo.products.document import as_document
from prodcore.product.model import Author, ProductDraft


@pytest.fixture
def rsa(settings, raw_clients):
    replica_set = open_replica_set(settings, "db1_url")
    raw_clients["rsA"]["products_db"]["marks"].delete_many({})
    yield replica_set
    replica_set.close()


def as_before(products):
    """Take away what earlier versions did not write."""
    for document in products.find():
        earlier = [word for word in document["words"] if not word.startswith(" ")]
        products.update_one(
            {"_id": document["_id"]}, {"$set": {"words": earlier}, "$unset": {"facets": "", "history": ""}}
        )


def names_of(catalog, **query):
    return [product.name for product in catalog.page(Query(**query)).items]


def test_terms_are_renewed_once_and_no_product_changes(catalog, raw_products, rsa):
    names = [f"Arroz {number:04d}" for number in range(1_201)]  # more than two batches
    drafts = [ProductDraft(name=name, price=Decimal(1), category="Granos", tags=["seco"]) for name in names]
    raw_products["rsA"].insert_many([as_document(catalog.draft(draft, Author("test"))) for draft in drafts])
    as_before(raw_products["rsA"])
    before = {document["_id"]: document for document in raw_products["rsA"].find()}
    assert names_of(catalog, category="granos") == []

    assert upgrade_products([rsa]) == len(names)
    assert upgrade_products([rsa]) == 0

    assert names_of(catalog, category="granos", tags=("seco",)) == names[:50]
    assert len(names_of(catalog, sort=Sort("price"))) == 50
    for document in raw_products["rsA"].find():
        del document["facets"]
        assert document == before[document["_id"]] | {"words": document["words"]}
