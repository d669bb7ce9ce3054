"""The picture of a drill: no text over another one, whatever the gaps are; the same values behind it."""

import re
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime

import pytest
from flask import render_template
from hypothesis import given, settings
from hypothesis import strategies as st

from prodcore.drill.labels import APART, Label, place, text_width
from prodcore.drill.picture import NARROW, WIDE, Layer, Words, bins, draw
from tests.fast.test_home import Shop
from webapp.pages.drills import draw_chart, trend

WORDS = Words(seconds="{:.3f} s".format)
EVENTS = ("fault", "detected", "new primary", "first acknowledged write", "restore", "old member back", "caught up")
SVG = "{http://www.w3.org/2000/svg}"


def stream(count=200, gaps=(), failed=()):
    quiet = {point for at, seconds in gaps for point in range(int(at * 10), int((at + seconds) * 10))}
    return {
        "acknowledged": [0 if n in quiet else 5 for n in range(count)],
        "failed": [int(n in failed) for n in range(count)],
        "max_latency_seconds": [None if n in quiet else 0.012 for n in range(count)],
        "gaps": [{"at": at, "seconds": seconds} for at, seconds in gaps],
    }


def series(write_gaps=(), read_gaps=(), count=200):
    writes, reads = stream(count, write_gaps, failed=[30]), stream(count, read_gaps)
    return {"set": "rsA", "point_seconds": 0.1, "writes": writes, "reads": reads}


def parsed(picture):
    return ElementTree.fromstring(picture.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" '))  # noqa: S314  our own


def boxes(picture):
    """Where each text lies, from left to right and from top to bottom, as wide as it is at the most."""
    found = []
    for text in parsed(picture).iter(f"{SVG}text"):
        x, y, size = float(text.get("x")), float(text.get("y")), text_width(text.text) - APART
        left = x - {"start": 0, "middle": size / 2, "end": size}[text.get("text-anchor")]
        found.append((left, left + size, y - 10, y + 3, text.text))
    return found


def assert_apart_and_inside(picture):
    left, top, width, height = map(float, re.search(r'viewBox="([^"]*)"', picture)[1].split())
    found = boxes(picture)
    for n, (a_left, a_right, a_top, a_bottom, a) in enumerate(found):
        assert left <= a_left <= a_right <= left + width, a
        assert top <= a_top <= a_bottom <= top + height, a
        for b_left, b_right, b_top, b_bottom, b in found[:n]:
            assert a_right <= b_left or b_right <= a_left or a_bottom <= b_top or b_bottom <= a_top, (a, b)


places = st.floats(0, 284)
labels = st.builds(
    lambda text, a, b, weight: Label(text, min(a, b), max(a, b), weight),
    st.text(min_size=1, max_size=60), places, places, st.integers(0, 3),
)  # fmt: skip


@settings(max_examples=50)
@given(st.lists(labels, max_size=15), st.integers(1, 6))
def test_no_two_labels_overlap_and_none_leaves_the_picture(wanted, rows):
    placed = place(wanted, 284, rows)
    for n, one in enumerate(placed):
        assert one.x >= 0
        assert one.x + one.width <= 284.001
        assert one.row < rows
        assert not any(one.meets(other) for other in placed[:n])


@settings(max_examples=50)
@given(st.lists(labels, min_size=1, max_size=15), st.integers(1, 6))
def test_the_heaviest_labels_are_the_last_to_go(wanted, rows):
    placed = place(wanted, 284, rows)
    assert placed
    left_out = len(placed) < len(wanted)
    assert {one.label.weight for one in placed} <= {label.weight for label in wanted}
    assert not left_out or max(label.weight for label in wanted) in {one.label.weight for one in placed}


def test_a_line_goes_through_no_name_where_all_have_room():
    lines = (("fault", 240), ("new primary", 244), ("first write", 300), ("old member back", 330), ("caught up", 350))
    placed = place([Label(name, x, x) for name, x in lines], 800, 6)
    assert len(placed) == 5
    assert [
        (one.text, other.text)
        for one in placed
        for other in placed
        if other.row > one.row and one.covers(other.label.left)
    ] == []


def test_the_length_of_a_gap_stands_in_it_where_it_is_broad_enough():
    [broad] = place([Label("1.2 s", 100, 200)], 800, 1)
    [slim] = place([Label("1.2 s", 100, 103)], 800, 1)
    assert 100 <= broad.x <= broad.x + broad.width <= 200
    assert slim.x == 104


moments = st.floats(0, 19.9)
gaps = st.lists(st.tuples(moments, st.floats(0.001, 20)), max_size=8)


@pytest.mark.parametrize("width", [WIDE, NARROW])
@settings(max_examples=25)
@given(write_gaps=gaps, read_gaps=gaps, events=st.lists(st.tuples(moments, st.sampled_from(EVENTS)), max_size=20))
def test_no_text_of_a_picture_is_over_another_one_whatever_the_gaps_are(width, write_gaps, read_gaps, events):
    layer = Layer(series(write_gaps, read_gaps), sorted(events))
    assert_apart_and_inside(draw([layer], WORDS, width, "rsA"))
    other = Layer(series(read_gaps, write_gaps), sorted(events)[1:], "B")
    assert_apart_and_inside(draw([Layer(layer.series, layer.events, "A"), other], WORDS, width, "rsA"))


KILL = [(2.0, "fault"), (3.1, "new primary"), (3.2, "first acknowledged write"), (9.0, "old member back")]


def texts(picture):
    return [text.text for text in parsed(picture).iter(f"{SVG}text")]


def test_gaps_and_the_way_to_the_first_write_are_told_in_the_picture():
    picture = draw([Layer(series([(1.98, 1.22)], [(1.99, 0.05)]), KILL)], WORDS, WIDE, "rsA")
    assert {"1.220 s", "0.050 s", "fault to first write: 1.200 s", "new primary", "20 s"} <= set(texts(picture))
    assert picture.count('class="gap ') == 4  # of writes and of reads, in both parts of each


def test_a_picture_needs_nothing_but_itself_and_shows_texts_as_texts():
    words = Words({"fault": "<script>"})
    picture = draw([Layer(series(), KILL)], words, WIDE, '"><script>')
    assert "<script>" not in picture
    assert "style=" not in picture


def test_two_drills_are_counted_from_their_faults():
    late = [(at + 5, event) for at, event in KILL]
    picture = draw([Layer(series([(2, 1.2)]), KILL, "A"), Layer(series([(7, 1.2)]), late, "B")], WORDS, WIDE, "rsA")
    shades = [
        (gap.get("x"), gap.get("width")) for gap in parsed(picture).iter(f"{SVG}rect") if "gap" in gap.get("class")
    ]
    assert len(set(shades)) == 1
    assert {"A: 1.200 s", "B: 1.200 s", "-2 s", "0 s"} <= set(texts(picture))
    assert texts(picture).count("fault") == 1


def test_of_two_drills_the_first_rounds_alone_are_shown():
    again = [*KILL, *((at + 12, event) for at, event in KILL)]
    two = Layer(series([(2, 1.2), (14, 0.7)]), again, "B")
    told = texts(draw([Layer(series([(2, 1.2)]), KILL, "A"), two], WORDS, WIDE, "rsA"))
    assert "B: 0.700 s" not in told
    assert told.count("fault") == 1


def test_a_gap_that_goes_on_is_shown_as_long_as_it_is():
    picture = draw([Layer(series([(19.0, 21.0)]), KILL)], WORDS, WIDE, "rsA")
    [shade, *_others] = [r for r in parsed(picture).iter(f"{SVG}rect") if "gap" in r.get("class")]
    assert float(shade.get("width")) == pytest.approx(870 * 21 / 40, abs=0.2)
    assert "40 s" in texts(picture)


def test_a_drill_from_before_writes_and_reads_were_apart_is_still_shown():
    old = {
        "set": "rsA",
        "point_seconds": 1.0,
        "acknowledged": [50, 0],
        "failed": [0, 2],
        "max_latency_seconds": [1, None],
    }
    picture = draw([Layer(old, KILL[:1])], WORDS, NARROW, "rsA")
    assert {"Responses per second", "Slowest response"} <= set(texts(picture))


def test_points_that_are_too_many_are_put_together_and_none_is_lost():
    [first, *_rest] = found = bins(Layer(series(count=400), ()), 120)
    assert len(found) == 100
    assert first.seconds == pytest.approx(0.4)
    assert sum(b.rates["writes"] * b.seconds for b in found) == pytest.approx(2000)
    assert sum(b.failed["writes"] for b in found) == 1


@pytest.fixture(scope="module")
def shop():
    return Shop()


def test_the_table_has_the_values_of_the_picture_in_the_reader_s_language(shop):
    with shop.app.test_request_context(headers={"Accept-Language": "es"}):
        chart = draw_chart("rsA", [Layer(series([(2.0, 1.2)]), KILL)], "")
        card = shop.app.jinja_env.from_string(
            '{% import "drills/parts.html" as drills with context %}{{ drills.chart_card(chart) }}'
        ).render(chart=chart)
    assert chart.titles == (
        "Escrituras por segundo",
        "Escritura más lenta",
        "Lecturas por segundo",
        "Lectura más lenta",
    )
    assert chart.rows[0] == ("0 s", "50", "0,012 s", "50", "0,012 s")
    assert len(chart.rows) == 100
    assert "1,2 s" in card
    assert "del fallo a la 1.ª escritura: 1,2 s" in card
    assert "<title>" in card


def drill(run, write_gap, outcome="passed"):
    return {
        "run": run,
        "started_at": datetime(2026, 5, 4, 12, tzinfo=UTC).isoformat(),
        "plan": {"fault": "kill", "sets": ["rsA"]},
        "outcome": outcome,
        "write_gap_seconds": write_gap,
        "read_gap_seconds": 0.1,
    }


def test_the_trend_goes_from_the_oldest_to_the_newest_on_a_scale_of_powers_of_ten(shop):
    with shop.app.test_request_context(headers={"Accept-Language": "en"}):
        found = trend([drill("new", 10.0, "failed"), drill("vacuous", None), drill("old", 1.0)])
        page = render_template("drills/list.html", drills=[], trend=found, at_work=None)
    assert [(spot.href, spot.outcome) for spot in found.spots][::2] == [
        ("/drills/old", "passed"), ("/drills/new", "failed"),
    ]  # fmt: skip
    assert found.scale == ((100.0, "0.1 s"), (50.0, "1 s"), (0.0, "10 s"))
    assert found.lines["writes"] == "0.5,50.0 2.5,0.0"
    assert "longest write gap 10 s, longest read gap 0.1 s" in page
    assert page.count('data-href="/drills/') == 3


def test_one_drill_alone_is_no_trend(shop):
    with shop.app.test_request_context():
        assert trend([drill("only", 1.0)]) is None
        assert trend([]) is None
