"""The members of a deployment: units of systemd in containers of Incus."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from prodcore.errors import IncusRefused, IncusUnavailable, MemberNotFound, Unavailable
from prodcore.incus import Incus

_STOP_SECONDS = 120.0  # mongod itself takes 15 s to let go of its clients, and may have much to write
_START_SECONDS = 120.0
_POLL_SECONDS = 0.1

# Every packet to or from the unit: what comes to its port, what leaves from it, and its own connections to others,
# which only its cgroup tells from those of the members beside it. Made from nothing, so that twice is like once.
_CUT = """
table inet {table}
delete table inet {table}
table inet {table} {{
  chain inward {{
    type filter hook input priority -300;
    tcp dport {port} drop
    socket cgroupv2 level {level} "{cgroup}" drop
  }}
  chain outward {{
    type filter hook output priority -300;
    tcp sport {port} drop
    socket cgroupv2 level {level} "{cgroup}" drop
  }}
}}
"""
_MEND = "table inet {table}\ndelete table inet {table}\n"


@dataclass(frozen=True, slots=True)
class MemberUnit:
    """Where one member runs."""

    instance: str
    """The container."""
    unit: str
    """The systemd unit in it, such as ``mongod@27017.service``."""


class IncusMembers:
    """A ``MemberControl`` over ``systemctl`` in containers; ``units`` gives the unit of each ``host:port``.

    A member that was stopped or killed stays so until it is started, whatever its unit's ``Restart=`` says: as long
    as a drill holds it down, nobody else may raise it.
    """

    def __init__(self, incus: Incus, units: Mapping[str, MemberUnit]) -> None:
        self._incus = incus
        self._units = dict(units)

    def addresses(self) -> tuple[str, ...]:
        """All members that can be controlled."""
        return tuple(self._units)

    def is_running(self, address: str) -> bool:
        """Whether the process exists; a paused one does. None does in a container that is stopped."""
        at = self._at(address)
        return self._host_runs(at) and self._show(at, "MainPID") != "0"

    def start(self, address: str) -> None:
        """Start the process, and its container where that is stopped; nothing happens when it runs."""
        at = self._at(address)
        if not self._host_runs(at):
            self._incus.run("start", "--", self._incus.at(at.instance), timeout_seconds=_START_SECONDS)
        self._wait_for_systemd(at)
        self._incus.execute(at.instance, ["systemctl", "reset-failed", at.unit])  # earlier crashes do not count
        self._systemctl(at, "start", seconds=_START_SECONDS)

    def stop(self, address: str) -> None:
        """SIGTERM, and SIGCONT for one that is paused. Returns when the process is gone."""
        self._systemctl(self._at(address), "stop", seconds=_STOP_SECONDS)

    def kill(self, address: str) -> None:
        """SIGKILL. Returns when the process is gone; systemd is told not to start it again."""
        at = self._at(address)
        self._systemctl(at, "kill", "--signal=KILL")
        self._systemctl(at, "stop", seconds=_STOP_SECONDS)

    def pause(self, address: str) -> None:
        """SIGSTOP."""
        self._systemctl(self._at(address), "kill", "--signal=STOP")

    def resume(self, address: str) -> None:
        """SIGCONT."""
        if self.is_running(address):
            self._systemctl(self._at(address), "kill", "--signal=CONT")

    def cannot_come_back(self, address: str) -> str:
        """From the unit: whether it starts again after a crash, and with its container."""
        at = self._at(address)
        if self._show(at, "Restart") in ("no", "on-success"):
            return f"{at.unit} in {at.instance} is not restarted after a crash"
        if not self._show(at, "UnitFileState").startswith("enabled"):
            return f"{at.unit} does not start when {at.instance} does"
        return ""

    def cannot_isolate(self) -> str:
        """What the packet filter of some container says when it is asked to check a rule for a member in it."""
        for at in {at.instance: at for at in self._units.values()}.values():
            rules = _CUT.format(table="prodctl_check", port=1, level=1, cgroup="init.scope")
            done = self._incus.execute(at.instance, ["nft", "--check", "--file", "-"], input=rules.encode())
            if done.status:
                why = (done.stderr.decode(errors="replace").strip().splitlines() or [f"status {done.status}"])[0]
                return f"the network around one member cannot be cut in {at.instance}: {why}"
        return ""

    def isolate(self, address: str) -> None:
        """Rules of the packet filter in its container, until ``rejoin`` or the container's end."""
        at = self._at(address)
        cgroup = self._show(at, "ControlGroup").strip("/")
        if not cgroup:
            raise Unavailable(f"{at.unit} does not run in {at.instance}", member=address)
        self._filter(
            at, _CUT.format(table=_table(address), port=_port(address), level=cgroup.count("/") + 1, cgroup=cgroup)
        )

    def rejoin(self, address: str) -> None:
        """Without those rules; nothing happens to a member that is not isolated."""
        self._filter(self._at(address), _MEND.format(table=_table(address)))

    def co_located(self, address: str) -> tuple[str, ...]:
        """The members in the same container."""
        instance = self._at(address).instance
        return tuple(other for other, at in self._units.items() if at.instance == instance)

    def cannot_stop_host(self) -> str:
        """Nothing: containers are there to be stopped."""
        return ""

    def stop_host(self, address: str) -> None:
        """The container at once, as when its power is cut. Returns when it is stopped."""
        at = self._at(address)
        if self._host_runs(at):
            self._incus.run("stop", "--force", "--", self._incus.at(at.instance), timeout_seconds=_STOP_SECONDS)

    def _at(self, address: str) -> MemberUnit:
        try:
            return self._units[address]
        except KeyError:
            raise MemberNotFound(
                f"{address} is not a member of this deployment", hint=f"its members are {', '.join(self._units)}"
            ) from None

    def _host_runs(self, at: MemberUnit) -> bool:
        return bool(self._incus.query("GET", f"/1.0/instances/{at.instance}")["status"] == "Running")

    def _show(self, at: MemberUnit, prop: str) -> str:
        done = self._incus.execute(at.instance, ["systemctl", "show", f"--property={prop}", "--value", at.unit])
        if done.status:
            raise IncusUnavailable(f"systemd does not answer in {at.instance}")
        return done.stdout.decode().strip()

    def _systemctl(self, at: MemberUnit, verb: str, *options: str, seconds: float = 30.0) -> None:
        done = self._incus.execute(at.instance, ["systemctl", verb, *options, at.unit], timeout_seconds=seconds)
        if done.status:
            why = done.stderr.decode(errors="replace").strip()
            raise IncusRefused(f"systemctl {verb} {at.unit} in {at.instance}: {why}")

    def _wait_for_systemd(self, at: MemberUnit) -> None:
        """A container that has just been started has no systemd to ask yet."""
        ends = time.monotonic() + _START_SECONDS
        while self._incus.execute(at.instance, ["systemctl", "show", "--property=Version"]).status:
            if time.monotonic() > ends:
                raise IncusUnavailable(f"systemd does not answer in {at.instance} after {_START_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)

    def _filter(self, at: MemberUnit, rules: str) -> None:
        done = self._incus.execute(at.instance, ["nft", "--file", "-"], input=rules.encode())
        if done.status:
            raise IncusRefused(f"nft in {at.instance}: {done.stderr.decode(errors='replace').strip()}")


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _table(address: str) -> str:
    return f"prodctl_isolate_{_port(address)}"
