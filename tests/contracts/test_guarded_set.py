"""One replica set as the guard watches and asks it."""

from contextlib import suppress

import pytest

from prodcore.app.wiring import open_switch
from prodcore.errors import CommandRefused, MemberUnavailable
from prodcore.guard.decision import believed_primary
from prodcore.mongo.admin.guarded_set import MongoGuardedSet
from prodcore.mongo.client.replica_set import SetAddress
from prodcore.settings import load_settings
from tests.support.memory_set import MemoryGuardedSet
from tests.support.replica_sets import wait_until_healthy
from tests.support.waiting import wait_until

SECONDS = 60.0
"""A deadline: members of a busy machine take their time."""


@pytest.fixture
def real_set(cluster, tmp_path):
    """The users' set, and who kills and starts its members; whole again at the end."""
    operator = load_settings(**cluster.addresses("operator"), state_dir=tmp_path)
    wait_until_healthy(operator)
    with open_switch(operator) as switch:
        watched = MongoGuardedSet(SetAddress(operator.db3_url.get_secret_value()), switch)
        wait_until(lambda: watched.members() and believed_primary(watched.pulses()), "a primary is seen", SECONDS)
        yield watched, cluster.members
        watched.close()
    cluster.up()
    wait_until_healthy(operator)


@pytest.fixture(
    params=[
        pytest.param("memory", marks=pytest.mark.memory),
        pytest.param("mongod", marks=pytest.mark.mongod),
    ]
)
def watched_and_control(request):
    if request.param == "memory":
        watched = MemoryGuardedSet("a:1", "b:1", "c:1")
        return watched, watched
    return request.getfixturevalue("real_set")


@pytest.fixture
def watched(watched_and_control):
    return watched_and_control[0]


@pytest.fixture
def control(watched_and_control):
    return watched_and_control[1]


@pytest.fixture
def primary(watched):
    return believed_primary(watched.pulses())


@pytest.fixture
def secondaries(watched, primary):
    return [member for member in watched.members() if member != primary]


def asked(watched, member, holds=lambda _standing: True):
    """What a member says as soon as it says what is expected."""
    found = []

    def answers():
        standing = watched.ask(member, believed_primary(watched.pulses()), 3.0)
        found.append(standing)
        return standing is not None and holds(standing)

    wait_until(answers, f"{member} says so", SECONDS)
    return found[-1]


def wrote(watched, primary):
    with suppress(MemberUnavailable):
        watched.write_notes(primary, 3)
        return True
    return False


def elect(watched, member):
    """Ask until it is elected: one that has not caught up yet is refused votes."""

    def stands():
        with suppress(CommandRefused, MemberUnavailable):
            watched.step_up(member)
        return believed_primary(watched.pulses()) == member

    wait_until(stands, f"{member} is primary", SECONDS, every=0.5)


def test_one_member_is_primary_and_a_majority_of_three_is_two(watched, primary):
    roles = ["PRIMARY", "SECONDARY", "SECONDARY"]
    wait_until(lambda: sorted(p.role for p in watched.pulses().values()) == roles, "all are seen", SECONDS)
    assert primary in watched.members()
    assert (len(watched.members()), watched.majority()) == (3, 2)
    assert not watched.is_switched_off()


def test_a_member_that_is_asked_says_what_it_is(watched, primary, secondaries):
    leader = asked(watched, primary)
    assert (leader.address, leader.is_primary, leader.is_secondary) == (primary, True, False)
    for member in secondaries:
        standing = asked(watched, member, lambda s: s.sync_source in watched.members())
        assert (standing.is_primary, standing.is_secondary, standing.electable) == (False, True, True)
        assert standing.heard_primary_seconds < SECONDS


def test_who_is_asked_to_stand_becomes_primary_in_a_later_term(watched, primary, secondaries):
    before = watched.pulses()[primary].term_order
    seen = watched.wait_for_change(-1, 0.0)
    elect(watched, secondaries[0])
    assert str(watched.pulses()[secondaries[0]].term_order) > str(before)
    assert watched.wait_for_change(seen, 0.0) > seen
    asked(watched, primary, lambda standing: standing.is_secondary)


def test_notes_reach_every_member_and_count_as_writes(watched, primary, secondaries):
    before = asked(watched, primary).last_write
    wait_until(lambda: wrote(watched, primary), "they are written", SECONDS)
    for member in (primary, *secondaries):
        asked(watched, member, lambda standing: standing.last_write > before)


def test_a_secondary_copies_from_whom_it_is_told(watched, primary, secondaries):
    first, second = secondaries

    def follows():
        with suppress(CommandRefused, MemberUnavailable):  # on a busy machine it may not answer in time
            watched.follow(first, second)
            watched.write_notes(primary, 5)
        return watched.sync_source(first) == second

    wait_until(follows, "it copies from the other secondary", SECONDS)
    with pytest.raises(CommandRefused):
        watched.follow(primary, second)


def test_a_dead_member_is_told_from_one_that_is_there(watched, control, primary, secondaries):
    gone = secondaries[0]
    assert watched.is_listening(gone)
    control.kill(gone)
    wait_until(lambda: not watched.is_listening(gone), "its port is closed", SECONDS)
    wait_until(lambda: watched.pulses()[gone].role == "Unknown", "its heartbeat fails", SECONDS)
    assert watched.ask(gone, primary, 0.5) is None
    assert watched.sync_source(gone) == ""
    with pytest.raises(MemberUnavailable):
        watched.step_up(gone)
    assert watched.majority() == 2
    control.start(gone)
    wait_until(lambda: watched.pulses()[gone].role == "SECONDARY", "it is back", SECONDS)


def test_nobody_is_elected_without_a_majority(watched, control, primary, secondaries):
    candidate, other = secondaries
    for member in (primary, other):
        control.kill(member)
    wait_until(lambda: not any(map(watched.is_listening, (primary, other))), "both are gone", SECONDS)
    with pytest.raises((CommandRefused, MemberUnavailable)):
        watched.step_up(candidate)
    assert believed_primary(watched.pulses()) != candidate
    for member in (primary, other):
        control.start(member)


def test_a_primary_that_does_not_catch_up_says_so(watched, primary):
    with pytest.raises(CommandRefused):
        watched.abort_catch_up(primary)
