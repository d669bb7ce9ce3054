"""What can be allowed, the rights of each role, and which route needs which right.

The identity routes have their rows in ``routes``, which puts all of them together.

A service token has rights of its own (its scopes) instead of a role.

>>> Right.WRITE_PRODUCTS in rights_of(Role.EDITOR), Right.WRITE_PRODUCTS in rights_of(Role.VIEWER)
(True, False)
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Right(StrEnum):
    """One thing that can be allowed; the ones with a colon are also the scopes of service tokens."""

    PUBLIC = "public"  # anybody, logged in or not
    SERVICE = "service"  # only webapp itself, with the service secret
    ACCOUNT = "account"  # every person who is logged in, about their own account
    READ_PRODUCTS = "products:read"
    WRITE_PRODUCTS = "products:write"
    READ_CLUSTER = "cluster:read"
    RUN_DRILLS = "drill:run"  # in the browser and the API; `failover-test` has an operator's database access
    CHANGE_SHARDS = "shards:change"
    MANAGE_USERS = "users:manage"
    READ_AUDIT = "audit:read"


class Role(StrEnum):
    """The role of a person: each may do what the one before may, and more."""

    VIEWER = "viewer"
    EDITOR = "editor"
    OPERATOR = "operator"
    ADMIN = "admin"


_ADDED_BY_ROLE = {
    Role.VIEWER: {Right.PUBLIC, Right.ACCOUNT, Right.READ_PRODUCTS, Right.READ_CLUSTER},
    Role.EDITOR: {Right.WRITE_PRODUCTS},
    Role.OPERATOR: {Right.RUN_DRILLS, Right.CHANGE_SHARDS},
    Role.ADMIN: {Right.MANAGE_USERS, Right.READ_AUDIT},
}

SCOPES = frozenset(right for right in Right if ":" in right)
"""What a service token may be given."""


def rights_of(role: Role) -> frozenset[Right]:
    """The rights of a role, its predecessors' included."""
    return _RIGHTS[role]


def _accumulated() -> dict[Role, frozenset[Right]]:
    rights: dict[Role, frozenset[Right]] = {}
    so_far: frozenset[Right] = frozenset()
    for role in Role:
        so_far |= _ADDED_BY_ROLE[role]
        rights[role] = so_far
    return rights


_RIGHTS = _accumulated()


class ServedRoute(NamedTuple):
    """One row: the URL rule as Flask spells it, the methods, the right that they need."""

    rule: str
    methods: tuple[str, ...]
    right: Right


_R = ServedRoute
OWN_ROUTES = (
    # health and the files of the pages
    _R("/healthz", ("GET",), Right.PUBLIC),
    _R("/readyz", ("GET",), Right.PUBLIC),
    _R("/metrics", ("GET",), Right.PUBLIC),
    _R("/static/<path:filename>", ("GET",), Right.PUBLIC),
    _R("/.well-known/jwks.json", ("GET",), Right.PUBLIC),
    # who is calling
    _R("/api/v1/session", ("GET",), Right.PUBLIC),
    # products
    _R("/api/v1/products", ("GET",), Right.READ_PRODUCTS),
    _R("/api/v1/products", ("POST",), Right.WRITE_PRODUCTS),
    _R("/api/v1/products/<uuid:product_id>", ("GET",), Right.READ_PRODUCTS),
    _R("/api/v1/products/<uuid:product_id>", ("PATCH", "DELETE"), Right.WRITE_PRODUCTS),
    _R("/api/v1/products/<uuid:product_id>/history", ("GET",), Right.READ_PRODUCTS),
    _R("/api/v1/products/<uuid:product_id>/restore", ("POST",), Right.WRITE_PRODUCTS),
    _R("/api/v1/products/deleted", ("GET",), Right.READ_PRODUCTS),
    _R("/api/v1/products/by-name", ("GET",), Right.READ_PRODUCTS),
    _R("/api/v1/products/export", ("GET",), Right.READ_PRODUCTS),
    _R("/api/v1/products/batch", ("POST",), Right.WRITE_PRODUCTS),
    _R("/api/v1/products/bulk/edit", ("POST",), Right.WRITE_PRODUCTS),
    _R("/api/v1/products/bulk/delete", ("POST",), Right.WRITE_PRODUCTS),
    _R("/api/v1/imports", ("GET",), Right.READ_PRODUCTS),
    _R("/api/v1/imports/<uuid:import_id>", ("PUT",), Right.WRITE_PRODUCTS),
    _R("/api/v1/imports/mappings", ("GET",), Right.WRITE_PRODUCTS),
    _R("/api/v1/imports/mappings/<path:name>", ("GET", "PUT", "PATCH", "DELETE"), Right.WRITE_PRODUCTS),
    _R("/api/v1/imports/<uuid:import_id>/undo", ("POST",), Right.WRITE_PRODUCTS),
    # shards and the cluster
    _R("/api/v1/shards", ("GET",), Right.READ_PRODUCTS),
    _R("/api/v1/shards/where", ("GET",), Right.READ_PRODUCTS),
    _R("/api/v1/cluster", ("GET",), Right.READ_CLUSTER),
    _R("/api/openapi.json", ("GET",), Right.PUBLIC),
    # pages
    _R("/", ("GET",), Right.READ_PRODUCTS),
    _R("/assets/<name>", ("GET",), Right.PUBLIC),
    _R("/login", ("GET", "POST"), Right.PUBLIC),
    _R("/setup", ("GET", "POST"), Right.PUBLIC),
    _R("/logout", ("POST",), Right.PUBLIC),
    _R("/preferences", ("POST",), Right.PUBLIC),
    _R("/products", ("GET",), Right.READ_PRODUCTS),
    _R("/products/where", ("GET",), Right.READ_PRODUCTS),
    _R("/products/facets", ("GET",), Right.READ_PRODUCTS),
    _R("/products/deleted", ("GET",), Right.READ_PRODUCTS),
    _R("/products/export", ("GET",), Right.READ_PRODUCTS),
    _R("/products/views", ("GET", "POST"), Right.READ_PRODUCTS),
    _R("/products/views/<uuid:view_id>", ("POST",), Right.READ_PRODUCTS),
    _R("/products/views/shared", ("POST",), Right.WRITE_PRODUCTS),
    _R("/products/views/shared/<uuid:view_id>", ("POST",), Right.WRITE_PRODUCTS),
    _R("/products/quick", ("GET", "POST"), Right.WRITE_PRODUCTS),
    _R("/products/bulk", ("POST",), Right.WRITE_PRODUCTS),
    _R("/products/bulk/run", ("POST",), Right.WRITE_PRODUCTS),
    _R("/products/bulk/undo", ("POST",), Right.WRITE_PRODUCTS),
    _R("/products/new", ("GET", "POST"), Right.WRITE_PRODUCTS),
    _R("/products/import", ("GET", "POST"), Right.WRITE_PRODUCTS),
    _R("/products/import/run", ("POST",), Right.WRITE_PRODUCTS),
    _R("/products/import/refused", ("POST",), Right.WRITE_PRODUCTS),
    _R("/products/import/mappings", ("GET", "POST"), Right.WRITE_PRODUCTS),
    _R("/products/import/mappings/<uuid:mapping_id>", ("POST",), Right.WRITE_PRODUCTS),
    _R("/products/imports", ("GET",), Right.READ_PRODUCTS),
    _R("/products/imports/<uuid:import_id>/undo", ("GET", "POST"), Right.WRITE_PRODUCTS),
    _R("/products/<uuid:product_id>", ("GET",), Right.READ_PRODUCTS),
    _R("/products/<uuid:product_id>/edit", ("GET", "POST"), Right.WRITE_PRODUCTS),
    _R("/products/<uuid:product_id>/delete", ("GET", "POST"), Right.WRITE_PRODUCTS),
    _R("/products/<uuid:product_id>/restore", ("POST",), Right.WRITE_PRODUCTS),
    _R("/products/<uuid:product_id>/undo", ("POST",), Right.WRITE_PRODUCTS),
    _R("/products/<uuid:product_id>/versions/<int:version>", ("GET",), Right.READ_PRODUCTS),
    _R("/products/<uuid:product_id>/versions/<int:version>", ("POST",), Right.WRITE_PRODUCTS),
    _R("/cluster", ("GET",), Right.READ_CLUSTER),
    _R("/cluster/<name>", ("GET",), Right.READ_CLUSTER),
    _R("/cluster/<name>/switchover", ("GET", "POST"), Right.CHANGE_SHARDS),
    _R("/cluster/<name>/<member>", ("GET",), Right.READ_CLUSTER),
    _R("/cluster/<name>/<member>/start", ("GET", "POST"), Right.CHANGE_SHARDS),
    _R("/cluster/<name>/<member>/stop", ("GET", "POST"), Right.CHANGE_SHARDS),
    _R("/cluster/moves/new", ("GET", "POST"), Right.CHANGE_SHARDS),
    _R("/cluster/moves/<uuid:move>/pause", ("POST",), Right.CHANGE_SHARDS),
    _R("/cluster/moves/<uuid:move>/resume", ("POST",), Right.CHANGE_SHARDS),
    _R("/cluster/moves/<uuid:move>/abort", ("GET", "POST"), Right.CHANGE_SHARDS),
    _R("/cluster/actions/<uuid:order>", ("GET",), Right.READ_CLUSTER),
    _R("/cluster/history", ("GET",), Right.READ_CLUSTER),
    _R("/drills", ("GET",), Right.READ_CLUSTER),
    _R("/drills/new", ("GET", "POST"), Right.RUN_DRILLS),
    _R("/drills/live/<uuid:order>", ("GET",), Right.READ_CLUSTER),
    _R("/drills/live/<uuid:order>/stop", ("POST",), Right.RUN_DRILLS),
    _R("/drills/compare", ("GET",), Right.READ_CLUSTER),
    _R("/drills/<run>", ("GET",), Right.READ_CLUSTER),
    _R("/drills/<run>/report", ("GET",), Right.READ_CLUSTER),
    _R("/account", ("GET",), Right.ACCOUNT),
    _R("/account/password", ("POST",), Right.ACCOUNT),
    _R("/account/sessions", ("POST",), Right.ACCOUNT),
    _R("/account/second-factor", ("POST",), Right.ACCOUNT),
    _R("/account/second-factor/confirm", ("POST",), Right.ACCOUNT),
    _R("/account/second-factor/remove", ("POST",), Right.ACCOUNT),
    _R("/users", ("GET",), Right.MANAGE_USERS),
    _R("/users/new", ("GET", "POST"), Right.MANAGE_USERS),
    _R("/users/<username>", ("GET", "POST"), Right.MANAGE_USERS),
    _R("/users/<username>/delete", ("GET", "POST"), Right.MANAGE_USERS),
    _R("/tokens", ("GET", "POST"), Right.MANAGE_USERS),
    _R("/tokens/<name>/revoke", ("POST",), Right.MANAGE_USERS),
    _R("/audit", ("GET",), Right.READ_AUDIT),
)
"""The routes that one service alone answers: health, products, the cluster, pages."""
