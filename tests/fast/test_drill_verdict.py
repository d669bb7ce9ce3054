"""The ledger held against what the members hold."""

from dataclasses import replace
from uuid import uuid4

from prodcore.drill.ledger import Attempt, Operation, RequestOutcome, State
from prodcore.drill.verdict import Found, judge

MEMBERS = ("a:1", "b:1", "c:1")
NEW, EDITED = State("tea", 0, 1, "rsA"), State("tea", 1, 2, "rsA")
MOVED = State("zumo", 1, 3, "rsB")
THERE = ("x:1", "y:1", "z:1")


class History:
    """The attempts on one record, told in order."""

    def __init__(self):
        self.id = uuid4()
        self.attempts = []

    def then(self, operation, state, outcome=RequestOutcome.ACKNOWLEDGED):
        at = float(len(self.attempts))
        self.attempts.append(Attempt("rsA", operation, self.id, state, at, at + 0.5, outcome))
        return self

    def created(self, outcome=RequestOutcome.ACKNOWLEDGED):
        return self.then(Operation.CREATE, NEW, outcome)

    def edited(self, outcome=RequestOutcome.ACKNOWLEDGED):
        return self.then(Operation.EDIT, EDITED, outcome)

    def moved(self, outcome=RequestOutcome.ACKNOWLEDGED):
        return self.then(Operation.MOVE, MOVED, outcome)

    def deleted(self, outcome=RequestOutcome.ACKNOWLEDGED):
        return self.then(Operation.DELETE, None, outcome)

    def held(self, *states, members=(*MEMBERS, *THERE)):
        """Judge it, with every one of ``members`` holding those of the states that belong to its set."""
        found = {
            name: {m: [Found(self.id, s) for s in states if s.set_name == name and m in members] for m in its_members}
            for name, its_members in (("rsA", MEMBERS), ("rsB", THERE))
        }
        return judge(self.attempts, found)


def test_what_was_acknowledged_and_is_on_every_member_is_well():
    verdict = History().created().edited().held(EDITED)
    assert (verdict.broken, verdict.failed, verdict.acknowledged) == (0, 0, 2)


def test_what_was_sent_again_is_told_and_is_no_failure():
    history = History().created().edited()
    history.attempts[1] = replace(history.attempts[1], retries=2)
    verdict = history.held(EDITED)
    assert (verdict.retries, verdict.as_dict()["retries"], verdict.failed) == (2, 2, 0)


def test_an_acknowledged_create_that_nobody_holds_is_lost():
    verdict = History().created().held()
    assert verdict.lost == 1
    assert "acknowledged, but missing on a:1, b:1, c:1" in verdict.examples[0]


def test_an_acknowledged_create_that_one_member_lacks_is_lost():
    assert History().created().held(NEW, members=("a:1", "b:1")).lost == 1


def test_a_record_that_holds_what_it_held_before_an_acknowledged_edit_is_wrong():
    assert History().created().edited().held(NEW).wrong == 1


def test_a_record_that_outlives_its_acknowledged_delete_means_a_lost_delete():
    assert History().created().deleted().held(NEW).lost == 1


def test_a_create_of_unknown_outcome_may_be_there_and_is_counted():
    verdict = History().created(RequestOutcome.UNKNOWN).held(NEW)
    assert (verdict.phantom, verdict.broken, verdict.unknown) == (1, 0, 1)


def test_a_create_of_unknown_outcome_may_be_missing():
    verdict = History().created(RequestOutcome.UNKNOWN).held()
    assert (verdict.phantom, verdict.broken) == (0, 0)


def test_an_edit_of_unknown_outcome_leaves_the_old_state_or_the_new_one():
    history = History().created().edited(RequestOutcome.UNKNOWN)
    assert history.held(NEW).broken == 0
    assert history.held(EDITED).phantom == 1
    assert history.held().lost == 1


def test_a_delete_of_unknown_outcome_leaves_the_record_or_nothing():
    history = History().created().deleted(RequestOutcome.UNKNOWN)
    assert history.held(NEW).broken == 0
    assert history.held().broken == 0


def test_what_was_refused_and_is_there_contradicts_the_refusal():
    assert History().created(RequestOutcome.REFUSED).held(NEW).contradicted == 1
    assert History().created().edited(RequestOutcome.REFUSED).held(EDITED).contradicted == 1


def test_a_record_that_was_renamed_to_another_set_is_there_and_only_there():
    history = History().created().edited().moved()
    verdict = history.held(MOVED)
    assert (verdict.broken, verdict.acknowledged, verdict.moved) == (0, 3, 1)
    assert history.held(EDITED, MOVED).duplicated == 1
    assert history.held(EDITED).wrong == 1
    assert history.held(replace(MOVED, set_name="rsA")).wrong == 1
    verdict = history.held()
    assert verdict.lost == 1
    assert "missing on x:1, y:1, z:1" in verdict.examples[0]


def test_a_record_that_one_member_of_its_new_set_lacks_is_lost():
    assert History().created().edited().moved().held(MOVED, members=THERE[:2]).lost == 1


def test_a_move_of_unknown_outcome_leaves_the_record_here_or_there_and_never_in_both():
    history = History().created().edited().moved(RequestOutcome.UNKNOWN)
    assert history.held(EDITED).broken == 0
    verdict = history.held(MOVED)
    assert (verdict.broken, verdict.phantom, verdict.moved) == (0, 1, 0)
    assert history.held(EDITED, MOVED).duplicated == 1
    assert history.held().lost == 1


def test_a_record_in_another_version_than_the_acknowledged_one_is_wrong():
    assert History().created().edited().held(replace(EDITED, version=3)).wrong == 1


def test_a_name_under_two_ids_is_duplicated():
    history = History().created()
    records = [Found(history.id, NEW), Found(uuid4(), NEW)]
    assert judge(history.attempts, {"rsA": dict.fromkeys(MEMBERS, records)}).duplicated == 1


def test_reads_are_counted_and_change_nothing():
    history = History().created().then(Operation.READ, None).then(Operation.READ, None, RequestOutcome.REFUSED)
    verdict = history.held(NEW)
    assert (verdict.broken, verdict.acknowledged, verdict.refused) == (0, 2, 1)
