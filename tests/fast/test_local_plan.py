"""What a local cluster consists of, and the ports it uses."""

import socket
from dataclasses import fields, replace

import pytest

from prodcore.errors import ConfigError, Conflict, MemberNotFound, ShardNotFound
from prodcore.installation.secret import Secrets
from prodcore.installation.sets import set_urls
from prodcore.local.plan import GUARD, LocalPlan, services_for
from prodcore.local.ports import (
    LocalPorts,
    check_ports_free,
    find_free_ports,
    ports_from_settings,
    with_shard,
    without_shard,
)
from prodcore.settings import Settings


@pytest.fixture
def plan(tmp_path):
    ports = LocalPorts()
    return LocalPlan(tmp_path, ports, services_for(ports, workers=2, threads=8))


def test_nine_members_start_in_the_order_in_which_sets_get_their_majority(plan):
    assert [m.name for m in plan.members] == [
        "rsA-1", "rsB-1", "rsU-1", "rsA-2", "rsB-2", "rsU-2", "rsA-3", "rsB-3", "rsU-3",
    ]  # fmt: skip
    assert [m.address for m in plan.members_of("rsB")] == ["127.0.0.1:27027", "127.0.0.1:27028", "127.0.0.1:27029"]


def test_a_program_is_found_by_name_or_address(plan):
    assert plan.program("rsU-2") is plan.program("rsU-2") or plan.program("rsU-2") == plan.program("127.0.0.1:27038")
    assert plan.program("localhost:27038").name == "rsU-2"
    assert plan.program("webapp").url == "http://127.0.0.1:3000"


def test_the_guard_is_a_program_without_a_port(plan):
    assert "guard" not in plan.program_names
    guarded = replace(plan, daemons=(GUARD,))
    assert guarded.program_names == (*plan.program_names, "guard")
    assert guarded.program("guard").arguments == ("-m", "prodctl", "cluster", "guard")


def test_an_unknown_program_is_refused_with_the_names_there_are(plan):
    with pytest.raises(MemberNotFound) as refusal:
        plan.program("rsC-1")
    assert "rsA-1" in refusal.value.hint
    assert "webapp" in refusal.value.hint


def test_two_programs_never_share_a_port():
    with pytest.raises(ConfigError, match="port 27018 of rsB-1"):
        LocalPorts(rsb=27018)


def test_a_new_cluster_takes_its_ports_from_the_settings():
    settings = Settings(local_rsa_port=31017, local_web_port=31300)
    assert ports_from_settings(settings) == LocalPorts(rsa=31017, web=31300)


def test_an_existing_cluster_keeps_its_members_ports_and_may_move_its_services():
    stored = LocalPorts(rsa=31017, web=31300).as_dict()
    assert ports_from_settings(Settings(), stored) == LocalPorts(rsa=31017, web=31300)
    assert ports_from_settings(Settings(local_web_port=3333), stored).web == 3333


def test_members_of_an_existing_cluster_cannot_move():
    stored = LocalPorts(rsa=31017).as_dict()
    with pytest.raises(ConfigError, match="made with port 31017"):
        ports_from_settings(Settings(local_rsa_port=32017), stored)


def test_a_further_shard_has_members_a_setting_and_stored_ports_of_its_own(tmp_path):
    ports = LocalPorts(more_shards={"rsC": 27047})
    plan = LocalPlan(tmp_path, ports)
    assert plan.replica_sets == ("rsA", "rsB", "rsC", "rsU")
    assert [m.address for m in plan.members_of("rsC")] == ["127.0.0.1:27047", "127.0.0.1:27048", "127.0.0.1:27049"]
    assert LocalPorts.read(ports.as_dict()) == ports
    secrets = Secrets(**dict.fromkeys((f.name for f in fields(Secrets)), "s"))
    urls = set_urls(plan.set_members, secrets, "web")
    assert [(name, url.partition("replicaSet=")[2][:3]) for name, url in urls.items()] == [
        ("db1_url", "rsA"), ("db2_url", "rsB"), ("db4_url", "rsC"), ("db3_url", "rsU"),
    ]  # fmt: skip


def test_free_ports_are_free_and_distinct():
    check_ports_free(find_free_ports().by_program())


def test_every_taken_port_is_named_with_its_holder():
    import os

    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        taken = {"rsA-1": one.getsockname()[1], "webapp": other.getsockname()[1]}
        with pytest.raises(ConfigError) as refusal:
            check_ports_free(taken)
    assert [p.field for p in refusal.value.problems] == ["rsA-1", "webapp"]
    for port in taken.values():
        assert f"port {port} is taken by process {os.getpid()} (" in str(refusal.value)


def test_ports_of_an_added_shard_are_the_next_ones_or_those_that_are_given():
    ports = with_shard(LocalPorts(), "rsC", 27_057)
    assert list(ports.sets) == ["rsA", "rsB", "rsC", "rsU"]
    assert with_shard(ports, "rsD").sets["rsD"] >= 27_067
    assert LocalPorts.read(ports.as_dict()) == ports
    assert without_shard(ports, "rsC") == LocalPorts()


@pytest.mark.parametrize("name", ["c", "rs", "rsc", "rs1", "rsC-1", "rsÑ", "rsC" * 9, "RSC", ""])
def test_names_that_no_shard_can_have_are_refused(name):
    with pytest.raises(ConfigError, match="is no name for a shard"):
        with_shard(LocalPorts(), name)


@pytest.mark.parametrize("name", ["rsA", "rsU", "rsC"])
def test_a_name_that_there_is_makes_no_second_set(name):
    with pytest.raises(Conflict, match=f"there is a set {name} already"):
        with_shard(LocalPorts(more_shards={"rsC": 27_047}), name)


def test_ports_that_another_program_has_are_refused_for_an_added_shard():
    with pytest.raises(ConfigError, match="port 27028 of rsC-1 is also the port"):
        with_shard(LocalPorts(), "rsC", 27_028)


def test_only_an_added_shard_can_be_removed():
    with pytest.raises(Conflict, match="there from the beginning"):
        without_shard(LocalPorts(), "rsB")
    with pytest.raises(ShardNotFound, match="there is no shard rsZ"):
        without_shard(LocalPorts(), "rsZ")
