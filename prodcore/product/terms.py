"""What a product is found by, as terms in an index: the beginnings of its folded words, its category, tags and state.

A word holds no space, so the terms that begin with one are no words, and no search for words meets them.

Each word is one term, its first three letters: every term is an entry that three members keep, and entries are most of
what a write costs. For a longer beginning the terms find the products that may have it, and their long words, which no
index holds, say which of them do. One and two letters are terms of the name's first word alone.

>>> words_of("Café molido", "250 g", category="Desayuno", tags=["bio"], active=True)
[' #bio', ' =desayuno', '250', 'c', 'ca', 'caf', 'g', 'mol']
>>> long_words_of("Café molido", "250 g")
['cafe', 'molido']
>>> facets_of(category="Desayuno", tags=["bio"], active=False)
['', ' #bio', ' -', ' =desayuno']
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from prodcore.routing import LAST, fold

INACTIVE = " -"
"""The term of products that are not for sale. The others have none: they are nearly all."""

ANY = ""
"""The facet that every product has: without a filter an order is read along this one."""

INDEXED_LETTERS = 3
"""So many letters of a word are indexed."""

_LETTER = re.compile(rf".{LAST}?", re.DOTALL)
"""ñ is one letter of two code points."""
_WORD = re.compile(rf"[\w{LAST}]+")


def category_term(category: str) -> str:
    """The term of a category; products without one have the term of the empty text."""
    return f" ={fold(category)}"


def tag_term(tag: str) -> str:
    """The term of a tag."""
    return f" #{fold(tag)}"


@lru_cache(maxsize=1024)  # of a product that is written they are asked for twice
def split_words(text: str) -> tuple[str, ...]:
    """The folded words of a text, without the signs around and between them; what is nothing but signs stays.

    >>> split_words("Coca-Cola (sin azúcar) 1,5 L & más")
    ('coca', 'cola', 'sin', 'azucar', '1', '5', 'l', '&', 'mas')
    """
    return tuple(word for piece in fold(text).split() for word in _WORD.findall(piece) or [piece])


def beginning_of(word: str) -> str:
    """The first three letters of a folded word, or all of a shorter one.

    All products with a word that begins so stand together in the index, in name order: a search need not sort.

    >>> beginning_of("aceite"), beginning_of(fold("cañas")) == fold("cañ"), beginning_of("te"), beginning_of("a")
    ('ace', True, 'te', 'a')
    """
    return beginnings(word)[0]


@lru_cache(maxsize=8192)  # a catalogue's words come again and again, and the rows of an import are full of them
def beginnings(word: str) -> tuple[str, ...]:
    """The first three letters of a folded word, the first two and the first; fewer of a shorter word."""
    letters = _LETTER.findall(word)
    return tuple("".join(letters[:count]) for count in range(min(INDEXED_LETTERS, len(letters)), 0, -1))


def to_be_met(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What a product must have to be found by these words: for each of them a term, a beginning of any word, or both.

    One or two letters are looked for among the words of what the others find. Where no other has more, the first one is
    a term: the beginning of the name, or a word as it stands.

    >>> list(to_be_met(["leche", "en"])), list(to_be_met(["bio"])), list(to_be_met(["te", "v"]))
    ([('lec', 'leche'), ('', 'en')], [('bio', '')], [('te', ''), ('', 'v')])
    """
    are_short = [len(_LETTER.findall(word)) < INDEXED_LETTERS for word in words]
    for place, (word, is_short) in enumerate(zip(words, are_short, strict=True)):
        if is_short and not (place == 0 and all(are_short)):
            yield "", word
        else:
            term = beginning_of(word)
            yield term, word if word != term else ""


def words_of(name: str, *texts: str, category: str, tags: Iterable[str], active: bool) -> list[str]:
    """All terms of a product, sorted; ``texts`` are what it is searched by besides its name."""
    words = [word for text in (name, *texts) for word in split_words(text)]
    return sorted({*map(beginning_of, words), *beginnings(words[0]), *_terms(category, tags, active)})


def long_words_of(*texts: str) -> list[str]:
    """The words of which a term is only the beginning, sorted."""
    return sorted({word for text in texts for word in split_words(text) if beginning_of(word) != word})


def facets_of(*, category: str, tags: Iterable[str], active: bool) -> list[str]:
    """The terms that the orders by price and stock are indexed with, sorted."""
    return sorted({ANY, *_terms(category, tags, active)})


def _terms(category: str, tags: Iterable[str], active: bool) -> Iterator[str]:
    yield category_term(category)
    yield from map(tag_term, tags)
    if not active:
        yield INACTIVE
