"""Moves whose old place has gone with time."""

from uuid import uuid4

import pytest

from prodcore.errors import ProductExists
from tests.support.products import ANA, draft, patch


def test_create_repeated_after_the_product_moved_makes_no_twin(catalog, raw_products):
    product_id = uuid4()
    catalog.create(draft("Arroz"), ANA, product_id)
    catalog.edit(product_id, patch(name="Zumo"), ANA, 1)
    raw_products["rsA"].delete_one({"_id": product_id})
    with pytest.raises(ProductExists):
        catalog.create(draft("Arroz"), ANA, product_id)
    assert catalog.get(product_id).name == catalog.find("Zumo").name == "Zumo"
    assert [(p.id, p.name) for p in catalog.page().items] == [(product_id, "Zumo")]
