"""Forms: what was typed becomes what the core judges; where a form leads next stays on this site."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest
from babel.messages.pofile import read_po
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.utils import redirect

from prodcore.errors import InvalidInput
from prodcore.product.fields import NAMES
from prodcore.product.model import Product, ProductDraft
from prodcore.support.validation import validate
from webapp.pages.assets import asset
from webapp.pages.errors import problems_by_field
from webapp.pages.forms import safe_next
from webapp.pages.language import install_language, read_price, show_price, show_range, write_price
from webapp.pages.product_form import as_input, blank_values, typed_values, values_of

ROOT = Path(__file__).parents[2]
SPANISH, ENGLISH = "es-ES,es;q=0.9", "en-GB,en;q=0.9"


@pytest.fixture(scope="module")
def app():
    app = Flask("webapp")
    install_language(app)
    return app


def speaking(app, language):
    return app.test_request_context(headers={"Accept-Language": language})


PRICES = [
    (SPANISH, "1,20", Decimal("1.20")),
    (SPANISH, " 1.234,5 € ", Decimal("1234.5")),
    (SPANISH, "7", Decimal("7")),
    (SPANISH, "1.20", None),
    (SPANISH, "1,2,3", None),
    (ENGLISH, "1.20", Decimal("1.20")),
    (ENGLISH, "1,234.50", Decimal("1234.50")),
    (ENGLISH, "1,20", None),
    (ENGLISH, "", None),
    (ENGLISH, "NaN", None),
    (ENGLISH, "Infinity", None),
    (ENGLISH, "-1", Decimal("-1")),
]


@pytest.mark.parametrize(("language", "typed", "meant"), PRICES)
def test_a_price_is_read_as_the_language_writes_it(app, language, typed, meant):
    with speaking(app, language):
        assert read_price(typed) == meant


@pytest.mark.parametrize("language", [SPANISH, ENGLISH])
@given(price=st.decimals(min_value=0, max_value=Decimal("999999999999"), places=4))
def test_a_price_in_a_form_means_itself(app, language, price):
    with speaking(app, language):
        assert read_price(write_price(price)) == price


def test_a_shown_price_is_never_rounded(app):
    with speaking(app, SPANISH):
        assert show_price(Decimal("1.2345"), "EUR") == "1,2345\N{NO-BREAK SPACE}€"
        assert show_price(Decimal("1.2"), "EUR") == "1,20\N{NO-BREAK SPACE}€"


def test_a_range_is_read_in_the_language(app):
    with speaking(app, SPANISH):
        assert show_range("a ≤ key < n") == "a ≤ clave < n"
        assert show_range("key < a") == "clave < a"
        assert show_range("monkey ≤ key …") == "monkey ≤ clave …"


def product(**fields):
    moment = datetime.now(UTC)
    given = {
        "name": "Arroz",
        "variant": "Bolsa 1 kg",
        "sku": None,
        "barcode": None,
        "description": "uno\ndos",
        "category": "Arroces",
        "tags": ("a", "b"),
        "price": Decimal("1.2000"),
        "currency": "EUR",
        "stock": 3,
        "active": False,
    }
    stamps = {"created_at": moment, "updated_at": moment, "updated_by": "Ana", "version": 1}
    return Product(id=uuid4(), write_id=uuid4(), **stamps, **{**given, **fields})


def test_a_stored_product_passes_through_its_form_unchanged(app):
    stored = product()
    with speaking(app, SPANISH):
        values = typed_values(values_of(stored) | {"description": "uno\r\ndos"})
        assert values == values_of(stored)
        draft = validate(ProductDraft, as_input(values))
    assert {name: getattr(draft, name) for name in NAMES} == stored.content()


def test_an_empty_form_says_what_is_missing_in_the_visitor_s_language(app):
    with speaking(app, SPANISH), pytest.raises(InvalidInput) as refused:
        validate(ProductDraft, as_input(blank_values("EUR")))
    with speaking(app, SPANISH):
        found = problems_by_field(refused.value, price_example="1,20")
    assert found == {"name": "Rellene este campo.", "price": "Escriba un precio como 1,20."}


WRONG = [
    ("name", "x" * 201, "At most 200 characters."),
    ("name", "\N{ZERO WIDTH SPACE}", "Fill this in."),
    ("stock", "1.5", "Enter a whole number such as 40."),
    ("stock", "-1", "Enter a whole number such as 40."),
    ("stock", "99999999999", "At most 2,147,483,647."),
    ("price", "-1", "It cannot be negative."),
    ("price", "1.23456", "At most 4 decimals."),
    ("currency", "XXQ", "Use an ISO 4217 code such as EUR."),
    ("currency", "euros", "Use an ISO 4217 code such as EUR."),
    ("sku", "ñ", "Use letters, digits and symbols without spaces or accents."),
    ("barcode", "123", "Enter the 8, 12, 13 or 14 digits of an EAN, UPC or GTIN."),
    ("barcode", "8410010123459", "The check digit does not match: one of the digits is wrong."),
    ("tags", ",".join(map(str, range(30))), "At most 20 tags."),
    ("tags", "x" * 51, "At most 50 characters."),
]


@pytest.mark.parametrize(("field", "typed", "message"), WRONG)
def test_every_refusal_has_a_sentence_of_its_own(app, field, typed, message):
    with speaking(app, ENGLISH):
        values = typed_values({**blank_values("EUR"), "name": "Arroz", "price": "1", field: typed})
        with pytest.raises(InvalidInput) as refused:
            validate(ProductDraft, as_input(values))
        assert problems_by_field(refused.value) == {field: message}


@given(st.text())
def test_a_next_address_always_stays_here(target):
    location = redirect(safe_next(target)).location
    assert location.startswith("/")
    assert not location.startswith("//")
    assert "\\" not in location
    assert "\n" not in location


def test_no_sentence_waits_for_its_translation():
    with (ROOT / "webapp/translations/es/LC_MESSAGES/messages.po").open("rb") as file:
        catalogue = read_po(file, locale="es")
    waiting = [
        m.id for m in catalogue if m.id and (m.fuzzy or not all([m.string] if isinstance(m.string, str) else m.string))
    ]
    assert waiting == []


def test_assets_carry_their_content_s_hash_and_nothing_foreign():
    style, script = asset("app.css"), asset("app.js")
    assert style.digest in style.hashed_name
    assert b"url(http" not in style.content
    assert b"data:" not in style.content
    assert b"sourceMappingURL" not in style.content + script.content
    assert len(style.compressed) + len(script.compressed) < 80_000
