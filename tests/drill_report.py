"""Every field that a drill's report has, wherever the drill was carried out."""


def fields(value, path=""):
    """The paths of all fields of a JSON document; those of a list's items are one."""
    if isinstance(value, dict):
        return {path} | set().union(*(fields(inner, f"{path}.{name}") for name, inner in value.items()))
    if isinstance(value, list):
        return {path} | set().union(*(fields(inner, f"{path}[]") for inner in value))
    return {path}
