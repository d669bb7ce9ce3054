"""Curves: what a look says, how looks become points, what is stored when, and how it is drawn."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from prodcore.errors import NoPrimary
from prodcore.identity.rights import Role
from prodcore.replicaset.cluster import ClusterStatus, GuardSign
from prodcore.replicaset.curves import DAY, HOUR, MONTH, Look, Mark, Point, Recorder, SetPoint, merged, point_of
from prodcore.replicaset.status import Health, Member, Operations, SetStatus
from tests.fast.test_home import Shop
from webapp.pages.curves import Axis, Growth, draw_set, growth

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
BUSY = Operations(queries=100, changes=50, reads=200, writes=50, read_micros=40_000, write_micros=500_000)
LATER = Operations(queries=300, changes=60, reads=300, writes=60, read_micros=90_000, write_micros=700_000)


def member(address, role="SECONDARY", behind=0.0, **fields):
    return Member(address, role, last_applied=NOON - timedelta(seconds=behind), **fields)


def rs(*members):
    return SetStatus("rsA", members, (), Health.HEALTHY, ())


def look(at, *members, products=10, elected=0):
    guard = GuardSign("guard", active=True, successors={}, counts={"rsA": {"elected": elected}})
    status = ClusterStatus((rs(*members),), (), 1, Health.HEALTHY, (), (guard,))
    return Look(at, status, {"rsA": products})


def test_a_look_says_what_was_done_since_the_look_before_it():
    before = look(NOON, member("a:1", "PRIMARY", operations=BUSY), member("b:1", behind=2))
    now = look(NOON + timedelta(seconds=10), member("a:1", "PRIMARY", operations=LATER), member("b:1", behind=3))
    point = point_of(before, now)
    assert point.sets["rsA"] == SetPoint({"a:1": "PRIMARY", "b:1": "SECONDARY"}, 3.0, 20.0, 1.0, 0.5, 20.0, 10)
    assert point.marks == ()


def test_the_first_look_and_a_member_that_has_started_again_say_no_rates():
    now = look(NOON, member("a:1", "PRIMARY", operations=BUSY))
    assert point_of(None, now).sets["rsA"].reads_per_second is None
    restarted = look(NOON + timedelta(seconds=10), member("a:1", "PRIMARY", operations=replace(BUSY, reads=3)))
    assert point_of(now, restarted).sets["rsA"].reads_per_second is None


def test_another_primary_and_an_act_of_the_guard_are_marked():
    at = NOON + timedelta(seconds=10)
    before = look(NOON, member("a:1", "PRIMARY", term=1), member("b:1"))
    now = look(at, member("a:1", "DOWN", error="gone"), member("b:1", "PRIMARY", term=2), elected=1)
    assert point_of(before, now).marks == (Mark(at, "election", "rsA", "b:1"), Mark(at, "guard", "rsA"))


def test_many_points_become_one_that_hides_no_fault():
    marks = (Mark(NOON, "guard", "rsA"),)
    points = [
        Point(NOON, {"rsA": SetPoint({"a:1": "PRIMARY"}, 1.0, 10.0, None, 1.0, None, 5)}, marks),
        Point(NOON, {"rsA": SetPoint({"a:1": "DOWN"}, None, None, None, None, None, None)}),
        Point(NOON, {"rsA": SetPoint({"a:1": "SECONDARY"}, 4.0, 20.0, None, 3.0, None, 7), "rsB": SetPoint()}),
    ]
    found = merged(NOON, points)
    assert found.sets["rsA"] == SetPoint({"a:1": "DOWN"}, 4.0, 15.0, None, 2.0, None, 7)
    assert found.sets["rsB"] == SetPoint()
    assert found.marks == marks


class Shelf:
    """A ``CurveStore`` in this process, which takes nothing while ``is_silent``."""

    def __init__(self):
        self.kept = {}
        self.is_silent = False
        self.writes = 0

    def add(self, resolution, point):
        if self.is_silent:
            raise NoPrimary("rsU has no primary")
        self.writes += 1
        self.kept[resolution.name, point.at] = point

    def points(self, resolution, since, until):
        found = [p for (name, at), p in self.kept.items() if name == resolution.name and since <= at < until]
        return sorted(found, key=lambda point: point.at)

    def times(self, resolution):
        return sorted(at for name, at in self.kept if name == resolution.name)


class Clockwork:
    """A cluster that is looked at every ten seconds of a clock that only this makes go."""

    def __init__(self, shelf, now=NOON):
        self.shelf = shelf
        self.now = now
        self.start()

    def start(self):
        self.recorder = Recorder(lambda: look(self.now, member("a:1", "PRIMARY", operations=BUSY)), self.shelf)

    def go(self, span):
        ends = self.now + span
        while self.now < ends:
            self.recorder.look()
            self.now += timedelta(seconds=10)


def test_an_hour_of_looks_is_an_hour_s_curve_and_the_first_points_of_the_day_s():
    shelf = Shelf()
    Clockwork(shelf).go(timedelta(hours=1, seconds=10))
    assert shelf.times(HOUR) == list(HOUR.slots(NOON + timedelta(hours=1)))
    assert shelf.times(DAY) == [NOON + timedelta(minutes=10 * n) for n in range(6)]
    assert shelf.writes == 126


def test_a_day_s_curve_becomes_the_month_s():
    shelf = Shelf()
    for at in DAY.slots(NOON):
        shelf.add(DAY, Point(at, {"rsA": SetPoint(products=at.hour)}))
    Clockwork(shelf).go(timedelta(seconds=10))
    found = shelf.points(MONTH, NOON - timedelta(days=1), NOON)
    assert [point.sets["rsA"].products for point in found] == [15, 19, 23, 3, 7, 11]


def test_what_could_not_be_stored_is_stored_when_the_set_is_back():
    shelf = Shelf()
    clockwork = Clockwork(shelf)
    clockwork.go(timedelta(minutes=5))
    shelf.is_silent = True
    clockwork.go(timedelta(minutes=10))
    shelf.is_silent = False
    clockwork.go(timedelta(minutes=5, seconds=10))
    assert shelf.times(HOUR) == [NOON + timedelta(seconds=30 * n) for n in range(40)]
    assert len(shelf.times(DAY)) == 2


def test_a_restart_makes_no_gap_in_the_day_s_curve():
    shelf = Shelf()
    clockwork = Clockwork(shelf)
    clockwork.go(timedelta(minutes=9))
    clockwork.start()
    clockwork.go(timedelta(minutes=2))
    assert shelf.times(DAY) == [NOON]


def drawn(points):
    axis = Axis(HOUR, NOON)
    by_slot = {axis.slots[place]: Point(axis.slots[place], {"rsA": point}) for place, point in points.items()}
    with Shop().app.test_request_context():
        return draw_set("rsA", axis, by_slot, [])


def test_a_curve_is_broken_where_nothing_is_known_and_a_lonely_value_is_a_dot():
    lag = [SetPoint(lag_seconds=value) for value in (0.0, 1.0, None, 2.0)]
    (line,) = drawn(dict(enumerate(lag))).charts[0].lines
    assert line.pieces == ("0.5,100.0 1.5,52.0", "3.5,4.0 3.5,4.0")


def test_a_member_s_band_has_a_piece_for_each_role_and_none_where_nobody_looked():
    roles = ["PRIMARY", "PRIMARY", "DOWN", "SECONDARY"]
    points = {place: SetPoint({"a:1": role}) for place, role in zip((0, 1, 2, 5), roles, strict=True)}
    ((address, pieces),) = drawn(points).bands
    assert address == "a:1"
    assert [(p.x, p.width, p.kind) for p in pieces] == [(0, 2, "primary"), (2, 1, "down"), (5, 1, "secondary")]


def test_the_table_says_what_the_curves_show_the_newest_first():
    figure = drawn({0: SetPoint({"a:1": "PRIMARY"}, 0.25, 10.0, 1.5, 0.5, 20.0), 1: SetPoint()})
    assert [row.primary for row in figure.rows] == ["—", "a:1"]
    assert figure.rows[1].values == ("0.25 s", "10/s", "1.5/s", "0.5 ms", "20 ms")


def test_growth_is_told_of_shards_that_were_counted_twice():
    axis = Axis(DAY, NOON)
    counted = [{"rsA": 10, "rsB": 7}, {"rsA": None}, {"rsA": 14}]
    points = {
        at: Point(at, {name: SetPoint(products=products) for name, products in counts.items()})
        for at, counts in zip(axis.slots[5:8], counted, strict=True)
    }
    (grown,) = growth(axis, points).items()
    assert grown == ("rsA", Growth(4, axis.slots[5], ("5.5,100.0 5.5,100.0", "7.5,4.0 7.5,4.0")))


@pytest.mark.parametrize("span", ["hour", "day", "month", "nonsense", ""])
def test_the_page_stands_while_nobody_answers(span):
    page = Shop().page(Role.VIEWER, path=f"/cluster/history?span={span}", endpoint="pages.curves.history")
    assert "The curves could not be read just now." in page
