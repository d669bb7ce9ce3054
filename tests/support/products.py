"""Products for tests: who changes them, how they are written, and many at once."""

import random
from datetime import UTC, datetime
from uuid import UUID, uuid4

from prodcore.catalog import Catalog, Query
from prodcore.catalog.upsert import new_item
from prodcore.product.model import Author, ProductDraft, ProductPatch
from prodcore.routing import DEFAULT_MAP
from prodcore.support.validation import validate

ANA = Author("ana", request_id="request-of-ana")
EVA = Author("eva")


def draft(name, **fields):
    return validate(ProductDraft, {"name": name, "price": "1.20", **fields})


def patch(**fields):
    return validate(ProductPatch, fields)


def item(name, **fields):
    """One of an import."""
    return new_item({"name": name, "price": "1.20", **fields})


class Killed(BaseException):
    """Ends a move between two steps, as the end of its process does: nothing is tidied up."""


def names(page):
    return [product.name for product in page.items]


def unique(name):
    return f"{name} {uuid4().hex[:8]}"


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"'><b>bold</b>",
    "{{ 7 * 7 }}",
    "😀👩‍👩‍👧 emoji",
    "مرحبا abc",
    "W" * 180,
    "=cmd|' /C calc'!A0",
    "a\\u003cb &amp; &lt;",
]


def add_many(site, count, **fields):
    """Products that share a word, which is returned."""
    word = f"q{uuid4().hex[:8]}"
    items = [{"name": f"{'AN'[n % 2]}lga {n:04} {word}", "price": "1", "stock": n, **fields} for n in range(count)]
    for start in range(0, count, 1000):
        answer = site.call("POST", "/products/batch", {"items": items[start : start + 1000]}, token=site.token())
        assert answer.ok, answer.text
    return word


def stored(site, word):
    answer = site.call("GET", f"/products?search={word}&limit=200", token=site.token())
    return answer.json()["items"]


def write_csv(folder, word, count=3):
    """Good rows, one that is wrong, one that an earlier one says already."""
    lines = [f"Lenteja {n:04} {word};Bolsa;1,20 €;{n}" for n in range(count)]
    lines += [f"=Mala {word};Bolsa;mucho;1", lines[0]]
    path = folder / "lentejas.csv"
    path.write_text("nombre;presentacion;precio;existencias\n" + "\n".join(lines), "utf-8")
    return path


A_TO_M = ["Arroz", "Café", "Manzana", "Águila"]
N_TO_Z = ["Naranja", "Pan", "Zanahoria", "Ñandú", "7up"]


def products_with_equals():
    """Drafted products with many equal prices, stocks and times."""
    chance = random.Random(4)  # noqa: S311  a test's own dice
    moments = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
    words = ["arroz", "azúcar", "café", "leche", "maíz", "nata", "ñora", "pan", "queso", "zumo"]
    products = []
    catalog = Catalog(DEFAULT_MAP, {}, clock=lambda: chance.choice(moments))
    for number in range(120):
        name = f"{chance.choice(words)} {chance.choice(words)}"
        fields = {
            "variant": f"{number}",
            "category": chance.choice(["", "Lácteos", "Despensa"]),
            "tags": chance.sample(["bio", "sin gluten", "Ñ, y coma"], chance.randint(0, 2)),
            "price": chance.choice(["0", "1", "1.00", "2.5", "10"]),
            "stock": chance.choice([0, 0, 5, 40]),
            "active": chance.random() < 0.8,
        }
        product_id = UUID(int=chance.getrandbits(128), version=4)
        products.append(catalog.draft(draft(name, **fields), ANA, product_id))
    return products


def fill(catalog, products):
    """Store drafted products, each in its shard; the catalogue."""
    for shard in catalog.shard_map.shards:
        catalog.store(shard).insert_many([product for product in products if product.shard == shard])
    return catalog


def pages(catalog, query=None, limit=50):
    """All pages, one after the other."""
    cursor = None
    while True:
        page = catalog.page(query or Query(), cursor=cursor, limit=limit)
        yield page
        cursor = page.next_cursor
        if cursor is None:
            return


def everything(catalog, query=None, limit=50):
    return [product for page in pages(catalog, query, limit) for product in page.items]


def listed(catalog, limit=200, **query):
    """All products of a list, page by page, of which each is whole."""
    found = []
    for page in pages(catalog, Query(**query), limit):
        assert not page.unavailable
        found += page.items
    return found
