"""Searches by the beginnings of words, over two real replica sets."""

import pytest

from prodcore.catalog import Query, search_words
from tests.mongo.authors import ANA
from tests.mongo.test_listing import draft, names


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("cafe mol", ["Café molido"]),
        ("MOL caf", ["Café molido"]),
        ("café", ["Café en grano", "Café molido"]),
        ("grano", ["Café en grano"]),
        ("250", ["Café molido"]),
        ("ñ", ["Ñandú"]),
        ("n", ["Naranja"]),
        ("ca", ["Café en grano", "Café molido"]),
        ("afe", []),
        ("(", []),
        ("^(a+)+$", []),
        ("$where", []),
        ("=", []),
        ("#", []),
        ("-", []),
        ("🍎", []),
        ("mal", ["=Mala (coca-cola)"]),
        ("co", ["=Mala (coca-cola)"]),
        ("(cola", ["=Mala (coca-cola)"]),
        ("=mala cola)", ["=Mala (coca-cola)"]),
    ],
)
def test_search_finds_folded_word_beginnings(catalog, search, found):
    catalog.create(draft("Café molido", variant="250 g", category="Desayuno", tags=["bio"], active=False), ANA)
    for name in ("Café en grano", "Ñandú", "Naranja", "=Mala (coca-cola)"):
        catalog.create(draft(name), ANA)
    assert names(catalog.page(Query(search_words(search)))) == found


def test_letter_with_a_tilde_is_not_split_by_the_beginning_of_a_word(catalog):
    for name in ("Cañas", "Canas", "Caño", "Can"):
        catalog.create(draft(name), ANA)
    assert names(catalog.page(Query(search_words("can")))) == ["Can", "Canas"]
    assert names(catalog.page(Query(search_words("cañ")))) == ["Cañas", "Caño"]
    catalog.create(draft("Anís"), ANA)
    catalog.create(draft("Añojo"), ANA)
    assert names(catalog.page(Query(search_words("an")))) == ["Anís"]
    assert names(catalog.page(Query(search_words("añ")))) == ["Añojo"]
