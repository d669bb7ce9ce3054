"""Searches by the beginnings of words, over two real replica sets."""

import pytest

from prodcore.catalog import Query, Sort, search_words
from prodcore.mongo.products.document import as_document
from prodcore.product.fields import BY_NAME
from tests.support.products import ANA, draft, names


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
        ("ma", ["=Mala (coca-cola)"]),
        ("col", ["=Mala (coca-cola)"]),
        ("coc co", ["=Mala (coca-cola)"]),
        ("co", []),
        ("g", ["Café molido"]),
        ("gr", []),
        ("caf gr", ["Café en grano"]),
        ("c en", ["Café en grano"]),
        ("en", ["Café en grano"]),
        ("(cola", ["=Mala (coca-cola)"]),
        ("=mala cola)", ["=Mala (coca-cola)"]),
    ],
)
def test_search_finds_folded_word_beginnings(catalog, search, found):
    catalog.create(draft("Café molido", variant="250 g", category="Desayuno", tags=["bio"], active=False), ANA)
    for name in ("Café en grano", "Ñandú", "Naranja", "=Mala (coca-cola)"):
        catalog.create(draft(name), ANA)
    assert names(catalog.page(Query(search_words(search)))) == found


def test_codes_are_searched_by_their_beginning_and_filtered_by_what_they_are(catalog, raw_clients):
    catalog.create(draft("Galletas", sku="GAL-7", barcode="036000291452"), ANA)
    catalog.create(draft("Zumo", sku="GAL-70", barcode="0036000291452"), ANA)  # the same code: packs may share one
    catalog.create(draft("Pan", barcode="96385074"), ANA)
    assert names(catalog.page(Query(search_words("gal-7")))) == ["Galletas", "Zumo"]
    assert names(catalog.page(Query(search_words("0360")))) == ["Galletas"]
    for name, given, found in [
        ("sku", "GAL-7", ["Galletas"]),
        ("barcode", "36000291452", ["Galletas", "Zumo"]),
        ("barcode", "036000291452", ["Galletas", "Zumo"]),
        ("barcode", "00036000291452", ["Galletas", "Zumo"]),
        ("barcode", "96385074", ["Pan"]),
    ]:
        query = Query(codes=((name, BY_NAME[name].same(given)),))
        assert names(catalog.page(query)) == found, given
    indexes = raw_clients["rsA"]["products_db"]["products"].index_information()
    assert indexes["barcode"]["sparse"]


def test_letter_with_a_tilde_is_not_split_by_the_beginning_of_a_word(catalog):
    for name in ("Cañas", "Canas", "Caño", "Can"):
        catalog.create(draft(name), ANA)
    assert names(catalog.page(Query(search_words("can")))) == ["Can", "Canas"]
    assert names(catalog.page(Query(search_words("cañ")))) == ["Cañas", "Caño"]
    catalog.create(draft("Anís"), ANA)
    catalog.create(draft("Añojo"), ANA)
    assert names(catalog.page(Query(search_words("an")))) == ["Anís"]
    assert names(catalog.page(Query(search_words("añ")))) == ["Añojo"]


@pytest.fixture
def many(catalog, raw_products):
    """Products in one shard, each twentieth of them for a wok."""
    names = [f"Arroz {number:03} {'largo' if number % 20 else 'wo'} kilo" for number in range(400)]
    raw_products["rsA"].insert_many([as_document(catalog.draft(draft(name), ANA)) for name in names])
    return catalog


@pytest.mark.parametrize("descending", [False, True])
def test_search_of_a_letter_or_more_looks_at_a_page_not_at_the_catalogue(many, raw_clients, descending):
    database = raw_clients["rsA"]["products_db"]
    for search in ("wo", "a", "ar", "kil", "kilo", "wo a", "kil arroz a"):
        query = Query(search_words(search), sort=Sort("name", descending), shard="rsA")
        cursor = None
        for _page in range(3):
            database.command("profile", 2)
            try:
                page = many.page(query, cursor=cursor, limit=4)
            finally:
                database.command("profile", 0)
            (asked,) = database["system.profile"].find({"command.find": "products"}).sort("ts", -1).limit(1)
            database["system.profile"].drop()
            cursor = page.next_cursor
            assert len(page.items) == 4
            assert asked["keysExamined"] <= 15, search
            assert asked["docsExamined"] <= 15, search
            assert not asked.get("hasSortStage"), search
