"""The words for roles, states and fields."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext, lazy_pgettext

from prodcore.identity.rights import Role
from prodcore.product.fields import FIELDS
from prodcore.replicaset.status import Health

_FIELD_LABELS = {row.name: lazy_gettext(row.label) for row in FIELDS}

ALL: dict[str, dict[Any, Any]] = {
    "role_names": {
        Role.VIEWER: lazy_gettext("Viewer"),
        Role.EDITOR: lazy_gettext("Editor"),
        Role.OPERATOR: lazy_gettext("Operator"),
        Role.ADMIN: lazy_gettext("Administrator"),
    },
    "role_meanings": {
        Role.VIEWER: lazy_gettext("views products and the cluster"),
        Role.EDITOR: lazy_gettext("also changes products"),
        Role.OPERATOR: lazy_gettext("also runs drills and moves ranges"),
        Role.ADMIN: lazy_gettext("also manages users"),
    },
    "health_names": {
        Health.HEALTHY: lazy_gettext("healthy"),
        Health.DEGRADED: lazy_gettext("degraded"),
        Health.DOWN: lazy_gettext("not writable"),
    },
    "role_labels": {
        "PRIMARY": lazy_gettext("primary"),
        "SECONDARY": lazy_gettext("secondary"),
        "ARBITER": lazy_gettext("arbiter"),
        "RECOVERING": lazy_gettext("recovering"),
        "STARTUP": lazy_gettext("starting"),
        "STARTUP2": lazy_gettext("starting"),
        "ROLLBACK": lazy_gettext("rolling back"),
        "DOWN": lazy_gettext("down"),
        "UNRESPONSIVE": lazy_gettext("not responding"),
    },
    "service_states": {
        "ready": lazy_gettext("ready"),
        "degraded": lazy_gettext("degraded"),
        "down": lazy_gettext("down"),
    },
    "outcome_names": {
        "passed": lazy_gettext("passed"),
        "failed": lazy_gettext("failed"),
        "vacuous": lazy_gettext("inconclusive"),
    },
    "fault_names": {
        "kill": lazy_gettext("Kill"),
        "stop": lazy_gettext("Stop"),
        "stepdown": lazy_gettext("Step down"),
        "pause": lazy_gettext("Pause"),
        "partition": lazy_gettext("Partition"),
    },
    "fault_meanings": {
        "kill": lazy_gettext("the process dies at once, as in a crash"),
        "stop": lazy_gettext("a planned shutdown"),
        "stepdown": lazy_gettext("the primary steps down and keeps running"),
        "pause": lazy_gettext("the process freezes with its connections open and resumes later"),
    },
    "victim_names": {
        "primary": lazy_gettext("the primary"),
        "random": lazy_gettext("a random member"),
    },
    "run_states": {
        "waiting": lazy_gettext("Waiting for the drill runner"),
        "running": lazy_gettext("The drill is running"),
        "done": lazy_gettext("The drill has finished"),
        "refused": lazy_gettext("The drill did not start"),
        "broken off": lazy_gettext("The drill was interrupted"),
    },
    "move_states": {
        "planned": lazy_gettext("planned"),
        "moving": lazy_gettext("moving"),
        "aborting": lazy_gettext("being undone"),
        "paused": lazy_gettext("paused"),
        "interrupted": lazy_gettext("interrupted"),
        "settling": lazy_gettext("settling"),
        "done": lazy_pgettext("range move", "done"),
        "aborted": lazy_pgettext("range move", "undone"),
    },
    "action_states": {
        "waiting": lazy_gettext("Waiting for the drill runner"),
        "running": lazy_gettext("Running"),
        "done": lazy_gettext("Done"),
        "refused": lazy_gettext("Not done"),
    },
    "step_names": {
        "preflight": lazy_gettext("preflight"),
        "restored": lazy_gettext("restored"),
        "load": lazy_gettext("load starts"),
        "judge": lazy_gettext("every write is verified"),
        "cleanup": lazy_gettext("its records are removed"),
        "fault": lazy_gettext("fault"),
        "detected": lazy_gettext("detected"),
        "election": lazy_gettext("election"),
        "new primary": lazy_gettext("new primary"),
        "first acknowledged write": lazy_gettext("first acknowledged write"),
        "first answered read": lazy_gettext("first answered read"),
        "restore": lazy_gettext("restore"),
        "old member back": lazy_gettext("old member back"),
        "caught up": lazy_gettext("caught up"),
        "round complete": lazy_gettext("round complete"),
    },
    "import_statuses": {
        "created": lazy_gettext("New"),
        "changed": lazy_gettext("Updated"),
        "unchanged": lazy_gettext("Unchanged"),
        "refused": lazy_gettext("Refused"),
        "unavailable": lazy_gettext("Not stored: a shard did not respond"),
        "unknown": lazy_gettext("Unknown: import them again"),
    },
    "target_names": {**_FIELD_LABELS, "tag": lazy_gettext("One tag"), "ignore": lazy_gettext("– ignore –")},
    "figure_names": {
        "write gap (s)": lazy_gettext("Longest write gap (s)"),
        "read gap (s)": lazy_gettext("Longest read gap (s)"),
        "acknowledged": lazy_gettext("Acknowledged"),
        "failed": lazy_gettext("Failed requests"),
        "lost": lazy_gettext("Lost"),
        "duplicated": lazy_gettext("Duplicated"),
        "p50 during (s)": lazy_gettext("Median during the fault (s)"),
        "p99 during (s)": lazy_gettext("99th percentile during the fault (s)"),
        "worst (s)": lazy_gettext("Slowest response (s)"),
    },
    "field_labels": _FIELD_LABELS,
    "column_names": {
        **_FIELD_LABELS,
        "name": lazy_gettext("Product"),
        "shard": lazy_gettext("Shard"),
        "version": lazy_gettext("Version"),
        "updated_at": lazy_gettext("Changed"),
        "updated_since": lazy_gettext("Changed since"),
        "updated_by": lazy_gettext("Changed by"),
        "created_at": lazy_gettext("Created"),
    },
    "action_names": {
        "created": lazy_gettext("Created"),
        "edited": lazy_gettext("Edited"),
        "renamed": lazy_gettext("Renamed"),
        "moved": lazy_gettext("Moved to another shard"),
        "deleted": lazy_gettext("Deleted"),
        "restored": lazy_gettext("Restored"),
    },
    "bulk_statuses": {
        "changed": lazy_pgettext("several products", "Changed"),
        "deleted": lazy_pgettext("several products", "Deleted"),
        "restored": lazy_gettext("Restored to previous values"),
        "unchanged": lazy_gettext("Already up to date"),
        "already": lazy_gettext("Already undone"),
        "refused": lazy_gettext("Not changed"),
        "unavailable": lazy_gettext("Not done: a shard did not respond"),
        "unknown": lazy_gettext("Unknown: check them"),
    },
}
"""What the templates find under these names."""
