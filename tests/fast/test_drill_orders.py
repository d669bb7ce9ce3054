"""What may be ordered, and how a drill looks while it runs."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from prodcore.drill.faults import Fault
from prodcore.drill.ledger import Attempt, Operation, RequestOutcome
from prodcore.drill.orders import DrillOrder, DrillRun, LiveDrill, RunState, read_plan
from prodcore.drill.plan import DrillLimits, DrillPlan, DrillStep, Progress
from prodcore.errors import InvalidInput

SETS = ("rsA", "rsB", "rsU")


def order(age_seconds=0.0):
    return DrillOrder(str(uuid4()), "Ana", datetime.now(UTC) - timedelta(seconds=age_seconds), DrillPlan(("rsA",)))


def test_a_plan_is_read_back_as_it_was_written():
    plan = DrillPlan(
        ("rsA", "rsU"), Fault.PAUSE, "random", 3, 20.0, limits=DrillLimits(max_write_gap=2.5, max_failed=0)
    )
    assert read_plan(plan.as_dict(), SETS) == plan


def test_what_a_form_leaves_empty_has_its_default():
    empty = dict.fromkeys(("fault", "target", "rounds", "writes_per_second"), "")
    assert read_plan({"sets": ["rsA"], **empty, "limits": {"max_write_gap": ""}}, SETS) == DrillPlan(("rsA",))


@pytest.mark.parametrize(("field", "values"), [
    ("sets", {"sets": []}),
    ("sets", {"sets": ["rsA", "rsX"]}),
    ("fault", {"fault": "lose"}),
    ("fault", {"fault": "partition"}),
    ("target", {"target": "127.0.0.1:27017"}),
    ("rounds", {"rounds": "0"}),
    ("rounds", {"rounds": "1.5"}),
    ("rounds", {"rounds": "100"}),
    ("writes_per_second", {"writes_per_second": "1e9"}),
    ("writes_per_second", {"writes_per_second": "nan"}),
    ("max_write_gap", {"limits": {"max_write_gap": "-1"}}),
    ("max_failed", {"limits": {"max_failed": "many"}}),
])  # fmt: skip
def test_what_is_out_of_bounds_is_refused_with_its_field(field, values):
    with pytest.raises(InvalidInput) as refused:
        read_plan({"sets": ["rsA"], **values}, SETS)
    assert [p.field for p in refused.value.problems] == [field]


@pytest.mark.parametrize(("state", "age", "at_work"), [
    (RunState.WAITING, 0, True),
    (RunState.WAITING, 120, False),
    (RunState.RUNNING, 3600, True),
    (RunState.DONE, 0, False),
    (RunState.REFUSED, 0, False),
])  # fmt: skip
def test_another_drill_waits_for_one_that_runs_and_not_for_an_order_that_nobody_took(state, age, at_work):
    assert DrillRun(order(age), state).is_at_work(datetime.now(UTC)) is at_work


def attempt(ended, outcome=RequestOutcome.ACKNOWLEDGED, latency=0.01, set_name="rsA", kind=Operation.CREATE):
    return Attempt(set_name, kind, uuid4(), None, ended - latency, ended, outcome)


def live_drill(started=100.0):
    live = LiveDrill()
    live.ledger.started = started
    return live


def test_the_load_is_counted_as_it_comes_writes_and_reads_apart():
    live = live_drill()
    live.ledger.add(attempt(100.05))
    live.ledger.add(attempt(100.06, latency=0.15))
    [series] = live.so_far(("rsA",))["series"]
    assert (series["writes"]["acknowledged"], series["writes"]["failed"]) == ([2], [0])
    live.ledger.add(attempt(100.25, RequestOutcome.UNKNOWN))
    live.ledger.add(attempt(100.15, set_name="rsB", kind=Operation.READ))
    live.ledger.add(attempt(100.15, kind=Operation.MOVE))
    a, b = live.so_far(("rsA", "rsB"))["series"]
    assert (a["writes"]["acknowledged"], a["writes"]["failed"]) == ([2, 0, 0], [0, 0, 1])
    assert (b["writes"]["acknowledged"], b["reads"]["acknowledged"]) == ([0, 0, 0], [0, 1, 0])
    assert a["writes"]["max_latency_seconds"] == [0.15, None, None]
    assert (live.so_far(("rsA",))["figures"]["acknowledged"], live.so_far(("rsA",))["figures"]["failed"]) == (4, 1)


def test_nothing_is_shown_of_a_drill_before_its_clock_is_started():
    so_far = LiveDrill().so_far(("rsA",))
    assert (so_far["series"], so_far["steps"]) == ((), ())
    assert so_far["figures"]["write_gap_seconds"] is None


def test_a_long_drill_has_wider_points_and_loses_no_request():
    live = live_drill()
    for n in range(3000):
        live.ledger.add(attempt(100 + n * 0.5))
    [series] = live.so_far(("rsA",))["series"]
    assert len(series["writes"]["acknowledged"]) <= 400
    assert sum(series["writes"]["acknowledged"]) == 3000
    assert series["point_seconds"] * len(series["writes"]["acknowledged"]) >= 1499.5


def test_a_step_tells_which_member_it_is_about():
    live = live_drill()
    facts = {"seconds_since_fault": 0.0, "moment": 102.0}
    live.note(Progress(DrillStep.FAULT, "kill 127.0.0.1:27017", "rsA", facts))
    live.note(Progress(DrillStep.LOAD, "50 writes a second on each set"))
    found = {s.step: (s.at, s.member, s.since_fault) for s in live.so_far(("rsA",))["steps"]}
    assert found["fault"] == (2.0, "127.0.0.1:27017", 0.0)
    assert found["load"][1:] == ("", None)
