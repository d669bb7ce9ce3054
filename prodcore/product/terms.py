"""What a product is found by, as words in an index: its folded words, their beginnings, its category, tags and state.

A word holds no space, so the terms that begin with one are no words, and no search for words meets them.

>>> words_of("Café molido", "250 g", category="Desayuno", tags=["bio"], active=True)
[' #bio', ' =desayuno', '2', '25', '250', 'c', 'ca', 'caf', 'cafe', 'g', 'm', 'mo', 'mol', 'molido']
>>> facets_of(category="Desayuno", tags=["bio"], active=False)
['', ' #bio', ' -', ' =desayuno']
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from prodcore.routing import LAST, fold

INACTIVE = " -"
"""The term of products that are not for sale. The others have none: they are nearly all."""

ANY = ""
"""The facet that every product has: without a filter an order is read along this one."""

_BEGINNINGS = (3, 2, 1)
"""How many letters of a word are indexed as a word, the longest first."""

_LETTER = re.compile(rf".{LAST}?", re.DOTALL)
"""ñ is one letter of two code points."""
_WORD = re.compile(rf"[\w{LAST}]+")


def category_term(category: str) -> str:
    """The term of a category; products without one have the term of the empty text."""
    return f" ={fold(category)}"


def tag_term(tag: str) -> str:
    """The term of a tag."""
    return f" #{fold(tag)}"


def split_words(text: str) -> list[str]:
    """The folded words of a text, without the signs around and between them; what is nothing but signs stays.

    >>> split_words("Coca-Cola (sin azúcar) 1,5 L & más")
    ['coca', 'cola', 'sin', 'azucar', '1', '5', 'l', '&', 'mas']
    """
    return [word for piece in fold(text).split() for word in _WORD.findall(piece) or [piece]]


def beginning_of(word: str) -> str:
    """The first three letters of a folded word, or all of a shorter one.

    They are indexed as words. All products with a word that begins so stand together in the index, in name order: a
    search by the beginning of a word need not sort.

    >>> beginning_of("aceite"), beginning_of(fold("cañas")) == fold("cañ"), beginning_of("te"), beginning_of("a")
    ('ace', True, 'te', 'a')
    """
    return beginnings(word)[0]


@lru_cache(maxsize=8192)  # a catalogue's words come again and again, and the rows of an import are full of them
def beginnings(word: str) -> tuple[str, ...]:
    """Those of a folded word's beginnings that are indexed, the longest first."""
    letters = _LETTER.findall(word)
    return tuple("".join(letters[:count]) for count in _BEGINNINGS if count <= len(letters))


def words_of(*texts: str, category: str, tags: Iterable[str], active: bool) -> list[str]:
    """All terms of a product, sorted; ``texts`` are what it is searched by."""
    words = {word for text in texts for word in split_words(text)}
    return sorted(words.union(_terms(category, tags, active), *map(beginnings, words)))


def facets_of(*, category: str, tags: Iterable[str], active: bool) -> list[str]:
    """The terms that the orders by price and stock are indexed with, sorted."""
    return sorted({ANY, *_terms(category, tags, active)})


def _terms(category: str, tags: Iterable[str], active: bool) -> Iterator[str]:
    yield category_term(category)
    yield from map(tag_term, tags)
    if not active:
        yield INACTIVE
