"""Each risk is found where it is, with its fix, and nowhere else."""

import pytest

from prodcore.replicaset.diagnostic import Severity
from prodcore.replicaset.lint import MemberSetup, lint_set
from prodcore.replicaset.status import Health, Member, MemberConfig, SetStatus

GOOD_OPTIONS = {
    "security": {"keyFile": "/etc/keyfile"},
    "net": {"bindIp": "127.0.0.1,10.10.10.12", "compression": {"compressors": "snappy,zstd"}},
    "replication": {"oplogSizeMB": 2048},
}
GOOD_CONCERN = {"w": "majority"}
HOSTS = ("a:27017", "b:27017", "c:27017")


def codes(*, options=(), concern=GOOD_CONCERN, hosts=HOSTS, votes=1, version="7.0.39", config=()):
    members = tuple(Member(address, "SECONDARY", version=version) for address in hosts)
    configured = tuple(MemberConfig(address, votes, 1.0) for address in hosts)
    status = SetStatus("rsA", members, configured, Health.HEALTHY, ())
    found = lint_set(status, [MemberSetup(hosts[0], {**GOOD_OPTIONS, **dict(options)}, concern)], dict(config))
    assert all(f.subject and f.text and f.fix for f in found)
    return {f.code for f in found}


def test_a_good_set_has_no_risk():
    assert codes() == set()


@pytest.mark.parametrize(("code", "how"), [
    ("no_auth", {"options": {"security": {}}}),
    ("open_binding", {"options": {"net": {**GOOD_OPTIONS["net"], "bindIpAll": True}}}),
    ("open_binding", {"options": {"net": {**GOOD_OPTIONS["net"], "bindIp": "127.0.0.1,0.0.0.0"}}}),
    ("zlib", {"options": {"net": {"bindIp": "127.0.0.1"}}}),
    ("small_oplog", {"options": {"replication": {"oplogSizeMB": 64}}}),
    ("write_concern", {"concern": {"w": 1}}),
    ("one_host", {"hosts": ("a:1", "a:2", "a:3")}),
    ("even_voters", {"hosts": (*HOSTS, "d:27017")}),
    ("old_version", {"version": "6.0.5"}),
    ("old_version", {"version": "7.0.38"}),
    ("majority_unjournaled", {"config": {"writeConcernMajorityJournalDefault": False}}),
])  # fmt: skip
def test_one_thing_that_is_risky_is_the_only_one_found(code, how):
    assert codes(**how) == {code}


def test_two_members_are_few_and_may_tie():
    assert codes(hosts=HOSTS[:2]) == {"few_members", "even_voters"}


@pytest.mark.parametrize(("address", "severity"), [
    ("127.0.0.1:27017", Severity.WARNING),
    ("[::1]:27017", Severity.WARNING),
    ("10.10.10.12:27017", Severity.PROBLEM),
    ("db1:27017", Severity.PROBLEM),
])  # fmt: skip
def test_known_security_holes_matter_more_where_others_can_reach_them(address, severity):
    status = SetStatus("rsA", (Member(address, "PRIMARY", "rsA-1", version="6.0.5"),), (), Health.HEALTHY, ())
    [found] = [d for d in lint_set(status, (), {}) if d.code == "old_version"]
    assert (found.subject, found.severity) == ("rsA-1", severity)


def test_members_on_one_machine_are_a_note_where_it_is_this_one_and_a_warning_elsewhere():
    for host, severity in (("127.0.0.1", Severity.NOTE), ("10.10.10.12", Severity.WARNING)):
        config = tuple(MemberConfig(f"{host}:{n}", 1, 1.0) for n in (1, 2, 3))
        [found] = lint_set(SetStatus("rsA", (), config, Health.HEALTHY, ()), (), {})
        assert (found.code, found.severity) == ("one_host", severity)
