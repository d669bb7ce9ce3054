"""The campaigns of failover in their shortest form: the same code, with a guard on duty in a system of its own."""

import pytest

from campaigns import gaps, guard_faults, shard_outage, soak
from campaigns import kills as campaign
from campaigns.system import SETS, system
from campaigns.witness import Witness
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def guarded():
    with system(guard=True, services=True) as of:
        gaps.wait_for_guard(of)
        yield of


@pytest.fixture(scope="module")
def token(guarded):
    return guarded.log_in()


def test_a_random_member_of_every_set_is_killed_and_a_witness_agrees_with_the_drill(guarded, token, capsys):
    report, witness, wrong = campaign.campaign(guarded, token, rounds=1)
    assert wrong == []
    assert {r["set"] for r in report["rounds"]} == set(SETS)
    assert (report["guarded"], report["verdict"]["failed"], report["verdict"]["lost"]) == (True, 0, 0)
    assert len(witness.expected) > 20
    campaign.show(report, witness)
    assert "| lost, duplicated, wrong | 0, 0, 0 |" in capsys.readouterr().out


def test_the_witness_finds_what_is_not_as_it_was_acknowledged(guarded, token):
    with Witness(guarded, token) as witness:
        wait_until(lambda: len(witness.expected) > 8, "some products", 30)
    assert witness.judge() == []
    product, (shard, name, stock, version) = next(iter(witness.expected.items()))
    for other in ((shard, name, stock + 1, version), (shard, name, stock, version + 1), (shard, "gone", 0, 1)):
        witness.expected[product] = other
        assert len(witness.judge()) == 1
    elsewhere = next(s for s in ("rsA", "rsB") if s != shard)
    witness.expected[product] = (elsewhere, name, stock, version)
    assert len(witness.judge()) == 4, "no member of the other set has it, and it is where it should not be"
    del witness.expected[product]
    assert len(witness.judge()) == 1


def test_the_guards_gap_is_measured_beside_others(guarded, capsys):
    bench = gaps.Bench(rounds=1, idle_seconds=1.0)
    found = {gaps.GUARDED: bench.measure(guarded, gaps.GUARDED, ("kill", "switchover"))}
    found[gaps.GUARDED].merge(bench.measure(guarded, gaps.GUARDED, ("kill",), idle_before=True))
    assert set(found[gaps.GUARDED].seconds) == {"kill", "switchover", "kill, idle before"}
    assert (found[gaps.GUARDED].broken, found[gaps.GUARDED].failed) == (0, 0)
    gaps.show(found, 1)
    assert "| lost, doubled or wrong | 0 |" in capsys.readouterr().out


def test_a_gap_that_is_too_long_and_a_write_that_is_lost_are_told():
    late = gaps.Gaps({"kill": [0.2, 0.4], "stop": [0.1], "pause, idle before": [3.5]}, broken=1)
    assert gaps.missed({gaps.GUARDED: late}) == [
        "ours and guard, kill: 0.400 s, asked are 0.3 s",
        "ours and guard, pause, idle before: 3.500 s, asked are 3 s",
        "ours and guard: 1 writes lost, doubled or wrong",
    ]


def test_neither_busy_processors_nor_a_slow_network_bring_an_election(guarded, capsys):
    with soak.busy_processors():
        soaks = [soak.soak(guarded, "busy", 2.0)]
    with soak.slow_network(guarded, "--delay", "0.05", "--jitter", "0.05"):
        soaks.append(soak.soak(guarded, "slow", 4.0))
    assert all(s.is_quiet for s in soaks), soaks
    assert soaks[1].slowest > 0.2, "a write crosses the slow network four times"
    soak.show(soaks)
    assert "| busy | 2 s | 0 | 0 |" in capsys.readouterr().out


def test_a_guard_that_is_harmed_in_the_middle_of_a_failover_makes_it_no_worse(guarded, capsys):
    troubles = guard_faults.guard_faults(guarded, (0.01,), 1)
    absent = guard_faults.without_guard(guarded, 1)
    wrong = guard_faults.wrong(troubles, absent)
    assert [line for line in wrong if "without a guard" not in line] == [], "how long it took, only the campaign tells"
    guard_faults.show(troubles, absent)
    assert "| no guard at all | 1 |" in capsys.readouterr().out


def test_no_request_for_a_shard_fails_while_the_other_one_is_killed_and_hangs(guarded, token):
    run = shard_outage.outage(guarded, token, 2.0)
    assert run.wrong == []
    for phase, shard in ("before", "rsA"), ("killed", "rsA"), ("killed", "rsB"), ("hanging", "rsA"), ("hanging", "rsB"):
        assert run.seconds[phase, shard], f"nobody asked {shard} {phase}"
