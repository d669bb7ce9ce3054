"""Products for tests: who changes them, how they are written, and many at once."""

from uuid import uuid4

from prodcore.product.history import Author
from prodcore.product.model import ProductDraft, ProductPatch
from prodcore.support.validation import validate

ANA = Author("ana", request_id="request-of-ana")
EVA = Author("eva")


def draft(name, **fields):
    return validate(ProductDraft, {"name": name, "price": "1.20", **fields})


def patch(**fields):
    return validate(ProductPatch, fields)


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
