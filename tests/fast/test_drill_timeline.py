"""Gaps and percentiles."""

from uuid import uuid4

import pytest

from prodcore.drill.ledger import Attempt, Operation, RequestOutcome, latencies, longest_gap, percentiles


def write(begun, ended, outcome=RequestOutcome.ACKNOWLEDGED):
    return Attempt("rsA", Operation.CREATE, uuid4(), None, begun, ended, outcome)


def test_the_gap_is_the_longest_time_between_two_acknowledgements():
    gap = longest_gap([write(0, 1), write(1, 2), write(2, 5), write(5, 6)], start=0.5, end=6)
    assert (gap.start, gap.end, gap.seconds) == (2, 5, 3)


def test_the_gap_counts_from_the_last_acknowledgement_before_the_fault():
    assert longest_gap([write(0, 1), write(1, 4)], start=2, end=4).seconds == 3


def test_a_gap_that_nothing_ended_lasts_until_the_end():
    assert longest_gap([write(0, 1)], start=2, end=9).seconds == 8


def test_what_was_not_acknowledged_ends_no_gap():
    attempts = [write(0, 1), write(1, 2, RequestOutcome.UNKNOWN), write(1, 2, RequestOutcome.REFUSED), write(2, 4)]
    assert longest_gap(attempts, start=0, end=4).seconds == 3


def test_gaps_before_the_fault_do_not_count():
    assert longest_gap([write(0, 1), write(1, 9), write(9, 10), write(10, 11)], start=9.5, end=11).seconds == 1


def test_no_acknowledgement_at_all_is_no_gap_but_nothing():
    assert longest_gap([], start=0, end=4) is None


def test_percentiles_are_nearest_rank():
    values = percentiles(float(n) for n in range(1, 101))
    assert (values.count, values.p50, values.p95, values.p99, values.max) == (100, 50, 95, 99, 100)


def test_percentiles_of_nothing_are_empty():
    assert percentiles([]).as_dict() == {"count": 0, "p50": None, "p95": None, "p99": None, "max": None}


def test_a_blocked_client_counts_for_the_requests_it_could_not_make():
    assert latencies([write(0, 2)], 0, 9, interval=0.5) == pytest.approx([2.0, 1.5, 1.0, 0.5])


def test_a_quick_request_counts_once():
    assert latencies([write(0, 0.1)], 0, 9, interval=0.5) == pytest.approx([0.1])
