"""Drills on real replica sets."""

import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from prodcore.app.drills import open_drill
from prodcore.app.wiring import open_inspectors
from prodcore.drill.engine import preflight, restore_leftovers, run_drill
from prodcore.drill.faults import Broken, Fault
from prodcore.drill.ledger import State
from prodcore.drill.load import DrillRecord
from prodcore.drill.plan import DrillLimits, DrillPlan, DrillStep
from prodcore.drill.verdict import Found
from prodcore.errors import DrillRunning, MemberNotFound, ShardNotFound, Unavailable
from prodcore.replicaset.status import Health
from prodcore.settings import load_settings
from tests.support.replica_sets import wait_until_healthy
from tests.support.waiting import wait_until

BRIEF = {"baseline_seconds": 0.5, "recovery_seconds": 40.0}


@pytest.fixture
def operator(cluster, tmp_path):
    """The operator's settings, with a state directory of its own, once every set is whole."""
    settings = load_settings(**cluster.addresses("operator"), state_dir=tmp_path)
    wait_until_healthy(settings)
    return settings


@pytest.fixture
def drill(operator, cluster):
    """Run a drill; its steps are in ``drill.steps``."""

    def run(plan, control=cluster.members, **how):
        with open_drill(operator, control, **how) as parts:
            return run_drill(plan, parts, run.steps.append)

    run.steps = []
    return run


def inspect(settings, name):
    [inspector] = [i for i in open_inspectors(settings) if i.name == name]
    return inspector.inspect()


@pytest.mark.parametrize(("fault", "set_name"), [
    (Fault.KILL, "rsA"),
    (Fault.PAUSE, "rsB"),
    pytest.param(Fault.STOP, "rsB", marks=pytest.mark.nightly),
    pytest.param(Fault.STEPDOWN, "rsA", marks=pytest.mark.nightly),
    pytest.param(Fault.KILL, "rsU", marks=pytest.mark.nightly),
])  # fmt: skip
def test_a_primary_is_broken_and_nothing_acknowledged_is_lost(drill, operator, fault, set_name, raw_clients):
    before = inspect(operator, set_name)
    report = drill(DrillPlan((set_name,), fault, **BRIEF))
    [of] = report.rounds
    assert report.outcome == "passed", report.missed
    assert of.result.old_primary == before.primary.address
    assert of.result.new_primary not in ("", before.primary.address)
    assert of.result.term_after > before.primary.term
    assert report.verdict.acknowledged > 50
    assert (report.verdict.moved > 0) == (set_name != "rsU")
    assert (report.verdict.broken, report.verdict.unknown) == (0, 0)
    assert 0 < report.write_gap() < 30
    wait_until_healthy(operator)
    for shard in ("rsA", "rsB"):
        products = raw_clients[shard]["products_db"]["products"]
        assert products.count_documents({"$or": [{"words": report.run}, {"long_words": report.run}]}) == 0
        assert products.count_documents({"deleted.name_key": {"$regex": report.run}}) == 0
    assert raw_clients["rsU"]["prodctl_meta"]["drill_records"].count_documents({}) == 0


def test_the_timeline_tells_the_steps_in_their_order(drill):
    [of] = drill(DrillPlan(("rsA",), Fault.KILL, **BRIEF)).rounds
    order = [s.step for s in of.steps]
    wanted = [
        DrillStep.FAULT,
        DrillStep.DETECTED,
        DrillStep.NEW_PRIMARY,
        DrillStep.RESTORE,
        DrillStep.BACK,
        DrillStep.CAUGHT_UP,
    ]
    assert [s for s in order if s in wanted] == wanted
    assert {DrillStep.ELECTION, DrillStep.FIRST_WRITE, DrillStep.FIRST_READ} <= set(order)


def test_every_set_at_once_and_a_random_member(drill):
    report = drill(DrillPlan(("rsA", "rsB", "rsU"), Fault.KILL, "random", rounds=2, writes_per_second=20, **BRIEF))
    assert report.outcome == "passed", report.missed
    assert sorted((r.result.number, r.result.set_name) for r in report.rounds) == [
        (n, s) for n in (1, 2) for s in ("rsA", "rsB", "rsU")
    ]


@pytest.mark.parametrize("set_name", ["rsB", pytest.param("rsU", marks=pytest.mark.nightly)])
def test_the_control_run_must_find_losses(drill, set_name):
    report = drill(DrillPlan((set_name,), Fault.LOSE, **BRIEF), unsafe=True)
    assert report.verdict.lost > 0
    assert report.outcome == "failed"


class Pretender:
    """A control that says it did it."""

    def __init__(self, real):
        self._real = real

    def addresses(self):
        return self._real.addresses()

    def is_running(self, address):
        return self._real.is_running(address)

    def start(self, address):
        """Nothing."""

    stop = kill = pause = resume = isolate = rejoin = stop_host = start

    def co_located(self, address):
        return (address,)

    def cannot_come_back(self, address):
        return ""

    def cannot_isolate(self):
        """It says that it can."""
        return ""

    cannot_stop_host = cannot_isolate


@pytest.mark.parametrize(("fault", "why"), [
    (Fault.PARTITION, "the local members share 127.0.0.1"),
    (Fault.CONTAINER, "the local members do not run in containers"),
])  # fmt: skip
def test_what_needs_a_host_for_each_member_is_refused_on_one_machine(operator, cluster, fault, why):
    with open_drill(operator, cluster.members) as parts:
        [objection] = preflight(DrillPlan(("rsA",), fault), parts)
    assert objection.startswith(why)


@pytest.mark.parametrize("fault", [
    Fault.KILL,
    pytest.param(Fault.PARTITION, marks=pytest.mark.nightly),
    pytest.param(Fault.CONTAINER, marks=pytest.mark.nightly),
])  # fmt: skip
def test_a_fault_that_did_nothing_makes_the_drill_vacuous(drill, cluster, fault):
    plan = DrillPlan(("rsA",), fault, baseline_seconds=0.5, recovery_seconds=5.0)
    report = drill(plan, Pretender(cluster.members))
    assert (report.outcome, report.missed) == ("vacuous", ())


def test_a_missed_limit_fails_the_drill(drill):
    report = drill(DrillPlan(("rsA",), Fault.STEPDOWN, limits=DrillLimits(max_write_gap=0.0001), **BRIEF))
    assert report.outcome == "failed"
    assert report.missed[0].startswith("the write gap was ")


def test_what_a_killed_drill_left_is_put_back_by_the_next_one(drill, operator, cluster, raw_clients):
    victim = inspect(operator, "rsA").primary.address
    raw_clients["rsU"]["prodctl_meta"]["drill_records"].insert_one({"words": ["dri"], "long_words": ["drilldead"]})
    with open_drill(operator, cluster.members) as parts, parts.journal.lock():
        parts.journal.open("drilldead", ("rsA", "rsU"))
        parts.journal.breaking(Broken("rsA", victim, Fault.KILL))
        cluster.members.kill(victim)
    assert inspect(operator, "rsA").health is not Health.HEALTHY
    with open_drill(operator, cluster.members) as parts:
        left = restore_leftovers(parts.journal, parts.control, parts.sets, drill.steps.append)
        assert parts.journal.unfinished() is None
    assert left.broken == (Broken("rsA", victim, Fault.KILL),)
    assert any(victim in s.text for s in drill.steps)
    assert inspect(operator, "rsA").member(victim).answers
    assert raw_clients["rsU"]["prodctl_meta"]["drill_records"].count_documents({}) == 0


def test_a_second_drill_at_the_same_time_is_refused(drill, operator, cluster):
    with (
        open_drill(operator, cluster.members) as parts,
        parts.journal.lock(),
        pytest.raises(DrillRunning),
    ):
        drill(DrillPlan(("rsA",), Fault.STEPDOWN, **BRIEF))


def test_a_drill_does_not_begin_where_a_member_is_missing(drill, operator, cluster):
    status = inspect(operator, "rsB")
    victim = next(m.address for m in status.members if m.role == "SECONDARY")
    cluster.members.kill(victim)
    try:
        with pytest.raises(Unavailable, match=f"{victim} is DOWN"):
            drill(DrillPlan(("rsB",), Fault.KILL, **BRIEF))
        with open_drill(operator, cluster.members) as parts:
            assert preflight(DrillPlan(("rsU",), Fault.KILL), parts) == []
    finally:
        cluster.members.start(victim)
        with open_drill(operator, cluster.members) as parts:
            wait_until(lambda: preflight(DrillPlan(("rsB",)), parts) == [], "rsB is whole again", 40)


def test_an_unknown_set_or_member_is_refused(operator, cluster):
    with open_drill(operator, cluster.members) as parts:
        with pytest.raises(ShardNotFound, match="there is no set rsX; there are rsA, rsB, rsU"):
            preflight(DrillPlan(("rsX",)), parts)
        with pytest.raises(MemberNotFound, match="h:1 is not a member of rsA; there are rsA-1, rsA-2, rsA-3"):
            preflight(DrillPlan(("rsA",), target="h:1"), parts)


def test_a_move_that_was_left_in_the_middle_is_finished_before_it_is_judged(operator, cluster, catalog, raw_products):
    """As when webapp is killed between two steps: the drill's own records must not seem lost for that."""
    with open_drill(operator, cluster.members) as parts:
        traffic = parts.traffic("rsA")
        record = DrillRecord(uuid4(), State(traffic.home.name(1), 0, 1, "rsA"))
        traffic.create(record)
        moved = State(traffic.elsewhere.name(1), 0, 2, "rsB")
        traffic.write(record, moved)
        raw_products["rsB"].update_one({"_id": record.id}, {"$set": {"move": raw_move(raw_products, record)}})
        raw_products["rsA"].update_one({"_id": record.id}, {"$unset": {"purge_at": ""}})
        parts.settle()
        deadline = time.monotonic() + 20
        for name, expected in (("rsA", []), ("rsB", [Found(record.id, moved)])):
            members = [m.address for m in parts.sets[name].inspect().members]
            assert parts.sets[name].read_everywhere(parts.run, members, deadline) == dict.fromkeys(members, expected)
            parts.sets[name].remove_records(parts.run)


def raw_move(raw_products, record):
    """What the target's document tells of a move that its source has decided."""
    return {**raw_products["rsA"].find_one({"_id": record.id})["move"], "state": "pending"}


def test_an_import_that_goes_on_is_an_objection_and_one_that_stands_still_is_none(operator, cluster, raw_clients):
    imports = raw_clients["rsA"]["products_db"]["imports"]
    begun = datetime.now(UTC)
    imports.insert_one({"_id": uuid4(), "source": "new.csv", "by": "ana", "started_at": begun})
    imports.insert_one({"_id": uuid4(), "source": "old.csv", "by": "ana", "started_at": begun - timedelta(hours=2)})
    try:
        with open_drill(operator, cluster.members) as parts:
            assert preflight(DrillPlan(("rsB",)), parts) == ["an import is running: ana imports new.csv"]
            assert preflight(DrillPlan(("rsU",)), parts) == []
    finally:
        imports.delete_many({})
