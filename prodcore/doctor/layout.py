"""Which failures the chosen layout does not survive. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from prodcore.doctor.check import Check, State
from prodcore.replicaset.status import MemberConfig

GROUP = "layout"

_FIX = "one member on each host: the layout spread of prodctl deploy"


def deadly_hosts(config: Iterable[MemberConfig]) -> list[str]:
    """The hosts whose loss takes a set's majority, and with it its writes."""
    votes: Counter[str] = Counter()
    for member in config:
        votes[member.address.rsplit(":", 1)[0]] += member.votes
    majority = votes.total() // 2 + 1
    return [host for host, lost in votes.items() if votes.total() - lost < majority]


def judge_layout(sets: Iterable[tuple[str, Iterable[MemberConfig]]]) -> Iterator[Check]:
    """What the loss of one host costs each set, by its name and configuration; alike sets in one line."""
    alike: dict[str, list[str]] = {}
    for name, config in sets:
        members = tuple(config)
        if members:
            alike.setdefault(" or ".join(deadly_hosts(members)), []).append(name)
    for hosts, names in alike.items():
        subject = ", ".join(names)
        if hosts:
            text = f"no writes while {hosts} is down; any one process may die"
            yield Check(GROUP, subject, State.NOTE, text, _FIX)
        else:
            yield Check(GROUP, subject, State.OK, "any one host may be down")
    text = "webapp and authsvc run once each: without the one no browser and no REST, without the other no new login"
    yield Check(GROUP, "services", State.NOTE, text, "shards stay within reach: prodctl cluster, prodctl shard")
