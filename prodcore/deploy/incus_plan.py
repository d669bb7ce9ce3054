"""What has to be done at Incus itself: the bridge, the profile, the containers. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from prodcore.deploy.change import Change
from prodcore.deploy.incus_wish import MARK, PROXY, SECRETS_MARK, instance_wish, network_wish, profile_wish
from prodcore.deploy.layout import Host, Layout
from prodcore.deploy.seen import Seen
from prodcore.errors import Conflict

Document = dict[str, Any]
_INCUS = "incus"
_RUNNING = "Running"


@dataclass(frozen=True, slots=True)
class InstancePlan:
    """One container: ``create``, or ``put`` what it shall be (None: as it is), and ``start``."""

    host: Host
    wish: Document
    create: bool
    put: Document | None
    start: bool


@dataclass(frozen=True, slots=True)
class IncusPlan:
    """Bodies of requests, None where nothing is to be done."""

    create_network: Document | None = None
    put_network: Document | None = None
    create_profile: Document | None = None
    put_profile: Document | None = None
    instances: tuple[InstancePlan, ...] = ()
    changes: tuple[Change, ...] = field(default=())


def plan_incus(layout: Layout, secrets_mark: str, seen: Seen) -> IncusPlan:
    """Compare. Raises Conflict when something is there that is not ours and stands in the way."""
    network, profile = network_wish(layout), profile_wish(layout)
    changes = list[Change]()
    create_network = put_network = put_profile = None
    if seen.network is None:
        _refuse_clustered(layout, seen)
        create_network = network
        changes.append(Change(_INCUS, "make", f"network {network['name']}", "it is missing"))
    elif seen.network["config"].get(MARK) == layout.deployment.name:
        put_network = _merged(seen.network, network, f"network {network['name']}", changes)
    else:
        _check_suits(seen.network, network)
    if seen.profile is None:
        changes.append(Change(_INCUS, "make", f"profile {profile['name']}", "it is missing"))
    else:
        _check_ours(layout, f"the profile {profile['name']}", seen.profile["config"])
        put_profile = _merged(seen.profile, profile, f"profile {profile['name']}", changes)
    instances = [_plan_instance(layout, host, secrets_mark, seen, changes) for host in layout.hosts]
    return IncusPlan(
        create_network,
        put_network,
        profile if seen.profile is None else None,
        put_profile,
        tuple(instances),
        tuple(changes),
    )


def _plan_instance(layout: Layout, host: Host, secrets_mark: str, seen: Seen, changes: list[Change]) -> InstancePlan:
    wish = instance_wish(layout, host, secrets_mark)
    there = seen.instances.get(host.name)
    if there is None:
        changes.append(Change(host.name, "make", f"container at {host.address}", "it is missing"))
        return InstancePlan(host, wish, create=True, put=None, start=True)
    _check_ours(layout, f"the container {host.name}", there["config"])
    if there["config"].get(SECRETS_MARK) != secrets_mark:
        raise Conflict(
            f"{host.name} was made with other secrets than those in this machine's state directory",
            hint=f"copy deploy/{layout.deployment.name}/ from the state directory of whoever made it",
        )
    put = _instance_put(host, wish, there, changes)
    start = there["status"] != _RUNNING
    if start:
        changes.append(Change(host.name, "start", "container", f"it is {there['status'].lower()}"))
    return InstancePlan(host, wish, create=False, put=put, start=start)


def _instance_put(host: Host, wish: Document, there: Document, changes: list[Change]) -> Document | None:
    before = len(changes)
    devices = dict(there["devices"])
    for name, device in wish["devices"].items():
        if devices.get(name) != device:
            reason = "it differs" if name in devices else "it is missing"
            changes.append(Change(host.name, "mend" if name in devices else "add", f"device {name}", reason))
            devices[name] = device
    if PROXY in devices and PROXY not in wish["devices"]:
        changes.append(Change(host.name, "remove", f"device {PROXY}", "it is not wanted"))
        del devices[PROXY]
    if there["profiles"] != wish["profiles"]:
        changes.append(Change(host.name, "mend", "profiles", f"they are {', '.join(there['profiles']) or 'none'}"))
    if len(changes) == before:
        return None
    return settings_of(there | {"devices": devices, "profiles": wish["profiles"]})


def settings_of(instance: Document) -> Document:
    """What a PUT of an instance takes of what a GET gives."""
    return {key: instance[key] for key in ("architecture", "config", "description", "ephemeral", "devices", "profiles")}


def _merged(there: Document, wish: Document, what: str, changes: list[Change]) -> Document | None:
    """What is there with what is wanted put over it; None when it is the same."""
    new: Document = {key: there.get(key, {}) | wish[key] for key in ("config", "devices") if key in wish}
    differing = [
        f"{key}.{name}" for key, part in new.items() for name in part if part[name] != there.get(key, {}).get(name)
    ]
    if not differing:
        return None
    changes.append(Change(_INCUS, "mend", what, f"{', '.join(differing)} differs"))
    return {"description": there.get("description", ""), **new}


def foreign_owner(config: Mapping[str, str]) -> str:
    """Whose something is that is not ours, for people."""
    return f"the deployment {config[MARK]}" if MARK in config else "nobody that prodctl knows"


def _check_ours(layout: Layout, what: str, config: Mapping[str, str]) -> None:
    if config.get(MARK) != layout.deployment.name:
        raise Conflict(
            f"{what} belongs to {foreign_owner(config)}: it is left alone",
            hint="choose another name in deploy.toml",
        )


def _check_suits(there: Document, wish: Document) -> None:
    """A bridge of somebody else is used as it is, if it is the one that was described."""
    found = there["config"].get("ipv4.address")
    if there["type"] != "bridge" or found != wish["config"]["ipv4.address"]:
        raise Conflict(
            f"the network {wish['name']} belongs to {foreign_owner(there['config'])}, and is a {there['type']} at "
            f"{found or 'no address'}, not {wish['config']['ipv4.address']}: it is left alone",
            hint="choose another incus.bridge or incus.subnet in deploy.toml",
        )


def _refuse_clustered(layout: Layout, seen: Seen) -> None:
    if seen.is_clustered:
        bridge = layout.deployment.incus.bridge
        raise Conflict(
            f"this is an Incus cluster without a network {bridge}: one that spans its members must be there first",
            hint="make it with incus network create, for each member as for the kind of network you have",
        )


def targets(layout: Layout) -> Iterator[str]:
    """The members of an Incus cluster that the description names."""
    yield from {host.target for host in layout.hosts if host.target}
