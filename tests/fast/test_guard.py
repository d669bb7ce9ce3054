"""What a guard does with a set, one look after the other."""

import pytest

from prodcore.guard.decision import GuardRules, believed_primary
from prodcore.guard.guard import SetGuard
from tests.support.memory_set import MemoryGuardedSet
from tests.support.waiting import wait_until

A, B, C = "a:1", "b:1", "c:1"


class Watched:
    """A set, its guard, and what the guard tells."""

    def __init__(self, rules=GuardRules(), control=None):  # noqa: B008  it is frozen
        self.told = []
        self.set = MemoryGuardedSet(A, B, C)
        self.guard = SetGuard(self.set, rules, lambda _set, what, details: self.told.append((what, details)), control)
        self.guard.look()

    def whats(self):
        return [what for what, _details in self.told]

    @property
    def primary(self):
        return believed_primary(self.set.pulses())


@pytest.fixture
def watched():
    return Watched()


def test_it_tells_who_is_primary_and_leaves_a_sound_set_alone(watched):
    watched.guard.look()
    assert watched.told == [("primary", A)]
    assert watched.guard.state.primary == A


def test_a_dead_primary_is_replaced_at_once(watched):
    watched.set.kill(A)
    watched.guard.look()
    assert watched.whats()[1:] == ["died", "elected"]
    assert watched.primary == B


def test_a_primary_that_hangs_is_replaced_once_nobody_hears_of_it(watched):
    watched.set.pause(A)
    watched.set.hearing = {C}
    watched.guard.look()
    assert watched.told[1:] == [("refrained", f"{C} has learnt of {A} meanwhile")]
    fresh = Watched()
    fresh.set.pause(A)
    fresh.guard.look()
    assert fresh.whats()[1:] == ["silent", "elected"]
    assert fresh.primary == B


def test_without_a_majority_it_refrains_and_says_so_once(watched):
    watched.set.kill(A)
    watched.set.kill(B)
    for _ in range(3):
        watched.guard.look()
        watched.guard._quiet_until = 0.0
    assert watched.told[1:] == [("refrained", "no majority can be reached")]
    watched.set.start(B)
    watched.guard.look()
    assert watched.primary in (B, C)


def test_a_member_that_is_behind_does_not_stand(watched):
    watched.set.write_notes(A, 5)
    watched.set.behind = {B}
    watched.set.kill(A)
    watched.guard.look()
    assert watched.primary == C


def test_while_it_is_switched_off_it_does_nothing(watched):
    watched.set.switched_off = True
    watched.set.kill(A)
    watched.guard.look()
    assert "elected" not in watched.whats()
    watched.set.switched_off = False
    watched.guard.look()
    assert watched.primary == B


def test_after_an_election_it_leaves_the_set_alone_for_a_while(watched):
    watched.set.kill(A)
    watched.guard.look()
    watched.guard.look()
    watched.set.kill(B)
    watched.set.start(A)
    watched.guard.look()
    assert watched.whats().count("elected") == 1


def test_the_other_secondaries_follow_the_successor():
    watched = Watched(GuardRules(check_seconds=0.0))

    def followed():
        watched.guard.look()
        return watched.guard.state.successor == B

    wait_until(followed, "a successor is chosen and followed")
    assert watched.set.sync_source(C) == B
    assert watched.set.sync_source(B) == A


class Killer:
    """Notes whose processes it was told to end."""

    def __init__(self):
        self.killed = []

    def kill(self, member):
        self.killed.append(member)


def test_a_former_primary_that_stays_silent_is_fenced_only_where_that_is_wanted():
    killer = Killer()
    for fence, killed in ((None, []), (1e-6, [A])):
        watched = Watched(GuardRules(fence_seconds=fence), killer)
        watched.set.pause(A)
        watched.guard.look()
        watched.guard.look()
        assert killer.killed == killed


def test_one_odd_answer_does_not_end_it(watched):
    import threading

    stop = threading.Event()
    looks = []

    def trouble():
        looks.append(1)
        if len(looks) == 1:
            raise RuntimeError("odd")
        stop.set()
        return False

    watched.set.is_switched_off = trouble
    watched.guard.run(stop)
    assert watched.told[-1] == ("trouble", "RuntimeError: odd")
