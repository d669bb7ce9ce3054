"""The cluster as it is at this moment: shards, ranges and members, and what is wrong in the reader's language."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import Response
from flask_babel import lazy_gettext

from prodcore.errors import ShardNotFound
from prodcore.replicaset.diagnostic import SENTENCES as CORE_SENTENCES
from prodcore.replicaset.diagnostic import ProblemLine
from webapp.live import current_picture
from webapp.pages.errors import core_text
from webapp.pages.labels import ALL
from webapp.pages.language import show_number
from webapp.pages.live import live_page

blueprint = APIBlueprint("cluster", __name__, enable_openapi=False)

SENTENCES: dict[str, Any] = {
    "no_member": lazy_gettext("{set}: no member is responding"),
    "no_primary": lazy_gettext("{set}: there is no primary, so writes are not possible"),
    "no_majority": lazy_gettext("{set}: no majority: {reached} of {votes} votes can be reached, {needed} are needed"),
    "stranger": lazy_gettext("{set}: {member} is in the connection string but not a member of the set"),
    "unreachable": lazy_gettext("{set}: {member} is {role}: {why}"),
    "not_working": lazy_gettext("{set}: {member} is {role}"),
    "lag": lazy_gettext("{set}: {member} is {seconds} s behind the primary"),
    "former_primary": lazy_gettext(
        "{set}: {member} still believes it is primary in term {term}; {primary} is, in term {newer}"
    ),
    "other_primary": lazy_gettext("{set}: {member} believes {believed} is primary, not {primary}"),
    "no_believed_primary": lazy_gettext("{set}: {member} believes there is no primary, although {primary} is"),
    "cut_off": lazy_gettext("{set}: {member} cannot reach {other}, which answers us"),
    "configurations": lazy_gettext("{set}: the members hold different configurations: {told}"),
    "map_unreadable": lazy_gettext("shard map: cannot be read from {set}"),
    "map_copy_differs": lazy_gettext(
        "shard map: {set} holds a copy of version {copy}, the stored map is version {stored}"
    ),
    "map_copy_missing": lazy_gettext("shard map: {set} has no copy of it"),
    "service": lazy_gettext("{service}: {state}: {why}"),
    "set_without_primary": lazy_gettext("{set} has no primary"),
    "majority_at_stake": lazy_gettext(
        "{set} would lose its majority: {working} members are running, {needed} are needed"
    ),
    "little_disk": lazy_gettext("{set}: {member} has only {megabytes} MB of free disk"),
    "not_controlled": lazy_gettext("{member} is not controlled by the drill runner"),
    "only_primary_steps_down": lazy_gettext("Only a primary can step down"),
    "no_guard": lazy_gettext("No guard is active to compare with"),
    "fault_not_possible": lazy_gettext("{why}"),
    "import_at_work": lazy_gettext("An import is running: {what}"),
    "another_is_primary": lazy_gettext("Only a primary can step down; that is {primary}"),
}
"""By the codes of ``prodcore.replicaset.diagnostic``."""

REASONS: dict[str, Any] = {
    "connection refused": lazy_gettext("connection refused"),
    "no answer in time": lazy_gettext("no answer in time"),
    "closed the connection": lazy_gettext("closed the connection"),
    "no answer": lazy_gettext("no answer"),
}
"""Why a member or service does not answer, by the words of the core; what is rarer stays in English."""


def problem_text(line: ProblemLine) -> str:
    """The sentence in the language of the page."""
    return str(SENTENCES[line.code]).format(**{name: _word(name, value) for name, value in line.facts.items()})


def drill_text(text: str) -> str:
    """Why a drill did not begin, or failed, in the language of the page where it is known."""
    sentences = {pattern: SENTENCES[code] for code, pattern in CORE_SENTENCES.items() if code in SENTENCES}
    return "; ".join(core_text(core_text(part), sentences) for part in text.split("; "))


def reason_text(reason: str) -> str:
    """Why something does not answer, in the language of the page where it is known."""
    return str(REASONS.get(reason, reason))


def _word(name: str, value: Any) -> str:
    """A fact as the language writes it."""
    if name == "role":
        return str(ALL["role_labels"].get(value, value))
    if name == "state":
        return str(ALL["service_states"].get(value, value))
    if name == "why":
        return reason_text(value)
    if isinstance(value, float):
        return show_number(round(value) if name == "megabytes" else round(value, 1))
    return str(value)


@blueprint.get("/cluster")
def overview() -> Response | str:
    """Everything at once."""
    picture = current_picture()

    def context() -> dict[str, Any]:
        return {
            "status": picture.status.get(),
            "holdings": picture.holdings.get(),
            "spread": picture.spread.get(),
        }

    return live_page("cluster/page.html", "cluster/state.html", context, picture.status.wait)


@blueprint.get("/cluster/<name>")
def one_set(name: str) -> Response | str:
    """One replica set with everything its members tell."""
    picture = current_picture()

    def context() -> dict[str, Any]:
        status = picture.status.get()
        found = status.set(name)
        if found is None:
            known = ", ".join(each.name for each in status.sets)
            raise ShardNotFound(f"there is no set {name}; there are {known}", shard=name)
        return {"status": status, "set": found, "holdings": picture.holdings.get(), "spread": picture.spread.get()}

    return live_page("cluster/set.html", "cluster/set_state.html", context, picture.status.wait)
