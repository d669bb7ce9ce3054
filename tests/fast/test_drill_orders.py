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


def attempt(live, ended, outcome=RequestOutcome.ACKNOWLEDGED, latency=0.01, set_name="rsA"):
    begun = live.started + ended - latency
    return Attempt(set_name, Operation.CREATE, uuid4(), None, begun, live.started + ended, outcome)


def test_the_load_is_counted_as_it_comes():
    live = LiveDrill()
    live.ledger.add(attempt(live, 0.1))
    live.ledger.add(attempt(live, 0.2, latency=0.15))
    [series] = live.series()
    assert (series["acknowledged"], series["failed"]) == ([2], [0])
    live.ledger.add(attempt(live, 0.6, RequestOutcome.UNKNOWN))
    live.ledger.add(attempt(live, 0.3, set_name="rsB"))
    a, b = live.series()
    assert (a["acknowledged"], a["failed"], b["acknowledged"]) == ([2, 0, 0], [0, 0, 1], [0, 1, 0])
    assert a["max_latency_seconds"] == [0.15, None, None]


def test_a_long_drill_has_wider_points_and_loses_no_request():
    live = LiveDrill()
    for n in range(3000):
        live.ledger.add(attempt(live, n * 0.5))
    [series] = live.series()
    assert len(series["acknowledged"]) <= 400
    assert sum(series["acknowledged"]) == 3000
    assert series["point_seconds"] * len(series["acknowledged"]) >= 1499.5


def test_a_step_tells_which_member_it_is_about():
    live = LiveDrill()
    live.note(Progress(DrillStep.FAULT, "kill 127.0.0.1:27017", "rsA", {"seconds_since_fault": 0.0}))
    live.note(Progress(DrillStep.LOAD, "50 writes a second on each set"))
    assert [(s.step, s.member, s.since_fault) for s in live.steps()] == [
        ("fault", "127.0.0.1:27017", 0.0),
        ("load", "", None),
    ]
