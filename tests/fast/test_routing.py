"""The routing rule: total, and the same for every way to spell a name."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from prodcore.errors import ConfigError, UnroutableName
from prodcore.routing import (
    DEFAULT_MAP,
    LAST,
    Range,
    ShardMap,
    covers,
    fold,
    name_key,
    prefix_range,
    route,
    show_key,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
names = texts.filter(fold)


@pytest.mark.parametrize(
    ("name", "shard"),
    [
        ("Arroz", "rsA"),
        ("Café", "rsA"),
        ("Manzana", "rsA"),
        ("Águila", "rsA"),
        ("águila", "rsA"),
        ("  ÁGUILA ", "rsA"),
        ("A\u0301cido", "rsA"),
        ("Éclair", "rsA"),
        ("İstanbul", "rsA"),
        ("ıspanak", "rsA"),
        ("\u200bArroz", "rsA"),
        ("\ufeffArroz", "rsA"),
        ("Ａrroz", "rsA"),
        ("ﬁdeos", "rsA"),
        ("mzzzz", "rsA"),
        ("Naranja", "rsB"),
        ("Pan", "rsB"),
        ("Zanahoria", "rsB"),
        ("Ñandú", "rsB"),
        ("N\u0303andú", "rsB"),
        ("7up", "rsB"),
        ("¡Oferta!", "rsB"),
        ('"Arroz"', "rsB"),
        ("Ωmega", "rsB"),
        ("Молоко", "rsB"),
        ("🍎", "rsB"),
        ("Æble", "rsB"),
        ("ßtraße", "rsB"),
    ],
)
def test_name_belongs_to_the_shard_of_the_written_rule(name, shard):
    assert DEFAULT_MAP.shard_for(name_key(name)) == shard


@given(names)
def test_every_name_has_exactly_one_owner(name):
    key = name_key(name)
    assert sum(key in r for r in DEFAULT_MAP.ranges) == 1
    assert key in DEFAULT_MAP.range_for(key)


@given(texts, st.sampled_from([str.upper, str.lower, str.title, str.swapcase, str.casefold]))
@example("ı", str.upper)
def test_case_does_not_matter(text, change):
    assert fold(change(text)) == fold(text)


@given(texts, st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_spelling_form_does_not_matter(text, form):
    assert fold(unicodedata.normalize(form, text)) == fold(text)


def test_what_nobody_can_see_makes_no_other_name():
    """Unicode's Default_Ignorable_Code_Point, as far as it is assigned and may be."""
    unseen = (0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2064, 0x3164, 0xFEFF, 0xFFA0)
    unseen += (*range(0x180B, 0x1810), *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070))
    unseen += (*range(0xFE00, 0xFE10), *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000))
    assert [hex(point) for point in unseen if name_key(f"an{chr(point)}a") != "ana"] == []


@given(texts, st.sampled_from([" ", "\t", "\u00a0", "\u3000", "\u200b", "\ufeff"]))
def test_outer_space_and_unseen_characters_do_not_matter(text, outer):
    assert fold(outer + text + outer) == fold(text)


@given(st.text("abcdefghijklmopqrstuvwxyz", min_size=1), st.sampled_from("\u0300\u0301\u0302\u0308\u0327\u030c"))
def test_accents_do_not_matter(text, accent):
    assert fold(text + accent) == fold(text)


@given(texts)
def test_folding_what_is_folded_changes_nothing(text):
    assert fold(show_key(fold(text))) == fold(text)


@given(st.text("abcxyz", max_size=3))
def test_enye_sorts_after_every_n_and_before_o(rest):
    assert fold("n" + rest) < fold("ñ") <= fold("ñ" + rest) < fold("o")


def test_enye_and_n_are_different_letters():
    assert fold("Año") != fold("Ano")
    assert fold("AÑO") == fold("an\u0303o")


@given(texts, texts)
def test_prefix_range_holds_exactly_the_keys_with_that_prefix(prefix, rest):
    folded = fold(prefix)
    lower, upper = prefix_range(folded)
    key = folded + fold(rest)
    extends_n_to_enye = key[len(folded) :].startswith(LAST)
    assert (lower <= key < upper) is not extends_n_to_enye


def test_plain_n_does_not_find_enye():
    lower, upper = prefix_range(fold("n"))
    assert lower <= fold("nuez") < upper
    assert not lower <= fold("ñandú") < upper


@pytest.mark.parametrize("name", ["", "   ", "\u200b", "\u202e", "\u0301", "\x00\x07", "\ufe0f"])
def test_name_of_nothing_cannot_be_routed(name):
    with pytest.raises(UnroutableName):
        name_key(name)


def test_binary_order_of_the_server_is_the_order_of_keys():
    keys = [fold(n) for n in ("a", "Ñandú", "nz", "o", "7up", "¡", "Ωmega", "🍎", "n")]
    assert sorted(keys) == sorted(keys, key=lambda k: k.encode("utf-8"))


@pytest.mark.parametrize(
    "ranges",
    [
        (),
        (Range("a", None, "rsA"),),
        (Range("", "n", "rsA"),),
        (Range("", "m", "rsA"), Range("n", None, "rsB")),
        (Range("", "n", "rsA"), Range("m", None, "rsB")),
        (Range("", None, "rsA"), Range("n", None, "rsB")),
    ],
)
def test_map_with_a_gap_or_an_overlap_is_refused(ranges):
    with pytest.raises(ConfigError):
        ShardMap(1, ranges)


def test_map_survives_being_stored():
    assert ShardMap.from_document(DEFAULT_MAP.as_document()) == DEFAULT_MAP


def test_ranges_from_a_key_begin_with_its_own():
    assert [r.shard for r in DEFAULT_MAP.ranges_from("")] == ["rsB", "rsA", "rsB"]
    assert [r.shard for r in DEFAULT_MAP.ranges_from("cafe")] == ["rsA", "rsB"]
    assert [r.shard for r in DEFAULT_MAP.ranges_from("pan")] == ["rsB"]


class Counted(str):
    """A key that counts how often it is compared."""

    __slots__ = ("comparisons",)
    comparisons: int

    def __new__(cls, text):
        counted = super().__new__(cls, text)
        counted.comparisons = 0
        return counted

    def __lt__(self, other):
        self.comparisons += 1
        return str.__lt__(self, other)

    def __gt__(self, other):
        self.comparisons += 1
        return str.__gt__(self, other)

    def __le__(self, other):
        self.comparisons += 1
        return str.__le__(self, other)

    def __ge__(self, other):
        self.comparisons += 1
        return str.__ge__(self, other)

    __hash__ = str.__hash__


def map_of(count, shards=64):
    """A map of so many ranges, no two neighbours of one owner."""
    lowers = ["", *(f"{place:06}" for place in range(1, count))]
    uppers = [*lowers[1:], None]
    return ShardMap(
        1, tuple(Range(*ends, f"rs{n % shards}") for n, ends in enumerate(zip(lowers, uppers, strict=True)))
    )


@pytest.mark.parametrize("find", ["range_for", "shard_for", "ranges_from", "covers"])
def test_ten_thousand_ranges_cost_a_name_as_many_comparisons_as_they_have_digits(find):
    spent = {}
    for count in (10, 10_000):
        shard_map, key = map_of(count), Counted("005000")
        owned = shard_map.held_by("rs8")
        if find == "covers":
            covers(owned, key)
        elif find == "ranges_from":
            next(shard_map.ranges_from(key))
        else:
            getattr(shard_map, find)(key)
        spent[count] = key.comparisons
    assert 0 < spent[10_000] <= spent[10] + 11  # log2 of a thousand is ten


def test_neighbours_of_one_owner_are_one_stretch_in_both_directions():
    cut = DEFAULT_MAP.split("c").split("g")
    assert [str(r) for r in cut.ranges_from("cafe")] == ["a ≤ key < n", "n ≤ key …"]
    assert [str(r) for r in cut.ranges_from("cafe", backwards=True)] == ["a ≤ key < n", "key < a"]
    assert len(cut.held_by("rsA")) == 3


def test_route_says_why():
    found = route(DEFAULT_MAP, "ÑANDÚ")
    assert (found.shard, show_key(found.key)) == ("rsB", "ñandu")
    assert "'ñandu'" in found.reason
    assert "n ≤ key" in found.reason


def test_every_assigned_letter_is_stable_under_case():
    letters = (chr(c) for c in range(0x3000) if unicodedata.category(chr(c))[0] == "L")
    assert [c for c in letters if not fold(c.upper()) == fold(c.lower()) == fold(c)] == []
