"""Drills that are ordered by one process and carried out by another, on real replica sets."""

import os
import threading
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from pymongo.errors import OperationFailure

from prodcore.app.cluster import open_look
from prodcore.app.drills import open_drill, serve_actions
from prodcore.app.wiring import open_board, open_desk, open_replica_set
from prodcore.drill.engine import run_drill
from prodcore.drill.faults import Fault
from prodcore.drill.orders import DrillOrder, DrillRun, DrillRunner, RunnerSign, RunState
from prodcore.drill.plan import DrillPlan
from prodcore.processes.orders import ActionKind, ActionState, ClusterAction
from prodcore.replicaset.curves import DAY, HOUR, Mark, Point, SetPoint, point_of
from prodcore.settings import load_settings
from tests.support.waiting import wait_until

BRIEF = {"baseline_seconds": 0.5, "recovery_seconds": 40.0, "writes_per_second": 20.0}
DRILL_SECONDS = 90


@pytest.fixture
def operator(cluster, tmp_path):
    return load_settings(**cluster.addresses("operator"), state_dir=tmp_path)


@pytest.fixture
def web(cluster):
    """The board as webapp has it."""
    with open_board(load_settings(**cluster.addresses("web"))) as board:
        yield board


@pytest.fixture
def runner_board(operator):
    with open_board(operator) as board:
        board.prepare()
        yield board


@contextmanager
def running(runner):
    stop = threading.Event()
    thread = threading.Thread(target=runner.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(DRILL_SECONDS)
        assert not thread.is_alive()


def make_runner(board, operator, cluster, reports=None):
    def perform(order, live):
        plan = DrillPlan(order.plan.sets, order.plan.fault, **BRIEF)
        with open_drill(operator, cluster.members) as parts:
            report = run_drill(plan, parts, live.note, live.ledger).as_dict()
        if reports is not None:
            reports.append(report)
        return report

    return DrillRunner(board, RunnerSign(f"test:{os.getpid()}", cluster.members.addresses()), perform, lambda: None)


def order(sets=("rsA",), age_seconds=0):
    at = datetime.now(UTC) - timedelta(seconds=age_seconds)
    return DrillOrder(str(uuid4()), "Ana", at.replace(microsecond=0), DrillPlan(sets, Fault.STEPDOWN))


def test_a_point_is_kept_by_the_runner_read_by_webapp_and_removed_in_time(cluster, operator):
    at = datetime(2026, 5, 4, 12, tzinfo=UTC)
    points = [
        Point(at, {"rsA": SetPoint({"10.0.0.1:27017": "PRIMARY"}, 0.1, 2.0, None, 0.5, None, 9), "rsU": SetPoint()}),
        Point(at + HOUR.step, {}, (Mark(at, "election", "rsA", "10.0.0.1:27017"),)),
    ]
    with open_desk(operator) as writing, open_desk(load_settings(**cluster.addresses("web"))) as reading:
        for point in (*points, points[0]):
            writing.curves.add(HOUR, point)
        writing.curves.add(DAY, points[0])
        assert reading.curves.points(HOUR, at, at + HOUR.reach) == points
        assert reading.curves.points(HOUR, at + HOUR.step, at + HOUR.reach) == points[1:]
        with pytest.raises(OperationFailure):
            reading.curves.add(HOUR, points[0])
    with closing(open_replica_set(operator, "db3_url")) as users:
        kept = users.collection("curves", "prodctl_meta")
        index = users.read(kept.index_information)["expires_1"]
        assert index["expireAfterSeconds"] == 0
        assert users.read(lambda: kept.find_one({"_id": "hour 2026-05-04T12:00:00+00:00"}))["expires"] > at + HOUR.reach


def test_a_look_at_the_cluster_tells_roles_operations_and_products(operator):
    with open_look(operator) as look:
        before = look()
        now = look()
    point = point_of(before, now)
    assert set(point.sets) == {"rsA", "rsB", "rsU"}
    for name, of in point.sets.items():
        assert sorted(of.roles.values()) == ["PRIMARY", "SECONDARY", "SECONDARY"]
        assert of.lag_seconds is not None
        assert of.reads_per_second >= 0
        assert of.writes_per_second >= 0
        assert (of.products is None) == (name == "rsU")


def test_an_order_is_carried_out_and_a_second_one_refused(web, runner_board, operator, cluster):
    first, second, reports = order(), order(("rsB",)), []
    with running(make_runner(runner_board, operator, cluster, reports)):
        wait_until(web.runners, "a runner is active")
        assert set(web.runners()[0].members) == set(cluster.members.addresses())
        web.place(first)
        wait_until(lambda: web.get(first.id).series, "the load is seen", 60)
        web.place(second)
        wait_until(lambda: web.get(second.id).is_over, "the second one is answered")
        assert web.get(second.id).state is RunState.REFUSED
        assert "another drill is running, ordered by Ana" in web.get(second.id).reason
        assert web.get(first.id).state is RunState.RUNNING
        wait_until(lambda: web.get(first.id).is_over, "the drill ends", DRILL_SECONDS)
    done = web.get(first.id)
    assert (done.state, done.outcome) == (RunState.DONE, "passed")
    assert {"fault", "new primary", "caught up"} <= {s.step for s in done.steps}
    assert sum(done.series[0]["writes"]["acknowledged"]) > 20
    [report] = reports
    assert list(done.series) == report["series"]
    final = {**report["verdict"], **report}
    assert done.figures == {name: final[name] for name in done.figures}


def test_what_nobody_took_in_time_or_nobody_can_read_is_refused(web, runner_board, operator, cluster):
    late, unreadable = order(age_seconds=120), order(("rsX",))
    web.place(late)
    web.place(unreadable)
    assert web.get(late.id).state is RunState.WAITING
    with running(make_runner(runner_board, operator, cluster)):
        for each in (late, unreadable):
            wait_until(lambda each=each: web.get(each.id).state is RunState.REFUSED, "it is refused")
    assert "in time" in web.get(late.id).reason
    assert "sets" in web.get(unreadable.id).reason


def test_what_a_killed_runner_left_running_counts_as_broken_off(web, runner_board, operator, cluster):
    left = order()
    web.place(left)
    runner_board.publish(DrillRun(left, RunState.RUNNING))
    with running(make_runner(runner_board, operator, cluster)):
        wait_until(lambda: web.get(left.id).state is RunState.BROKEN_OFF, "it is told")


def test_the_same_order_twice_is_one(web):
    twice = order()
    web.place(twice)
    web.place(twice)
    assert web.get(twice.id).order == twice


def test_somebody_asks_for_a_drill_to_end(web, runner_board):
    asked, other = order(), order()
    web.place(asked)
    web.ask_to_stop(asked.id, "Ana")
    assert runner_board.is_to_stop(asked.id)
    assert not runner_board.is_to_stop(other.id)
    assert web.get(asked.id + ":stop") is None


def test_webapp_may_order_and_nothing_else(web, cluster):
    placed = order()
    web.place(placed)
    with ExitStack() as stack:
        replica_set = open_replica_set(load_settings(**cluster.addresses("web")), "db3_url")
        stack.callback(replica_set.close)
        orders = replica_set.collection("drill_orders", "prodctl_meta")
        runs = replica_set.collection("drill_runs", "prodctl_meta")
        actions = replica_set.collection("action_runs", "prodctl_meta")
        moves = replica_set.collection("range_moves", "prodctl_meta")
        for forbidden in (
            lambda _again: orders.update_one({"_id": placed.id}, {"$set": {"by": "somebody else"}}),
            lambda _again: orders.delete_one({"_id": placed.id}),
            lambda _again: runs.insert_one({"_id": placed.id}),
            lambda _again: actions.insert_one({"_id": placed.id}),
            lambda _again: moves.insert_one({"_id": placed.id}),
        ):
            with pytest.raises(OperationFailure, match="not authorized"):
                replica_set.write(forbidden)


def test_a_member_is_stopped_and_started_by_order_and_the_majority_is_kept(web, runner_board, operator, cluster):
    stop = threading.Event()
    thread = threading.Thread(target=serve_actions, args=(operator, cluster.members, stop, print), daemon=True)
    thread.start()

    def ended(kind, member, age_seconds=0):
        at = datetime.now(UTC) - timedelta(seconds=age_seconds)
        action = ClusterAction(str(uuid4()), kind, "Ana", at, {"set": "rsB", "member": member})
        web.actions.place(action)
        wait_until(lambda: web.actions.get(action.id).is_over, f"{kind} has ended", 60)
        return web.actions.get(action.id)

    try:
        assert ended(ActionKind.STOP, "rsB-9").reason == "rsB-9 is not a member of rsB; there are rsB-1, rsB-2, rsB-3"
        assert "in time" in ended(ActionKind.STOP, "rsB-3", age_seconds=120).reason
        gone = ended(ActionKind.STOP, "rsB-3")
        address = gone.result["member"]
        assert (gone.state, cluster.members.is_running(address)) == (ActionState.DONE, False)
        refused = ended(ActionKind.STOP, "rsB-2")
        assert refused.state is ActionState.REFUSED
        assert "rsB would lose its majority: 2 members are running, 2 are needed" in refused.reason
        assert ended(ActionKind.START, "rsB-3").state is ActionState.DONE
        assert cluster.members.is_running(address)
    finally:
        stop.set()
        thread.join(30)
        cluster.members.start(next(m.address for m in cluster.plan.members_of("rsB") if m.number == 3))


def test_an_order_that_cannot_be_read_is_refused_and_what_a_killed_runner_left_is_ended(web, runner_board):
    action = ClusterAction(str(uuid4()), ActionKind.DRAIN, "Ana", datetime.now(UTC), {})
    web.actions.place(action)
    [waiting] = [run for run in runner_board.actions.waiting() if run.action.id == action.id]
    assert (waiting.state, "shard" in waiting.reason) == (ActionState.REFUSED, True)
    left = ClusterAction(str(uuid4()), ActionKind.REBALANCE, "Ana", datetime.now(UTC), {})
    web.actions.place(left)
    assert runner_board.actions.take(left)
    assert not runner_board.actions.take(left)
    runner_board.actions.end_running("it was cut off")
    assert web.actions.get(left.id).reason == "it was cut off"
