"""What the guard may do."""

from dataclasses import replace

from prodcore.guard.decision import (
    GuardRules,
    Pulse,
    Standing,
    believed_primary,
    candidates,
    choose_successor,
    is_silent,
    left_behind,
    may_elect,
)

A, B, C = "a:1", "b:1", "c:1"
MAJORITY = 2


def secondary(address, last_write=(1, 100, 1), sync_source=A, heard=None, **more):
    return Standing(address, False, True, last_write, more.get("electable", True), sync_source, heard)


def primary(address):
    return replace(secondary(address), is_primary=True, is_secondary=False)


def test_the_primary_of_the_newest_term_is_believed():
    pulses = {A: Pulse("PRIMARY", 1.0, "7f01"), B: Pulse("PRIMARY", 1.0, "7f02"), C: Pulse("SECONDARY", 1.0)}
    assert believed_primary(pulses) == B


def test_nobody_is_believed_where_nobody_claims():
    assert believed_primary({A: Pulse("Unknown", 1.0), B: Pulse("SECONDARY", 1.0)}) == ""


def test_silence_is_counted_from_the_last_answer():
    assert is_silent(Pulse("PRIMARY", 10.0), 11.6, GuardRules(silence_seconds=1.5))
    assert not is_silent(Pulse("PRIMARY", 10.0), 11.4, GuardRules(silence_seconds=1.5))


def test_an_election_is_asked_for_when_the_process_is_gone_and_a_majority_is_there():
    assert may_elect(A, [secondary(B), secondary(C)], MAJORITY, None) == ""


def test_never_without_a_majority():
    assert may_elect(A, [secondary(B)], MAJORITY, None) == "no majority can be reached"


def test_never_when_there_is_a_new_primary_already():
    assert may_elect(A, [primary(B), secondary(C)], MAJORITY, None) == "b:1 is already primary"


def test_never_when_a_witness_has_heard_of_the_silent_primary():
    witnesses = [secondary(B, heard=9.0), secondary(C, heard=0.3)]
    assert may_elect(A, witnesses, MAJORITY, 1.5) == "c:1 has learnt of a:1 meanwhile"


def test_never_when_a_witness_cannot_say():
    assert may_elect(A, [secondary(B, heard=9.0), secondary(C)], MAJORITY, 1.5) == "c:1 has learnt of a:1 meanwhile"


def test_a_primary_that_nobody_has_heard_of_may_be_replaced():
    assert may_elect(A, [secondary(B, heard=9.0), secondary(C, heard=2.0)], MAJORITY, 1.5) == ""


def test_the_freshest_stands_whoever_the_successor_is():
    assert candidates([secondary(B, (1, 100, 1)), secondary(C, (1, 100, 2))], successor=B) == [C, B]


def test_of_equals_the_successor_stands_first_and_else_the_first_in_the_sets_order():
    equals = [secondary(B), secondary(C)]
    assert candidates(equals, successor=C) == [C, B]
    assert candidates(equals, successor="") == [B, C]


def test_who_cannot_become_primary_does_not_stand():
    assert candidates([secondary(B, electable=False), secondary(C)], successor="") == [C]


def test_the_successor_is_the_one_that_a_step_down_would_choose_too():
    assert choose_successor([secondary(B, sync_source=C), secondary(C, sync_source=A)]) == (B, [C])
    assert choose_successor([secondary(B, sync_source=A), secondary(C, sync_source=B)]) == (B, [])


def test_who_cannot_become_primary_is_no_successor():
    standings = [secondary(B, electable=False), secondary(C), secondary("d:1", sync_source=C)]
    assert choose_successor(standings) == (C, [B])


def test_one_secondary_alone_needs_no_successor():
    assert choose_successor([secondary(B)]) == ("", [])


def test_who_lags_is_followed_by_nobody_and_left_in_peace():
    standings = [secondary(B, (1, 97, 9)), secondary(C, (1, 100, 1))]
    behind = left_behind(standings, (1, 98, 1))
    assert behind == {B}
    assert choose_successor(standings, behind) == ("", [])
    assert choose_successor([*standings, secondary("d:1")], behind) == (C, ["d:1"])


def test_who_lags_because_its_source_does_follows_the_primary_again():
    standings = [secondary(B, (1, 97, 9)), secondary(C, (1, 97, 9), sync_source=B)]
    assert choose_successor(standings, left_behind(standings, (1, 98, 1))) == ("", [C])


def test_who_has_all_that_the_primary_had_a_moment_ago_does_not_lag():
    assert left_behind([secondary(B, (1, 98, 1)), secondary(C, (2, 1, 1))], (1, 98, 1)) == frozenset()
