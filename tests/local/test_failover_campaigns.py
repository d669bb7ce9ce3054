"""One campaign of failover in its shortest form; ``make nightly`` has all of them, and whole."""

import pytest

from campaigns import gaps
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


def test_a_random_member_of_every_set_is_killed_and_a_witness_finds_all_that_was_acknowledged(guarded, token, capsys):
    """That both see the same gaps is for ``make nightly``, on a machine that has nothing else to do."""
    report, witness, wrong, _ = campaign.campaign(guarded, token, rounds=1)
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


def test_a_gap_that_is_too_long_and_a_write_that_is_lost_are_told():
    late = gaps.Gaps({"kill": [0.2, 0.4], "stop": [0.1], "pause, idle before": [3.5]}, broken=1)
    assert gaps.missed({gaps.GUARDED: late}) == [
        "ours and guard, kill: 0.400 s, asked are 0.3 s",
        "ours and guard, pause, idle before: 3.500 s, asked are 3 s",
        "ours and guard: 1 writes lost, doubled or wrong",
    ]
