"""The replica sets of an installation, and the addresses by which programs know them. Pure.

``SETS`` says which a new installation has. Further shards have the settings that ``prodcore.settings`` gives them, and
in a deployment the tables that ``TABLES`` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from prodcore.installation.secret import Secrets
from prodcore.settings import USERS_SETTING, is_set_setting, shard_setting

MEMBERS_OF_A_SET = 3


@dataclass(frozen=True, slots=True)
class SetDefinition:
    """One replica set: the setting that holds its address, and the database that the address names."""

    setting: str
    database: str


USERS_SET = "rsU"
SETS = {
    "rsA": SetDefinition(shard_setting(0), "products_db"),
    "rsB": SetDefinition(shard_setting(1), "products_db"),
    USERS_SET: SetDefinition(USERS_SETTING, "prodctl_meta"),
}
REPLICA_SETS = tuple(SETS)
"""Those of a new installation: the shards of the default map in its order, and last the users' set."""

TABLES = {f"db{number}": f"rs{letter}" for number, letter in enumerate("ABUCDEFGHIJKLMNOPQRSTVWXYZ", start=1)}
"""The replica set of each table in ``deploy.toml``: the third has always been the users'."""

Members = Mapping[str, Sequence[str]]
"""The addresses (``host:port``) of each set's members."""


def table_of(replica_set: str) -> str:
    """The table of a replica set in ``deploy.toml``.

    >>> [table_of(name) for name in ("rsA", "rsB", "rsU", "rsC", "rsZ")]
    ['db1', 'db2', 'db3', 'db4', 'db26']
    """
    return next(table for table, name in TABLES.items() if name == replica_set)


def settings_of(sets: Iterable[str]) -> dict[str, str]:
    """The setting with the address of each of these sets, the shards in their order.

    >>> settings_of(["rsA", "rsB", "rsC", "rsU"])
    {'rsA': 'db1_url', 'rsB': 'db2_url', 'rsC': 'db4_url', 'rsU': 'db3_url'}
    """
    shards = [name for name in sets if name != USERS_SET]
    return {name: shard_setting(n) for n, name in enumerate(shards)} | {USERS_SET: USERS_SETTING}


def set_urls(members: Members, secrets: Secrets, user: str, ca_file: str = "") -> dict[str, str]:
    """The settings db1_url, db2_url, db3_url … of ``root``, ``web``, ``auth``, ``operator`` or ``backup``.

    ``ca_file`` as in ``set_url``.
    """
    settings = settings_of(members)
    return {settings[name]: set_url(name, members[name], secrets, user, ca_file) for name in members}


def set_url(name: str, members: Sequence[str], secrets: Secrets, user: str, ca_file: str = "") -> str:
    """The address of one set for a user.

    ``ca_file`` is the file with the authorities' certificates where that user's programs run; empty: without TLS.
    """
    usual = "prodctl_meta" if name == USERS_SET else "products_db"
    database = "auth_db" if user == "auth" else usual
    login = f"{user}:{getattr(secrets, user)}"
    tls = f"&tls=true&tlsCAFile={quote(ca_file)}" if ca_file else ""
    return f"mongodb://{login}@{','.join(members)}/{database}?replicaSet={name}&authSource=admin{tls}"


def credentials(members: Members, secrets: Secrets, ca_file: str = "") -> dict[str, dict[str, str]]:
    """The secret settings by name of each kind of program: ``web``, ``auth``, and the ``operator``'s own.

    ``ca_file`` as in ``set_url``.
    """
    service = {"service_secret": secrets.service}
    return {
        "web": {**set_urls(members, secrets, "web", ca_file), "session_secret": secrets.session, **service},
        "auth": {USERS_SETTING: set_url(USERS_SET, members[USERS_SET], secrets, "auth", ca_file), **service},
        "operator": set_urls(members, secrets, "operator", ca_file),
    }


def variable(setting: str) -> str:
    """The name of a secret setting in the environment.

    >>> variable("db1_url"), variable("session_secret")
    ('DB1_URL', 'PRODCTL_SESSION_SECRET')
    """
    return setting.upper() if is_set_setting(setting) else f"PRODCTL_{setting.upper()}"
