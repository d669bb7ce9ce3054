"""The Incus objects of a deployment, as its API writes them. Pure."""

from __future__ import annotations

from typing import Any

from prodcore.deploy.layout import Host, Layout, bridge_address

Document = dict[str, Any]

MARK = "user.prodctl.deployment"
"""Carried by everything that we have made; what has another value, or none, is left alone."""
SECRETS_MARK = "user.prodctl.secrets"
"""The fingerprint of the secrets that a container was made with."""
PROXY = "prodctl-proxy"
NIC = "eth0"


def network_wish(layout: Layout) -> Document:
    """The bridge."""
    incus = layout.deployment.incus
    return {
        "name": incus.bridge,
        "type": "bridge",
        "config": {
            "ipv4.address": f"{bridge_address(layout.deployment)}/{incus.subnet.prefixlen}",
            "ipv4.nat": str(incus.nat).lower(),
            "ipv6.address": "none",
            MARK: layout.deployment.name,
        },
    }


def profile_wish(layout: Layout) -> Document:
    """What all containers share: their disk, and that they start with the machine."""
    return {
        "name": layout.deployment.name,
        "config": {"boot.autostart": "true", MARK: layout.deployment.name},
        "devices": {"root": {"type": "disk", "path": "/", "pool": layout.deployment.incus.pool}},
    }


def instance_wish(layout: Layout, host: Host, secrets_mark: str) -> Document:
    """One container: marks, its network card with a fixed address, perhaps a proxy."""
    deployment = layout.deployment
    nic = {"type": "nic", "name": NIC, "network": deployment.incus.bridge, "ipv4.address": host.address}
    return {
        "config": {MARK: deployment.name, SECRETS_MARK: secrets_mark},
        "devices": {NIC: nic, **_proxy(layout, host)},
        "profiles": [deployment.name],
    }


def _proxy(layout: Layout, host: Host) -> Document:
    table = {"web": layout.deployment.web, "auth": layout.deployment.auth}.get(host.role)
    if table is None or not table.proxy:
        return {}
    connect = f"tcp:{host.address}:{table.port}"
    return {PROXY: {"type": "proxy", "listen": f"tcp:{table.proxy}", "connect": connect, "bind": "host"}}
