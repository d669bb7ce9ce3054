"""What operators order on the pages: orders are input, and the ranges as a band."""

from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID

import pytest

from prodcore.catalog.distribution import spread
from prodcore.errors import InvalidInput
from prodcore.processes.orders import ARGUMENTS, UNEXPECTED, ActionKind, ActionRunner, read_action
from prodcore.routing import DEFAULT_MAP, Range, ShardMap
from prodcore.sharding.mover import Bounds, MoveOrder
from webapp.pages.actions import AUDITED, SENTENCES
from webapp.pages.cluster import draw_band

NOW = datetime(2026, 11, 30, tzinfo=UTC)


def read(kind, arguments):
    return read_action("1", "Ana", NOW, kind, arguments)


@pytest.mark.parametrize("kind", ActionKind)
def test_an_action_is_read_back_with_its_arguments_and_nothing_else(kind):
    given = dict.fromkeys(ARGUMENTS[kind], "rsA")
    assert read(kind.value, given | {"more": "x"}).arguments == given
    assert kind in AUDITED


@pytest.mark.parametrize(("kind", "arguments", "field"), [
    ("format", {}, "kind"),
    (None, {}, "kind"),
    ("switchover", {"set": "rsA"}, "member"),
    ("stop", {"set": "rsA", "member": {"$ne": ""}}, "member"),
    ("move", "rsA", "lower"),
    ("drain", {"shard": "x" * 1001}, "shard"),
])  # fmt: skip
def test_what_is_no_order_is_refused_with_its_field(kind, arguments, field):
    with pytest.raises(InvalidInput) as refused:
        read(kind, arguments)
    assert refused.value.problems[0].field == field


class Board:
    """Takes what is published."""

    def __init__(self):
        self.runs = []

    def publish(self, run):
        self.runs.append(run)


def test_what_fails_unexpectedly_is_told_in_a_sentence_and_why_is_in_the_log():
    board, lines = Board(), []
    ActionRunner(board, lambda _action: {}["unforeseen"], lines.append).carry_out(read("rebalance", {}))
    [run] = board.runs
    assert (run.is_over, run.reason) == (True, UNEXPECTED)
    assert UNEXPECTED in SENTENCES
    assert "KeyError: 'unforeseen'" in lines[-1]


def moving(carried, total=100, **fields):
    order = MoveOrder(UUID(int=1), Bounds("g", "n"), "rsA", "rsC", "Ana", NOW, carried=carried, total=total, **fields)
    return order, DEFAULT_MAP.with_range(Range("g", "n", "rsC", "rsA"))


def band_of(shard_map, counts, orders=()):
    return draw_band(spread(shard_map, counts, {}).ranges, orders)


def test_a_band_shows_how_much_of_a_range_has_moved():
    order, shard_map = moving(carried=40)
    for owner, other in (("rsA", "rsC"), ("rsC", "rsA")):  # before and after the target takes the new names
        [part] = [
            s for s in band_of(shard_map.with_range(Range("g", "n", owner, other)), {}, [order]).segments if s.source
        ]
        assert (part.source, part.target, part.done) == ("rsA", "rsC", 0.4)
    order, shard_map = moving(carried=100, carried_at=NOW)
    [part] = [s for s in band_of(shard_map, {}, [order]).segments if s.source]
    assert part.done is None
    order, shard_map = moving(carried=40, wanted="abort")
    assert all(s.done is None for s in band_of(shard_map, {}, [order]).segments)


def test_a_band_covers_all_names_and_shows_the_smallest_range():
    band = band_of(DEFAULT_MAP, {"rsA": 1_000_000, "rsB": 0})
    assert sum(s.width for s in band.segments) == pytest.approx(100, abs=0.5)
    assert min(s.width for s in band.segments) >= 5
    assert [(b.text, b.row) for b in band.borders] == [("a", 0), ("n", 0)]


def extent(border, pixels):
    """From where to where a label reaches, in pixels: a sign of 13 px monospace is less than 8 wide."""
    wide = 7.9 * len(border.text)
    begin = border.x / 100 * pixels - {"start": 0, "middle": wide / 2, "end": wide}[border.anchor]
    return begin, begin + wide


@pytest.mark.parametrize(("pixels", "is_phone"), [(270, True), (640, False), (1100, False)])
def test_no_label_of_a_band_covers_another(pixels, is_phone):
    keys = [f"nombre largo {n:02}" for n in range(20)]
    shard_map = DEFAULT_MAP
    for n, key in enumerate(keys):
        shard_map = shard_map.with_range(Range(key, None, ("rsA", "rsC")[n % 2]))
    band = band_of(shard_map, {})
    assert len(band.segments) == len(shard_map.ranges)
    for row in range(band.rows):
        shown = [extent(b, pixels) for b in band.borders if b.row == row and not (is_phone and b.is_wide)]
        assert shown
        assert all(before[1] < after[0] for before, after in pairwise(shown))
        assert shown[0][0] >= 0
        assert shown[-1][1] <= pixels
    assert len(band.borders) < len(keys)


def test_ten_thousand_ranges_are_left_to_the_table():
    ranges = [Range("" if n == 0 else f"{n:05}", f"{n + 1:05}", ("rsA", "rsB")[n % 2]) for n in range(9_999)]
    shard_map = ShardMap(1, (*ranges, Range("09999", None, "rsB")))
    assert band_of(shard_map, {}) is None
