"""A create that is repeated under its key is the same creation, whatever happened meanwhile."""

import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from prodcore.catalog.catalog import create_once
from prodcore.errors import IdempotencyKeyReused, OutcomeUnknown, ProductExists, Unavailable
from prodcore.product.model import Author, ProductDraft, ProductPatch
from prodcore.support.validation import validate

ANA, EVA = Author("ana"), Author("eva")


def draft(name="Pan", **fields):
    return validate(ProductDraft, {"name": name, "price": "1.20", **fields})


def test_same_key_and_body_is_the_same_answer_though_the_product_went_on(catalog, raw_products):
    first = create_once(catalog, draft(tags=["bio"], sku="P-1"), ANA, "k1")
    assert create_once(catalog, draft(tags=["bio"], sku="P-1"), ANA, "k1").as_dict() == first.as_dict()
    edited = catalog.edit(first.id, validate(ProductPatch, {"price": "2", "tags": [], "sku": None}), EVA, 1)
    catalog.edit(first.id, validate(ProductPatch, {"name": "Panecillo"}), EVA, edited.version)
    assert create_once(catalog, draft(tags=["bio"], sku="P-1"), ANA, "k1").as_dict() == first.as_dict()
    catalog.delete(first.id, EVA, 3)
    assert create_once(catalog, draft(tags=["bio"], sku="P-1"), ANA, "k1").as_dict() == first.as_dict()
    assert sum(c.count_documents({"deleted": {"$exists": False}}) for c in raw_products.values()) == 0


@pytest.mark.parametrize("other", [{"price": "1.21"}, {"name": "Barra"}, {"stock": 1}, {"tags": ["x"]}])
def test_same_key_and_another_body_is_refused_and_makes_nothing(catalog, raw_products, other):
    create_once(catalog, draft(), ANA, "k1")
    with pytest.raises(IdempotencyKeyReused):
        create_once(catalog, draft(**other), ANA, "k1")
    assert sum(c.count_documents({}) for c in raw_products.values()) == 1


def test_keys_are_each_person_s_own_and_names_stay_unique(catalog):
    create_once(catalog, draft(), ANA, "k1")
    assert create_once(catalog, draft("Barra"), EVA, "k1").name == "Barra"
    for who, key in ((ANA, "k2"), (EVA, "k2")):
        with pytest.raises(ProductExists):
            create_once(catalog, draft(), who, key)


def test_of_twenty_requests_at_once_one_creates_and_all_answer_the_same(catalog, raw_products):
    barrier = threading.Barrier(20)

    def create(_number):
        barrier.wait(timeout=30)
        return create_once(catalog, draft(), ANA, "k1")

    with ThreadPoolExecutor(20) as pool:
        made = list(pool.map(create, range(20)))
    assert all(product.as_dict() == made[0].as_dict() for product in made)
    assert sum(c.count_documents({}) for c in raw_products.values()) == 1


def test_create_whose_shard_goes_silent_after_it_is_answered_as_made(catalog):
    """Its answer needs no second look, which the shard would not give."""

    def fall_silent(*_):
        raise Unavailable("rsB does not answer", shard="rsB")

    store = catalog.store("rsB")
    admit = store.moves.admit

    def admitted(product_id):
        stayed = admit(product_id)
        store.get_many = fall_silent
        return stayed

    store.moves.admit = admitted
    try:
        made = create_once(catalog, draft("Zumo"), ANA, "k1")
        with pytest.raises((Unavailable, OutcomeUnknown)):
            create_once(catalog, draft("Zumo"), ANA, "k1")
    finally:
        del store.moves.admit, store.get_many
    assert catalog.get(made.id).as_dict() == made.as_dict()
    assert create_once(catalog, draft("Zumo"), ANA, "k1").as_dict() == made.as_dict()


def test_create_repeated_under_its_id_while_its_history_is_silent_is_unknown_and_not_undone(catalog):
    made = catalog.create(draft("Zumo"), ANA, uuid4())
    catalog.edit(made.id, validate(ProductPatch, {"price": "2"}), EVA, 1)
    store = catalog.store("rsB")

    def fall_silent(_product_id):
        raise Unavailable("rsB does not answer", shard="rsB")

    store.history = fall_silent
    try:
        with pytest.raises(OutcomeUnknown) as caught:
            catalog.create(draft("Zumo"), ANA, made.id)
    finally:
        del store.history
    assert caught.value.details["product_id"] == str(made.id)
