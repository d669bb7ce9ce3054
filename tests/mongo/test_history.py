"""Histories as they stand in documents, and what MongoDB removes by itself."""

from datetime import timedelta

from prodcore.catalog.upsert import upsert
from prodcore.product.model import Author
from tests.support.products import ANA, EVA, draft, item, patch


def test_history_of_a_batch_names_its_import(catalog, raw_products):
    author = Author("ana", import_id="import-7")
    upsert(catalog, [item("Pan"), item("Arroz")], author)
    upsert(catalog, [item("Pan", stock=4)], author)
    pan = catalog.find("Pan")
    assert [(c.action, c.by.import_id) for c in catalog.history(pan.id)] == [
        ("edited", "import-7"),
        ("created", "import-7"),
    ]
    found = raw_products["rsB"].find({"history.import": "import-7"})
    assert [d["name"] for d in found] == ["Pan"]
    assert found.explain()["queryPlanner"]["winningPlan"]["inputStage"]["indexName"] == "history_import"


def test_deleted_products_go_when_their_time_is_over(catalog, raw_products):
    index = raw_products["rsB"].index_information()["purge_at"]
    assert index["expireAfterSeconds"] == 0
    made = catalog.create(draft("Pan"), ANA)
    catalog.delete(made.id, ANA, 1)
    parked = raw_products["rsB"].find_one({"_id": made.id})
    assert parked["purge_at"] - parked["deleted"]["at"] == timedelta(days=30)
    indexed = {"words", "facets", "sku", "price", "stock", "updated_at", "created_at"}
    assert not indexed & parked.keys()


def test_product_remembers_its_last_five_hundred_changes(catalog, raw_products):
    made = catalog.create(draft("Pan"), ANA)
    entry = raw_products["rsB"].find_one({"_id": made.id})["history"][0]
    raw_products["rsB"].update_one({"_id": made.id}, {"$set": {"history": [entry] * 500}})
    catalog.edit(made.id, patch(stock=1), EVA, 1)
    history = catalog.history(made.id)
    assert (len(history), history[0].action) == (500, "edited")
