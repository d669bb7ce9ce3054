"""Looking at real replica sets, and handing them over to another primary."""

import time

import pytest

from prodcore.app.cluster import cluster_elections, cluster_status, lint_cluster, open_switchover
from prodcore.app.drills import open_drill
from prodcore.app.wiring import open_inspectors
from prodcore.errors import ConfigError, MemberNotFound, Unavailable
from prodcore.replicaset.diagnostic import Severity
from prodcore.replicaset.status import Health
from prodcore.replicaset.switchover import switch_over
from prodcore.settings import load_settings
from tests.support.replica_sets import wait_until_healthy


@pytest.fixture
def operator(cluster, tmp_path):
    settings = load_settings(**cluster.addresses("operator"), state_dir=tmp_path)
    wait_until_healthy(settings)
    return settings


def inspect(settings, name):
    return next(i for i in open_inspectors(settings) if i.name == name).inspect()


def wait_until_back(operator, cluster, name, member):
    """As a secondary, or as the primary: it has heard of none meanwhile, and the others vote for a fresh one."""
    with open_drill(operator, cluster.members) as parts:
        watch = parts.sets[name].watch()
        try:
            seen = watch.wait_for_role(member, ("SECONDARY", "PRIMARY"), 0.0, time.monotonic() + 40)
            assert seen, watch.sightings()
        finally:
            watch.close()


def test_every_member_of_every_set_is_asked(operator, cluster):
    seen = cluster_status(operator)
    assert {s.name for s in seen.sets} == {"rsA", "rsB", "rsU"}
    assert {m.address for s in seen.sets for m in s.members} == set(cluster.members.addresses())
    assert all(s.health is Health.HEALTHY for s in seen.sets), seen.problems
    assert seen.map_version == 1
    assert all(m.version and m.free_disk_bytes for s in seen.sets for m in s.members)


def test_a_hung_member_is_given_up_and_called_silent(operator, cluster):
    victim = next(m.address for m in inspect(operator, "rsB").members if m.role == "SECONDARY")
    cluster.members.pause(victim)
    try:
        status = inspect(operator, "rsB")
        assert status.member(victim).role == "UNRESPONSIVE"
        assert f"rsB: {victim} is UNRESPONSIVE: no answer in time" in status.problems
    finally:
        cluster.members.resume(victim)
        wait_until_back(operator, cluster, "rsB", victim)


def test_a_wrong_password_is_said_to_be_one(operator):
    uri = operator.db1_url.get_secret_value()
    password = uri.split("//")[1].split("@")[0].split(":")[1]
    wrong = operator.changed(db1_url=type(operator.db1_url)(uri.replace(password, "wrong")))
    with pytest.raises(ConfigError, match="refuses the login"):
        open_inspectors(wrong)[0].inspect()


@pytest.mark.parametrize("name", ["rsA", "rsU"])
def test_a_switchover_makes_the_chosen_one_primary(operator, name, raw_clients):
    wait_until_healthy(operator)
    before = inspect(operator, name)
    chosen = [m.address for m in before.members if m.role == "SECONDARY"][-1]
    with open_switchover(operator, name) as parts:
        report = switch_over(parts, chosen)
    wait_until_healthy(operator)
    after = inspect(operator, name)
    assert (report.old_primary, report.new_primary) == (before.primary.address, chosen)
    assert after.primary.address == chosen
    assert after.member(before.primary.address).role == "SECONDARY"
    assert report.write_gap_seconds > 0
    assert raw_clients["rsA"]["products_db"]["drill_records"].count_documents({}) == 0


def test_a_switchover_is_refused_before_anything_changes(operator, cluster):
    before = inspect(operator, "rsA")
    with open_switchover(operator, "rsA") as parts:
        with pytest.raises(MemberNotFound):
            switch_over(parts, "h:1")
        with pytest.raises(Unavailable, match="is already the primary"):
            switch_over(parts, before.primary.address)
    victim = next(m.address for m in before.members if m.role == "SECONDARY")
    cluster.members.kill(victim)
    try:
        with (
            open_switchover(operator, "rsA") as parts,
            pytest.raises(Unavailable, match="rsA is not healthy"),
        ):
            switch_over(parts)
        assert inspect(operator, "rsA").primary.address == before.primary.address
    finally:
        cluster.members.start(victim)
        wait_until_back(operator, cluster, "rsA", victim)


def test_elections_are_told_by_who_won_them_and_why(operator):
    with open_switchover(operator, "rsB") as parts:
        report = switch_over(parts)
    (newest, *_), names = cluster_elections(operator, "rsB")
    assert (newest.term, newest.new_primary) == (report.term, report.new_primary)
    assert newest.old_primary in ("", report.old_primary)
    assert newest.reason == "asked to run for election"
    assert names[newest.new_primary].startswith("rsB-")


def test_lint_finds_what_is_risky_about_a_set_on_one_machine(operator, cluster):
    found = lint_cluster(operator, cluster.members)
    codes = {f.code for f in found}
    assert {"one_host", "old_version", "does_not_restart"} <= codes
    assert {f.subject for f in found if f.code == "does_not_restart"} == {m.name for m in cluster.plan.members}
    assert not [f for f in found if f.severity is Severity.PROBLEM], "a new installation has none"
    assert not codes & {"no_auth", "open_binding", "zlib", "even_voters", "write_concern"}
