"""The whole system on one machine: replica sets of three ``mongod`` each, and the services, under supervisord.

A throw-away cluster without services, for tests::

    from prodcore.local import LocalCluster, LocalPlan, find_free_ports

    cluster = LocalCluster(LocalPlan(tmp_path / "cluster", find_free_ports()))
    cluster.up()                                  # sets that take majority writes
    settings = load_settings(**cluster.addresses("operator"))   # or "web", "auth", "root"
    cluster.members.kill("127.0.0.1:…")           # a prodcore.processes.control.MemberControl
    cluster.down()                                # or destroy(), which removes the directory too

``LocalPlan(…, test_commands=True)`` makes the members accept fail points; ``services=services_for(ports, workers=1,
threads=8)`` adds authsvc and webapp. Keep the directory's path under 80 bytes: it holds a Unix socket.
"""

from prodcore.local.cluster import LocalCluster, open_cluster
from prodcore.local.plan import GUARD, LocalPlan, drill_runner, services_for
from prodcore.local.ports import LocalPorts, find_free_ports

__all__ = [
    "GUARD",
    "LocalCluster",
    "LocalPlan",
    "LocalPorts",
    "drill_runner",
    "find_free_ports",
    "open_cluster",
    "services_for",
]
