"""Documents that earlier versions stored are products of this one, with the defaults of fields that are new."""

from pathlib import Path

import pytest
from bson.json_util import JSONMode, JSONOptions, loads

from prodcore.mongo.products.document import as_change, as_deleted, as_document, as_product
from prodcore.product.fields import NAMES, STORED_DEFAULTS
from prodcore.product.model import ProductDraft
from prodcore.support.validation import validate

ARCHIVES = sorted((Path(__file__).parents[1] / "data" / "earlier_versions").glob("*.jsonl"))
OPTIONS = JSONOptions(json_mode=JSONMode.CANONICAL, tz_aware=True, uuid_representation=4)


def stored_in(archive):
    entries = [loads(line, json_options=OPTIONS) for line in archive.read_text().splitlines()]
    return [entry["document"] for entry in entries if entry["collection"] == "products"]


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda path: path.stem)
def test_a_stored_product_of_every_version_is_read(archive):
    documents = stored_in(archive)
    assert len(documents) >= 8
    for document in documents:
        product = as_deleted(document, "rsA").product if "deleted" in document else as_product(document, "rsA")
        validate(ProductDraft, product.content())
        assert product.barcode is None
        assert [as_change(entry).action for entry in document.get("history", ())][:1] in (["created"], [])


@pytest.mark.parametrize("lacking", sorted(STORED_DEFAULTS))
def test_a_product_that_was_stored_without_a_field_has_its_default(lacking):
    document = next(d for d in stored_in(ARCHIVES[0]) if d.get("name") == "Arroz")
    whole = as_product(document, "rsA")
    document.pop(lacking, None)
    product = as_product(document, "rsA")
    assert getattr(product, lacking) == STORED_DEFAULTS[lacking]
    assert [n for n in NAMES if getattr(product, n) != getattr(whole, n)] in ([], [lacking])
    assert as_product(as_document(product), "rsA") == product
