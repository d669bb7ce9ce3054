"""The status of a cluster in a terminal of 80 columns: nothing that one would type back is cut."""

import pytest

from prodcore.replicaset.cluster import ServiceStatus, judge_cluster
from prodcore.replicaset.status import Health, Member, MemberConfig, SetStatus
from prodctl.terminal.cluster_view import show_status, show_topology

ADDRESSES = ("10.10.10.121:27017", "10.10.10.122:27017", "10.10.10.123:27017")


def set_of(name):
    roles = ("PRIMARY", "SECONDARY", "UNRESPONSIVE")
    members = tuple(
        Member(
            address, role, f"{name}-{number}", sync_source=ADDRESSES[0] if role == "SECONDARY" else "", version="7.0.39"
        )
        for number, (address, role) in enumerate(zip(ADDRESSES, roles, strict=True), start=1)
    )
    return SetStatus(name, members, tuple(MemberConfig(a, 1, 1.0) for a in ADDRESSES), Health.DEGRADED, ())


@pytest.fixture
def seen():
    services = (ServiceStatus("webapp", "http://10.10.10.11:3000", "ready"),)
    return judge_cluster([set_of(name) for name in ("rsA", "rsB", "rsU")], services, "rsU")


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def test_the_table_fits_and_has_every_name_and_address_whole(seen, capsys):
    show_status(seen, "table")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    for name in ("rsA-1", "rsB-2", "rsU-3"):
        [row] = [line for line in lines if line.startswith(f"{name} ")]
        assert ADDRESSES[int(name[-1]) - 1] in row
    assert any("SECONDARY" in line and line.endswith("rsA-1") for line in lines), "a source by its name"


def test_the_topology_names_members_as_every_other_command_takes_them(seen, capsys):
    show_topology(seen)
    out = capsys.readouterr().out
    assert f"rsB-2  SECONDARY  {ADDRESSES[1]}" in out
    assert max(map(len, out.splitlines())) <= 80
