"""Lists of products under a name: who has which, and what becomes of two changes at once."""

import json
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from prodcore.catalog.views import EVERYBODY, MAPPINGS, MAX_MAPPING, MAX_VIEW_NAME, MAX_VIEW_QUERY, MOST_VIEWS
from prodcore.errors import InvalidInput


@pytest.fixture
def ana():
    """A user who has no views yet."""
    return str(uuid4())


def kept(catalog, owner):
    [views] = catalog.views.of(owner)
    return [(view.name, view.query, view.by) for view in views]


def refused(caught):
    return [(problem.field, problem.code) for problem in caught.value.problems]


def test_a_view_is_its_owners_alone(catalog, ana):
    catalog.views.save(ana, "  Agotados ", "active=true&stock_max=0", "ana")
    catalog.views.save(ana, "Caro", "sort=-price", "ana")
    assert kept(catalog, ana) == [("Agotados", "active=true&stock_max=0", "ana"), ("Caro", "sort=-price", "ana")]
    other = str(uuid4())
    assert catalog.views.of(other, ana)[0] == ()
    assert len(catalog.views.of(other, ana)[1]) == 2
    assert ana not in (EVERYBODY, other)


def test_a_name_is_given_once_and_can_be_written_over(catalog, ana):
    first = catalog.views.save(ana, "Añejo", "tag=viejo", "ana")
    catalog.views.save(ana, "Anejo", "tag=otro", "ana")
    with pytest.raises(InvalidInput) as caught:
        catalog.views.save(ana, "AÑEJO", "tag=nuevo", "eva")
    assert refused(caught) == [("view", "name_taken")]
    over = catalog.views.save(ana, "AÑEJO", "tag=nuevo", "eva", over=True)
    assert over.id == first.id
    assert kept(catalog, ana) == [("AÑEJO", "tag=nuevo", "eva"), ("Anejo", "tag=otro", "ana")]


def test_a_view_is_renamed_and_removed(catalog, ana):
    view = catalog.views.save(ana, "Sin stock", "stock_max=0", "ana")
    catalog.views.save(ana, "Caro", "sort=-price", "ana")
    renamed = catalog.views.rename(ana, view.id, "sin Stock", "eva")
    assert (renamed.id, renamed.name, renamed.query, renamed.by) == (view.id, "sin Stock", "stock_max=0", "eva")
    with pytest.raises(InvalidInput) as caught:
        catalog.views.rename(ana, view.id, "caro", "ana")
    assert refused(caught) == [("view", "name_taken")]
    assert catalog.views.remove(ana, view.id) == renamed
    assert kept(catalog, ana) == [("Caro", "sort=-price", "ana")]


def test_what_is_not_there_or_another_owners_is_neither_renamed_nor_removed(catalog, ana):
    view = catalog.views.save(ana, "Caro", "sort=-price", "ana")
    for owner, view_id in ((str(uuid4()), view.id), (ana, uuid4())):
        assert catalog.views.rename(owner, view_id, "Otro", "eva") is None
        assert catalog.views.remove(owner, view_id) is None
    assert catalog.views.of(ana) == [(view,)]


@pytest.mark.parametrize(
    ("name", "query", "problem"),
    [
        (" \u200b", "", ("view", "string_too_short")),
        ("x" * (MAX_VIEW_NAME + 1), "", ("view", "string_too_long")),
        ("a\x1bb", "", ("view", "forbidden_character")),
        ("ok", "x" * (MAX_VIEW_QUERY + 1), ("list", "string_too_long")),
    ],
)
def test_a_bad_name_and_a_list_that_is_too_long_are_refused(catalog, ana, name, query, problem):
    with pytest.raises(InvalidInput) as caught:
        catalog.views.save(ana, name, query, "ana")
    assert refused(caught) == [problem]
    assert kept(catalog, ana) == []


def test_an_owner_has_no_more_than_so_many(catalog, ana):
    for n in range(MOST_VIEWS):
        catalog.views.save(ana, f"Vista {n}", f"stock_max={n}", "ana")
    with pytest.raises(InvalidInput) as caught:
        catalog.views.save(ana, "Una más", "", "ana")
    assert refused(caught) == [("view", "too_many_views")]
    assert catalog.views.save(ana, "vista 3", "stock_max=30", "ana", over=True).query == "stock_max=30"
    assert len(catalog.views.of(ana)[0]) == MOST_VIEWS


def test_none_of_several_changes_at_once_is_lost(catalog, ana):
    def save_some(who):
        for n in range(4):
            catalog.views.save(ana, f"{who} {n}", "", who)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(save_some, ["ana", "eva", "luis", "sol"]))
    assert sorted(name for name, _query, _by in kept(catalog, ana)) == sorted(
        f"{who} {n}" for who in ("ana", "eva", "luis", "sol") for n in range(4)
    )


def test_mappings_are_everybodys_and_longer_than_views(catalog):
    text = json.dumps({"columns": {f"Columna {n}": "ignore" for n in range(200)}})
    assert len(text) > MAX_VIEW_QUERY
    kept = catalog.mappings.save(MAPPINGS, "Mayorista Sur", text, "ana", over=True)
    assert catalog.mappings.named(MAPPINGS, "mayorista SUR") == kept
    assert catalog.mappings.named(MAPPINGS, "Otro") is None
    assert kept not in catalog.views.of(EVERYBODY)[0]
    with pytest.raises(InvalidInput) as caught:
        catalog.mappings.save(MAPPINGS, "Larga", "x" * (MAX_MAPPING + 1), "ana")
    assert refused(caught) == [("list", "string_too_long")]
    assert catalog.mappings.remove(MAPPINGS, kept.id) == kept
