"""The system that a bench measures: made from nothing, logged in to, and removed again; and what its programs cost."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

from bench.words import PASSWORD
from prodcore.app.wiring import prepare_cluster
from prodcore.local import LocalCluster, LocalPlan, find_free_ports, services_for
from prodcore.local.plan import GUARD, drill_runner
from prodcore.local.render import MARKER_VARIABLE
from prodcore.settings import load_settings


@dataclass(frozen=True)
class System:
    """A running system; ``environment`` is that of a command of its first admin."""

    cluster: LocalCluster
    url: str
    directory: Path
    environment: dict[str, str]


@contextmanager
def running_system(*, daemons: bool = False) -> Iterator[System]:
    """The system as ``prodctl local up`` starts it, on free ports; guard and drill runner only with ``daemons``."""
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        directory = Path(folder)
        home, ports = directory / "c", find_free_ports()
        also = (GUARD, drill_runner(home)) if daemons else ()
        cluster = LocalCluster(LocalPlan(home, ports, services_for(ports, workers=2, threads=8), also))
        try:
            cluster.up(when_writable=lambda: prepare_cluster(load_settings(**cluster.addresses("root"))))
            url = f"http://127.0.0.1:{ports.web}"
            yield System(cluster, url, directory, _logged_in(cluster, url, directory))
        finally:
            cluster.destroy()


def _logged_in(cluster: LocalCluster, url: str, directory: Path) -> dict[str, str]:
    body = {"code": cluster.setup_code(), "username": "bench", "password": PASSWORD}
    answer = requests.post(f"{url}/api/v1/setup", json=body, timeout=30)
    made = {"PRODCTL_URL": url, "PRODCTL_STATE_DIR": str(directory), "PRODCTL_TOKEN": answer.json()["access_token"]}
    return {"PATH": os.environ["PATH"], **made}


_MARKS = {
    "mongod": "members",
    "serve webapp": "webapp",
    "serve authsvc": "authsvc",
    "cluster guard": "guard",
    "failover-test serve": "drill runner",
    "supervisord": "supervisord",
}
"""A program by what stands in its command line. Workers are children of the program, under its own command line or
that of ``multiprocessing``."""


def processor_seconds(cluster: LocalCluster) -> Counter[str]:
    """What the programs of a system have taken until now, children that have ended included."""
    directory = cluster.plan.directory
    spent: Counter[str] = Counter()
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER_VARIABLE) == str(directory):
                family = [process, *process.parents()]
                lines = [" ".join(one.cmdline()) for one in family]
                name = next((name for line in lines for mark, name in _MARKS.items() if mark in line), "")
                times = process.cpu_times()
                spent[name] += times.user + times.system + times.children_user + times.children_system
        except psutil.Error:
            continue  # it has just ended
    del spent[""]
    return spent


def load() -> str:
    """How busy the machine is: one sentence for the head of a report."""
    one, five, _fifteen = os.getloadavg()
    busy = "" if five < (os.cpu_count() or 1) / 2 else ": not idle, so read ratios and processor time"
    return f"load average {one:.1f}, {five:.1f} over five minutes{busy}"
