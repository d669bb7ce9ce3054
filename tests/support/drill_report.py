"""Every field that a drill's report has, wherever the drill was carried out."""


def fields(value, path=""):
    """The paths of all fields of a JSON document; lists add nothing to a path, and their items are taken together."""
    if isinstance(value, list):
        return set().union(*(fields(inner, path) for inner in value))
    if not isinstance(value, dict):
        return set()
    named = {f"{path}.{name}": inner for name, inner in value.items()}
    return named.keys() | set().union(*(fields(inner, inside) for inside, inner in named.items()))


def _of(names, **inner):
    return dict.fromkeys(names.split()) | inner


_LATENCY = _of("count p50 p95 p99 max")
_STREAM = _of("acknowledged failed max_latency_seconds", gaps=_of("at seconds"))
DRILL_REPORT = fields(
    _of(
        "schema_version kind run outcome started_at duration_seconds guarded missed write_gap_seconds read_gap_seconds"
        " write_gap_without_guard_seconds read_gap_without_guard_seconds",
        plan=_of(
            "sets fault target rounds via writers writes_per_second baseline_seconds recovery_seconds compare_guard",
            limits=_of("max_lost"),
        ),
        verdict=_of(
            "acknowledged refused unknown lost duplicated wrong phantom contradicted moved retries failed examples"
        ),
        rounds=_of(
            "number set member old_primary new_primary term_before term_after election_reason guarded extra vacuous"
            " problem write_gap_seconds read_gap_seconds",
            latency_seconds={"before": _LATENCY, "during": _LATENCY, "after": _LATENCY},
            timeline=_of("seconds at event detail"),
        ),
        series=_of("set point_seconds", writes=_STREAM, reads=_STREAM),
    )
)
