"""The guard on a real replica set whose members themselves would take five seconds and more."""

import threading
import time
from contextlib import contextmanager

import pytest
from pymongo import WriteConcern

from prodcore.app.cluster import open_switchover, run_guards
from prodcore.app.drills import open_drill
from prodcore.app.wiring import open_inspectors, open_switch
from prodcore.drill.engine import preflight, run_drill
from prodcore.drill.faults import Fault
from prodcore.drill.plan import DrillPlan
from prodcore.guard.decision import GuardRules
from prodcore.replicaset.switchover import switch_over
from prodcore.settings import load_settings

SET = "rsU"
SLOW_ELECTION_MS = 8_000


class Diary:
    """What a guard tells, with a way to wait for it."""

    def __init__(self):
        self.entries = []
        self._changed = threading.Condition()

    def __call__(self, set_name, what, details):
        with self._changed:
            self.entries.append((set_name, what, details))
            self._changed.notify_all()

    def told(self, *what):
        return [e for e in self.entries if e[0] == SET and e[1] in what]

    def wait_for(self, what, count=1, seconds=90.0):
        """A long deadline: on an idle set of a busy machine each try for a successor may fail for a while."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.told(what)) >= count, seconds), self.entries


@pytest.fixture(scope="module")
def slow_set(cluster, raw_clients):
    """The users' set with an election timeout that the guard must beat."""

    def configure(milliseconds):
        admin = raw_clients[SET].admin
        config = admin.command("replSetGetConfig")["config"]
        config["version"] += 1
        config["settings"]["electionTimeoutMillis"] = milliseconds
        admin.command("replSetReconfig", config)

    configure(SLOW_ELECTION_MS)
    yield cluster
    configure(1_000)


@pytest.fixture
def operator(slow_set, tmp_path):
    return load_settings(**slow_set.addresses("operator"), state_dir=tmp_path)


@pytest.fixture
def guard(operator):
    """A guard at work; what it tells is in the diary."""
    diary, stop = Diary(), threading.Event()
    thread = threading.Thread(target=run_guards, args=(operator, GuardRules(), diary, stop))
    thread.start()
    try:
        diary.wait_for("successor")
        yield diary
    finally:
        stop.set()
        thread.join(timeout=20)
    assert not thread.is_alive()


def inspect(operator):
    return next(i for i in open_inspectors(operator) if i.name == SET).inspect()


@pytest.fixture
def access(operator, slow_set):
    with open_drill(operator, slow_set.members) as parts:
        yield parts.sets[SET]


def chain_tries(operator):
    """How often the guard has told a member in vain whom to copy from, by its last heartbeat."""
    with open_switch(operator) as switch:
        [guard] = switch.guards()
    return guard["sets"][SET]["counts"].get("chain_tries", 0)


def wait_whole(access, member):
    watch = access.watch()
    try:
        assert watch.wait_for_role(member, ("SECONDARY",), 0.0, time.monotonic() + 40)
        access.wait_caught_up(time.monotonic() + 40)
    finally:
        watch.close()


def test_an_idle_set_gets_a_successor_that_the_other_follows(guard, operator):
    status = inspect(operator)
    sources = {m.address: m.sync_source for m in status.members}
    [successor] = [a for a, source in sources.items() if source == status.primary.address]
    assert set(sources.values()) == {"", status.primary.address, successor}


@contextmanager
def not_copying(direct_client, member):
    """The member takes nothing new from anybody."""
    fail_point = {"configureFailPoint": "stopReplProducer"}
    with direct_client(member) as client:
        client.admin.command({**fail_point, "mode": "alwaysOn"})
        try:
            yield
        finally:
            client.admin.command({**fail_point, "mode": "off"})


@pytest.fixture
def records(raw_clients):
    """Where a write waits for a majority, and for twenty seconds at most."""
    concern = WriteConcern("majority", wtimeout=20_000)
    records = raw_clients[SET]["prodctl_meta"].get_collection("guard_test", write_concern=concern)
    yield records
    records.drop()


def test_a_successor_that_stops_copying_holds_up_nobody(guard, access, direct_client, records):
    """The other secondary copies from it, so without the guard no write has a majority until mongod acts after 30 s."""
    status = access.inspect()
    successor, other = (m.address for m in status.members if m.role == "SECONDARY")
    assert status.member(other).sync_source == successor
    with not_copying(direct_client, successor):
        ends = time.monotonic() + 25
        while guard.told("successor")[-1][2] != f"none that keeps up; to the primary went {other}":
            records.insert_one({})
            assert time.monotonic() < ends, guard.entries
        records.insert_one({})
    access.wait_caught_up(time.monotonic() + 40)


def test_who_was_away_and_comes_back_late_is_not_followed_before_it_has_caught_up(
    guard, access, slow_set, direct_client, records, operator
):
    """Else the other secondary is told to copy from one that has nothing new, and stops for as long as that takes."""
    looks = 3 * GuardRules().check_seconds
    status = access.inspect()
    late, other = (m.address for m in status.members if m.role == "SECONDARY")

    def write_for(seconds):
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            records.insert_one({})

    with not_copying(direct_client, late):
        slow_set.members.pause(late)
        try:
            write_for(looks)  # the guard has no answer from it
            ends = time.monotonic() + 40
            while access.inspect().member(other).sync_source != status.primary.address:  # it gives up who hangs, late
                records.insert_one({})
                assert time.monotonic() < ends, guard.entries
        finally:
            slow_set.members.resume(late)
        before, tries = len(guard.told("successor")), chain_tries(operator)
        write_for(looks)
        assert access.inspect().member(other).sync_source == status.primary.address
        assert (len(guard.told("successor")), chain_tries(operator)) == (before, tries)
    access.wait_caught_up(time.monotonic() + 40)
    guard.wait_for("successor", before + 1)


@pytest.mark.parametrize("fault", ["kill", "pause"])
def test_a_lost_primary_is_replaced_before_the_members_would_do_it_themselves(guard, access, slow_set, fault):
    old = access.inspect().primary.address
    watch = access.watch()
    try:
        assert watch.wait_for_role(old, ("PRIMARY",), 0.0, time.monotonic() + 10)
        at = time.monotonic()
        getattr(slow_set.members, fault)(old)
        seen = watch.wait_for_new_primary(old, at, at + 30)
        assert seen is not None
        assert access.last_election(seen.primary).reason == "stepUpRequest"
        assert len(guard.told("elected")) == 1
    finally:
        watch.close()
        slow_set.members.start(old)
        slow_set.members.resume(old)
        wait_whole(access, old)


def test_a_switchover_to_another_than_its_successor_disables_it(guard, access, operator):
    """Two that tell the secondaries whom to copy from make them copy from each other, and no write has a majority."""
    status = access.inspect()
    successor, other = (m.address for m in status.members if m.role == "SECONDARY")
    assert status.member(other).sync_source == successor
    with open_switchover(operator, SET) as parts:
        report = switch_over(parts, other)
        assert parts.guards.any_active(), "it is enabled again"
    assert report.new_primary == other
    guard.wait_for("enabled")
    assert [what for _set, what, _details in guard.told("disabled", "enabled")] == ["disabled", "enabled"]
    assert guard.told("elected", "died", "silent") == []


def test_a_switchover_to_its_successor_leaves_it_enabled(guard, access, operator):
    [successor] = {m.sync_source for m in access.inspect().members} - {"", access.inspect().primary.address}
    with open_switchover(operator, SET) as parts:
        assert switch_over(parts).new_primary == successor
    assert guard.told("disabled") == []


def test_a_planned_step_down_is_left_alone(guard, access, operator):
    old = access.inspect().primary.address
    access.step_down(old)
    guard.wait_for("primary", 2)
    access.allow_election(old)
    assert guard.told("elected", "died", "silent") == []


def test_a_guard_that_is_off_duty_does_nothing(guard, access, slow_set, operator):
    with open_switch(operator) as switch:
        switch.turn_off(60)
    old = access.inspect().primary.address
    watch = access.watch()
    try:
        wait_until_disabled(operator)
        at = time.monotonic()
        slow_set.members.kill(old)
        seen = watch.wait_for_new_primary(old, at, at + 40)
        assert access.last_election(seen.primary).reason == "electionTimeout"
        assert guard.told("elected") == []
    finally:
        watch.close()
        slow_set.members.start(old)
        with open_switch(operator) as switch:
            switch.turn_on()
        wait_whole(access, old)


def wait_until_disabled(operator):
    """The guard looks at the switch every two seconds, and says so in its heartbeat."""
    with open_switch(operator) as switch:
        ends = time.monotonic() + 20
        while any(g["sets"][SET]["active"] for g in switch.guards() if SET in g.get("sets", {})):
            assert time.monotonic() < ends, "the guard is still enabled"
            threading.Event().wait(0.1)


def test_two_guards_cause_one_election(guard, operator, access, slow_set):
    second, stop = Diary(), threading.Event()
    thread = threading.Thread(target=run_guards, args=(operator, GuardRules(), second, stop))
    thread.start()
    try:
        second.wait_for("successor")
        before = access.inspect().primary
        slow_set.members.kill(before.address)
        guard.wait_for("primary", 2)
        slow_set.members.start(before.address)
        wait_whole(access, before.address)
        after = access.inspect().primary
        assert after.address != before.address
        assert after.term <= before.term + 2
    finally:
        stop.set()
        thread.join(timeout=20)


@pytest.mark.nightly
def test_a_drill_measures_each_round_once_more_without_the_guard(guard, operator, slow_set):
    with open_drill(operator, slow_set.members) as parts:
        plan = DrillPlan((SET,), Fault.KILL, baseline_seconds=0.5, recovery_seconds=40.0, compare_guard=True)
        report = run_drill(plan, parts, lambda _progress: None)
        assert parts.guards.any_active(), "it is enabled again"
    assert report.outcome == "passed", report.missed
    assert [(r.result.guarded, r.result.extra) for r in report.rounds] == [(True, False), (False, True)]
    assert report.write_gap() < report.write_gap(extra=True)


def test_without_a_guard_there_is_nothing_to_compare(operator, slow_set):
    with open_drill(operator, slow_set.members) as parts:
        [objection] = preflight(DrillPlan((SET,), compare_guard=True), parts)
    assert objection.startswith("no guard is active")


def test_a_replaced_primary_that_stays_silent_is_fenced_where_that_is_wanted(operator, access, slow_set):
    diary, stop = Diary(), threading.Event()
    rules = GuardRules(fence_seconds=2.0)
    thread = threading.Thread(target=run_guards, args=(operator, rules, diary, stop, slow_set.members))
    thread.start()
    old = access.inspect().primary.address
    try:
        diary.wait_for("successor")
        slow_set.members.pause(old)
        diary.wait_for("fenced")
        assert diary.told("fenced") == [(SET, "fenced", old)]
        assert not slow_set.members.is_running(old)
    finally:
        stop.set()
        thread.join(timeout=20)
        slow_set.members.resume(old)
        slow_set.members.start(old)
        wait_whole(access, old)
