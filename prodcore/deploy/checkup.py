"""The doctor's look into every container of a deployment, all at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from prodcore.deploy.layout import Host, Layout
from prodcore.deploy.reach import Sight, expected_listeners, expected_units, look_inside, ready_urls
from prodcore.doctor.check import Check, State
from prodcore.doctor.container import GROUP, judge_container
from prodcore.doctor.listening import parse_table
from prodcore.errors import ProdError
from prodcore.incus.client import Incus


@dataclass(frozen=True, slots=True)
class Checkup:
    """What was found, and the figures that are judged together with those of other places."""

    checks: list[Check] = field(default_factory=list)
    clock_offsets: dict[str, float] = field(default_factory=dict)
    """Seconds by container."""
    free_bytes: dict[str, int] = field(default_factory=dict)


def check_up(layout: Layout, incus: Incus) -> Checkup:
    """Look into all of them; one that cannot be looked into is a problem of its own."""
    found = Checkup()
    with ThreadPoolExecutor(len(layout.hosts)) as pool:
        looks = {
            host: pool.submit(
                look_inside, incus, host.name, urls=ready_urls(layout, host), units=expected_units(layout, host)
            )
            for host in layout.hosts
        }
    for host, look in looks.items():
        try:
            sight = look.result()
        except ProdError as error:
            found.checks.append(
                Check(GROUP, host.name, State.PROBLEM, error.message, error.hint or "prodctl deploy apply")
            )
            continue
        found.checks.extend(_judge(layout, host, sight))
        found.clock_offsets[host.name] = sight.clock_offset
        found.free_bytes[host.name] = sight.free_bytes
    found.checks.extend(_one_machine(layout))
    return found


def _judge(layout: Layout, host: Host, sight: Sight) -> Iterator[Check]:
    listening = [listener for table in sight.tables for listener in parse_table(table)]
    expected = expected_units(layout, host)
    yield from judge_container(host.name, listening, expected_listeners(layout, host), sight.units, expected)
    for answer in sight.urls.values():
        state = answer.fact("status")
        is_active = all(sight.units.get(unit) == "active" for unit in expected)
        if state != "ready" and (answer.status or is_active):  # that a unit is not active is said already
            text = f"its service is not ready, but {state or 'silent'}"
            yield Check(GROUP, host.name, State.PROBLEM, text, "prodctl deploy status, prodctl cluster status")


def _one_machine(layout: Layout) -> Iterator[Check]:
    """Containers that share a machine die together, whatever the layout of the sets."""
    targets = {host.target for host in layout.db_hosts}
    if len(targets) < 2 or "" in targets:
        text = "all containers are on one Incus host: nothing is within reach while that machine is down"
        yield Check(GROUP, "machine", State.NOTE, text, "an Incus cluster, and targets in deploy.toml")
