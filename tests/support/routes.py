"""The routes that an app serves, and addresses that fit them."""

import re

_VALUES = {"uuid": "00000000-0000-4000-8000-000000000000", "path": "x", "": "somebody-else"}


def address(rule):
    """An address of the rule, below ``/api/v1``, of something that does not exist."""
    return re.sub(r"<(?:(\w+):)?\w+>", lambda m: _VALUES[m[1] or ""], rule).removeprefix("/api/v1")


def rules(app):
    """Each rule with each of its methods."""
    return {(rule.rule, method) for rule in app.url_map.iter_rules() for method in rule.methods - {"HEAD", "OPTIONS"}}
