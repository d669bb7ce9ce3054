"""Reading real members' answers, captured from a mongod 6.0.5 set in the situation that each file is named after."""

import copy
from datetime import timedelta
from pathlib import Path

import pytest
from bson import json_util

from prodcore.app.drills import stop_objections
from prodcore.errors import MemberNotFound
from prodcore.replicaset.status import Health, MemberAnswers, read_set
from prodcore.replicaset.switchover import choose_successor

DOCUMENTS = Path(__file__).parents[1] / "data" / "replica_set_documents"
SITUATIONS = sorted(path.stem for path in DOCUMENTS.glob("*.json"))


def captured(situation):
    options = json_util.JSONOptions(tz_aware=True)
    return json_util.loads((DOCUMENTS / f"{situation}.json").read_text(), json_options=options)


def read(situation, change=lambda _documents: None):
    documents = copy.deepcopy(captured(situation))
    change(documents)
    return read_set("rsA", [MemberAnswers(**document) for document in documents])


def primary_in(documents):
    return next(d for d in documents if d["status"].get("myState") == 1)


def secondaries_in(documents):
    return [d for d in documents if d["status"].get("myState") == 2]


def test_a_healthy_set_has_nothing_to_say():
    status = read("healthy")
    assert (status.health, status.problems) == (Health.HEALTHY, ())
    assert sorted(m.role for m in status.members) == ["PRIMARY", "SECONDARY", "SECONDARY"]
    assert status.majority == 2
    assert status.election_timeout_ms == 1000


def test_a_member_tells_its_figures():
    status = read("healthy")
    primary = status.primary
    secondary = next(m for m in status.members if m.role == "SECONDARY")
    assert (primary.version, primary.term) == ("6.0.5", 1)
    assert primary.uptime_seconds > 0
    assert primary.oplog_window_seconds > 0
    assert primary.free_disk_bytes > 0
    assert primary.sync_source == ""
    assert secondary.sync_source in {m.address for m in status.members} - {secondary.address}
    assert {m.believed_primary for m in status.members} == {primary.address}


@pytest.mark.parametrize(("situation", "role", "why"), [
    ("secondary_killed", "DOWN", "connection refused"),
    ("secondary_silent", "UNRESPONSIVE", "no answer in time"),
])  # fmt: skip
def test_a_missing_secondary_degrades_the_set(situation, role, why):
    status = read(situation)
    [missing] = [m for m in status.members if not m.answers]
    assert status.health is Health.DEGRADED
    assert status.problems == (f"rsA: {missing.address} is {role}: {why}",)
    assert missing.last_applied is not None, "the others know how far it was"


def test_a_set_between_two_primaries_takes_no_writes():
    status = read("primary_just_killed")
    assert status.health is Health.DOWN
    assert status.problems[0] == "rsA: there is no primary, so writes are not possible"


def test_a_set_that_elected_a_new_primary_is_degraded_until_the_old_one_is_back():
    status = read("primary_killed_new_one_elected")
    assert status.health is Health.DEGRADED
    assert status.primary is not None


def test_one_member_of_three_is_no_majority():
    status = read("majority_lost")
    assert status.health is Health.DOWN
    assert status.primary is None


def test_a_primary_that_has_not_yet_noticed_its_lost_majority_takes_no_writes_either():
    def cut_off(documents):
        for document in secondaries_in(documents):
            document.update(error="connection refused", status={}, config={}, server={})

    status = read("healthy", cut_off)
    assert status.health is Health.DOWN
    assert "no majority: 1 of 3 votes can be reached, 2 are needed" in status.problems[0]


def test_nobody_answers():
    status = read("all_killed")
    assert status.health is Health.DOWN
    assert status.problems[0] == "rsA: no member is responding"


def test_lag_is_counted_behind_the_primary():
    def delay(documents):
        late = secondaries_in(documents)[0]
        me = next(m for m in late["status"]["members"] if m.get("self"))
        me["lastAppliedWallTime"] -= timedelta(seconds=42)

    status = read("healthy", delay)
    [late] = [m for m in status.members if status.lag_seconds(m) == pytest.approx(42, abs=0.5)]
    assert status.problems == (f"rsA: {late.address} is {status.lag_seconds(late):.1f} s behind the primary",)


def test_two_primaries_are_told_apart_by_their_terms():
    def resurrect(documents):
        old = secondaries_in(documents)[0]
        me = next(m for m in old["status"]["members"] if m.get("self"))
        me.update(state=1, stateStr="PRIMARY")
        old["status"]["term"] = 0

    status = read("healthy", resurrect)
    assert status.primary.term == 1
    assert any("still believes it is primary in term 0" in line for line in status.problems)


def test_a_view_that_differs_from_the_others_is_said():
    def misbelieve(documents):
        for member in secondaries_in(documents)[0]["status"]["members"]:
            if member["stateStr"] == "PRIMARY":
                member["stateStr"] = "SECONDARY"

    [line] = read("healthy", misbelieve).problems
    assert "believes there is no primary" in line


def test_a_member_that_others_cannot_reach_although_we_can_is_said():
    def cut(documents):
        seen = next(m for m in primary_in(documents)["status"]["members"] if m["stateStr"] == "SECONDARY")
        seen.update(health=0.0, stateStr="(not reachable/healthy)")

    [line] = read("healthy", cut).problems
    assert "cannot reach" in line
    assert "although it responds from here" in line


def test_members_with_different_configurations_are_said():
    def fork(documents):
        secondaries_in(documents)[0]["config"]["version"] = 7

    [line] = read("healthy", fork).problems
    assert "the members hold different configurations" in line


def test_an_address_that_is_no_member_is_said():
    def rename(documents):
        documents.append({"address": "127.0.0.1:1", "error": "connection refused"})

    assert read("healthy", rename).problems == (
        "rsA: 127.0.0.1:1 is in the connection string but not a member of the set",
    )


def test_a_recovering_member_is_said():
    def recover(documents):
        me = next(m for m in secondaries_in(documents)[0]["status"]["members"] if m.get("self"))
        me.update(state=3, stateStr="RECOVERING")

    assert any(line.endswith("is RECOVERING") for line in read("healthy", recover).problems)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_captured_situation_can_be_read(situation):
    status = read(situation)
    assert len(status.members) == 3
    assert bool(status.problems) == (status.health is not Health.HEALTHY)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_an_unknown_member_is_not_found_whatever_the_sets_state(situation):
    with pytest.raises(MemberNotFound, match="rsA-9 is not a member of rsA; there are rsA-1, rsA-2, rsA-3"):
        choose_successor(read(situation), "rsA-9")


def test_the_first_secondary_takes_over_also_when_the_other_one_is_a_moment_ahead():
    def behind(documents):
        first = min(secondaries_in(documents), key=lambda d: d["address"])
        me = next(m for m in first["status"]["members"] if m.get("self"))
        me["lastAppliedWallTime"] -= timedelta(milliseconds=900)

    status = read("healthy", behind)
    first, other = [m for m in status.members if m.role == "SECONDARY"]
    assert status.lag_seconds(first) > status.lag_seconds(other)
    assert choose_successor(status) == first


def test_a_member_is_stopped_only_where_the_set_keeps_its_majority():
    whole = read("healthy")
    assert stop_objections(whole, whole.primary.address) == []
    with pytest.raises(MemberNotFound):
        stop_objections(whole, "rsA-9")
    without = read("secondary_killed")
    down, *_ = [m for m in without.members if not m.answers]
    assert stop_objections(without, down.address) == []
    assert "majority_at_stake" in {line.code for line in stop_objections(without, without.primary.address)}
