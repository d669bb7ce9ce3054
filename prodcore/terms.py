"""What a product is found by, as words in an index: its folded words, their beginnings, its category, tags and state.

A word holds no space, so the terms that begin with one are no words, and no search for words meets them.

>>> words_of("Café molido", "250 g", category="Desayuno", tags=["bio"], active=True)
[' #bio', ' =desayuno', '250', 'caf', 'cafe', 'g', 'mol', 'molido']
>>> facets_of(category="Desayuno", tags=["bio"], active=False)
['', ' #bio', ' -', ' =desayuno']
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prodcore.routing import LAST, fold

TERMS_VERSION = 2
"""Raise it when products get other terms: the next set-up renews those of all that are stored."""

INACTIVE = " -"
"""The term of products that are not for sale. The others have none: they are nearly all."""

ANY = ""
"""The facet that every product has: without a filter an order is read along this one."""

_BEGINNING = 3


def category_term(category: str) -> str:
    """The term of a category; products without one have the term of the empty text."""
    return f" ={fold(category)}"


def tag_term(tag: str) -> str:
    """The term of a tag."""
    return f" #{fold(tag)}"


def beginning_of(word: str) -> str | None:
    """The first three letters of a folded word, which is indexed as a word; None for a word of fewer.

    All products with a word that begins so stand together in the index, in name order: a search by the beginning of
    a word need not sort. ñ is one letter of two code points.

    >>> beginning_of("aceite"), beginning_of(fold("cañas")) == fold("cañ"), beginning_of("te")
    ('ace', True, None)
    """
    end = _BEGINNING + 1 if word[_BEGINNING : _BEGINNING + 1] == LAST else _BEGINNING
    return word[:end] if len(word) >= _BEGINNING else None


def words_of(name: str, variant: str, *, category: str, tags: Iterable[str], active: bool) -> list[str]:
    """All terms of a product, sorted."""
    words = {*fold(name).split(), *fold(variant).split()}
    beginnings = {beginning for word in words if (beginning := beginning_of(word))}
    return sorted({*words, *beginnings, *_terms(category, tags, active)})


def facets_of(*, category: str, tags: Iterable[str], active: bool) -> list[str]:
    """The terms that the orders by price and stock are indexed with, sorted."""
    return sorted({ANY, *_terms(category, tags, active)})


def _terms(category: str, tags: Iterable[str], active: bool) -> Iterator[str]:
    yield category_term(category)
    yield from map(tag_term, tags)
    if not active:
        yield INACTIVE
