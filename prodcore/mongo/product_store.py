"""Products of one shard in its replica set, in ``products_db.products``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from decimal import Decimal
from uuid import UUID

from bson.decimal128 import Decimal128
from pymongo import ReplaceOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, DuplicateKeyError

from prodcore.catalog.ports import Batch, Key, Slice
from prodcore.errors import OutcomeUnknown, ProdError, ProductExists, ProductNotFound, VersionConflict
from prodcore.mongo.address import Document
from prodcore.mongo.product_query import INDEXES, read_batch
from prodcore.mongo.replica_set import ReplicaSet, is_transient
from prodcore.product import Product

_DUPLICATE_KEY = 11000


def ensure_indexes(replica_set: ReplicaSet) -> None:
    """Make the indexes that uniqueness, order and search stand on; harmless when they exist."""
    collection = replica_set.collection("products")
    replica_set.write(lambda _again: collection.create_indexes(list(INDEXES)))


class MongoProductStore:
    """A ``prodcore.catalog.ports.ProductStore`` on one replica set."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set
        self._products: Collection[Document] = replica_set.collection("products")

    @property
    def shard(self) -> str:
        """The replica set's name."""
        return self._set.name

    def insert(self, product: Product) -> None:
        """Add a product; see the port."""

        def attempt(_again: bool) -> None:
            try:
                self._products.insert_one(_as_document(product))
            except DuplicateKeyError:
                if not self._present([product]):
                    raise _exists(product) from None

        self._set.write(attempt, product_id=str(product.id))

    def insert_many(self, products: Sequence[Product]) -> list[ProdError | None]:
        """Add each product on its own; see the port."""
        if not products:
            return []
        documents = [_as_document(product) for product in products]

        def attempt(_again: bool) -> dict[int, ProdError]:
            try:
                self._products.insert_many(documents, ordered=False)
            except BulkWriteError as error:
                write_errors = error.details.get("writeErrors", [])
                if is_transient(error) or any(e["code"] != _DUPLICATE_KEY for e in write_errors):
                    raise
                refused = {e["index"]: _exists(products[e["index"]]) for e in write_errors}
                present = self._present([products[i] for i in refused])
                return {i: why for i, why in refused.items() if products[i].id not in present}
            return {}

        try:
            refused = self._set.write(attempt)
        except OutcomeUnknown as unknown:
            return [unknown] * len(products)
        return [refused.get(i) for i in range(len(products))]

    def replace(self, product: Product) -> None:
        """Store a new version; see the port."""

        def attempt(again: bool) -> None:
            seen = {"_id": product.id, "version": product.version - 1}
            try:
                result = self._products.replace_one(seen, _as_document(product))
            except DuplicateKeyError:
                raise _exists(product) from None
            if not result.matched_count:
                self._explain_no_match(product.id, mine=product if again else None)

        self._set.write(attempt, product_id=str(product.id))

    def replace_many(self, products: Sequence[Product]) -> list[ProdError | None]:
        """Store new versions, each on its own; see the port."""
        if not products:
            return []
        writes = [ReplaceOne({"_id": p.id, "version": p.version - 1}, _as_document(p)) for p in products]

        def attempt(_again: bool) -> list[ProdError | None]:
            self._products.bulk_write(writes, ordered=False)
            found = self._products.find({"_id": {"$in": [p.id for p in products]}}, {"write_id": 1})
            stored = {document["write_id"] for document in found}
            return [None if p.write_id in stored else _changed_meanwhile(p) for p in products]

        try:
            return self._set.write(attempt)
        except OutcomeUnknown as unknown:
            return [unknown] * len(products)

    def delete(self, product_id: UUID, version: int) -> None:
        """Remove one version; see the port."""

        def attempt(again: bool) -> None:
            result = self._products.delete_one({"_id": product_id, "version": version})
            if not result.deleted_count and not (again and self._is_gone(product_id)):
                self._explain_no_match(product_id)

        self._set.write(attempt, product_id=str(product_id))

    def get(self, product_id: UUID) -> Product | None:
        """The product with this id."""
        document = self._set.read(lambda: self._products.find_one({"_id": product_id}))
        return self._as_product(document) if document else None

    def find(self, keys: Sequence[Key]) -> dict[Key, Product]:
        """The products that have one of these keys."""
        if not keys:
            return {}
        wanted = set(keys)
        names = {"name_key": {"$in": sorted({name for name, _variant in wanted})}}
        documents = self._set.read(lambda: list(self._products.find(names)))
        found = {(d["name_key"], d["variant_key"]): d for d in documents}
        return {key: self._as_product(d) for key, d in found.items() if key in wanted}

    def sku_owners(self, skus: Sequence[str]) -> dict[str, UUID]:
        """The ids of the products that have one of these SKUs."""
        owners = {"sku": {"$in": list(skus)}}
        found = self._set.read(lambda: list(self._products.find(owners, {"sku": 1})))
        return {document["sku"]: document["_id"] for document in found}

    def find_skus(self, skus: Sequence[str]) -> dict[str, Product]:
        """The products that have one of these SKUs."""
        documents = self._set.read(lambda: list(self._products.find({"sku": {"$in": list(skus)}})))
        return {document["sku"]: self._as_product(document) for document in documents}

    def page(self, part: Slice) -> Batch:
        """Products in the query's order; see the port."""
        return self._set.read(lambda: read_batch(self._products, part, self.shard))

    def count(self) -> int:
        """How many products the shard holds, by its own bookkeeping."""
        return self._set.read(self._products.estimated_document_count)

    def _settle(self, product_id: UUID) -> None:
        """Wait until all that an earlier attempt may have written is on a majority, as even an empty write does.

        Before that, a majority read does not show it, and the earlier attempt would be taken for somebody else's.
        """
        self._products.update_one({"_id": product_id}, {"$set": {}})

    def _is_gone(self, product_id: UUID) -> bool:
        self._settle(product_id)
        return self._products.find_one({"_id": product_id}, {"_id": 1}) is None

    def _present(self, products: Sequence[Product]) -> set[UUID]:
        """The ids of those products that were inserted before: same id and same key, so it was this very insert."""
        if not products:
            return set()
        self._settle(products[0].id)
        keys = {product.id: product.key for product in products}
        found = self._products.find({"_id": {"$in": list(keys)}}, {"name_key": 1, "variant_key": 1})
        return {d["_id"] for d in found if (d["name_key"], d["variant_key"]) == keys[d["_id"]]}

    def _explain_no_match(self, product_id: UUID, mine: Product | None = None) -> None:
        """Why no document matched; returns when it is because ``mine`` had been written by an earlier attempt."""
        self._settle(product_id)
        current = self._products.find_one({"_id": product_id}, {"version": 1, "write_id": 1})
        if current is None:
            raise ProductNotFound(f"there is no product {product_id}", product_id=str(product_id))
        if mine and current["write_id"] == mine.write_id:
            return
        if mine and current["version"] > mine.version:
            raise OutcomeUnknown(
                "the product was edited again before the answer to this edit came: it may or may not be in between",
                product_id=str(product_id),
            )
        raise VersionConflict(
            f"the product is at version {current['version']} now",
            hint="Read it again, then repeat your change",
            product_id=str(product_id),
            version=current["version"],
        )

    def _as_product(self, document: Document) -> Product:
        values = {name: document[name] for name in _STORED}
        values["tags"] = tuple(values["tags"])
        values["price"] = document["price"].to_decimal()
        return Product(id=document["_id"], sku=document.get("sku"), shard=self.shard, **values)


_STORED = tuple(f.name for f in fields(Product) if f.name not in {"id", "sku", "shard"})


def _as_document(product: Product) -> Document:
    name_key, variant_key = product.key
    document: Document = {"_id": product.id, **{name: getattr(product, name) for name in _STORED}}
    document |= {
        "tags": list(product.tags),
        "price": Decimal128(Decimal(product.price)),
        "name_key": name_key,
        "variant_key": variant_key,
        "words": product.words,
        "facets": product.facets,
    }
    if product.sku is not None:  # left out otherwise: the index on it is sparse
        document["sku"] = product.sku
    return document


def _exists(product: Product) -> ProductExists:
    described = f"{product.name} ({product.variant})" if product.variant else product.name
    return ProductExists(
        f"a product {described!r} exists already",
        hint="Edit that one, or give this one another name or variant",
        name=product.name,
        variant=product.variant,
    )


def _changed_meanwhile(product: Product) -> VersionConflict:
    return VersionConflict(
        f"{product.name!r} was changed by somebody else meanwhile", product_id=str(product.id), version=product.version
    )
