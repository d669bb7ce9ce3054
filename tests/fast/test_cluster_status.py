"""Sets, services and shard map put together."""

from dataclasses import replace

import pytest

from prodcore.replicaset.cluster import ServiceStatus, judge_cluster
from prodcore.replicaset.status import Health, Member, SetStatus

READY = [ServiceStatus("webapp", "http://w", "ready"), ServiceStatus("authsvc", "http://a", "ready")]


def healthy_set(name, map_version=1):
    members = (Member(f"{name}:1", "PRIMARY", term=1, map_version=map_version),)
    return SetStatus(name, members, (), Health.HEALTHY, ())


SETS = [healthy_set("rsA"), healthy_set("rsB"), healthy_set("rsU")]


def test_all_well():
    seen = judge_cluster(SETS, READY, "rsU")
    assert (seen.health, seen.problems, seen.map_version) == (Health.HEALTHY, (), 1)


def test_one_degraded_set_degrades_the_cluster_with_its_reason():
    worse = replace(SETS[1], health=Health.DEGRADED, problems=("rsB: x:1 is DOWN",))
    seen = judge_cluster([SETS[0], worse, SETS[2]], READY, "rsU")
    assert (seen.health, seen.problems) == (Health.DEGRADED, ("rsB: x:1 is DOWN",))


def test_the_cluster_is_down_when_every_set_is():
    down = [replace(s, health=Health.DOWN, problems=(f"{s.name}: no member is responding",)) for s in SETS]
    assert judge_cluster(down, READY, "rsU").health is Health.DOWN


def test_a_service_that_is_down_degrades_the_cluster():
    services = [READY[0], ServiceStatus("authsvc", "http://a", "down", "connection refused")]
    seen = judge_cluster(SETS, services, "rsU")
    assert (seen.health, seen.problems) == (Health.DEGRADED, ("authsvc: down: connection refused",))


@pytest.mark.parametrize(("copy", "told"), [
    (2, "shard map: rsB holds a copy of version 2, the stored map is version 1"),
    (None, "shard map: rsB has no copy of it"),
])  # fmt: skip
def test_a_copy_of_another_map_version_is_said(copy, told):
    seen = judge_cluster([SETS[0], healthy_set("rsB", copy), SETS[2]], READY, "rsU")
    assert seen.problems == (told,)


def test_a_map_that_cannot_be_read_is_said():
    seen = judge_cluster([SETS[0], SETS[1], healthy_set("rsU", None)], READY, "rsU")
    assert (seen.map_version, seen.problems) == (None, ("shard map: cannot be read from rsU",))
