"""The replica sets of an installation, and the addresses by which programs know them. Pure.

``SETS`` is the one place that says which there are; everything else goes through it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prodcore.installation.secret import Secrets

MEMBERS_OF_A_SET = 3


@dataclass(frozen=True, slots=True)
class SetDefinition:
    """One replica set: the setting that holds its address, and the database that the address names."""

    setting: str
    database: str

    @property
    def table(self) -> str:
        """Its table in ``deploy.toml``."""
        return self.setting.removesuffix("_url")


USERS_SET = "rsU"
SETS = {
    "rsA": SetDefinition("db1_url", "products_db"),
    "rsB": SetDefinition("db2_url", "products_db"),
    USERS_SET: SetDefinition("db3_url", "prodctl_meta"),
}
REPLICA_SETS = tuple(SETS)

Members = Mapping[str, Sequence[str]]
"""The addresses (``host:port``) of each set's members."""


def set_urls(members: Members, secrets: Secrets, user: str) -> dict[str, str]:
    """The settings with the addresses of all sets, for the user ``root``, ``web``, ``auth`` or ``operator``."""
    return {SETS[name].setting: set_url(name, members[name], secrets, user) for name in members}


def set_url(name: str, members: Sequence[str], secrets: Secrets, user: str) -> str:
    """The address of one set for a user."""
    database = "auth_db" if user == "auth" else SETS[name].database
    login = f"{user}:{getattr(secrets, user)}"
    return f"mongodb://{login}@{','.join(members)}/{database}?replicaSet={name}&authSource=admin"


def credentials(members: Members, secrets: Secrets) -> dict[str, dict[str, str]]:
    """The secret settings by name of each kind of program: ``web``, ``auth``, and the ``operator``'s own."""
    service = {"service_secret": secrets.service}
    users = SETS[USERS_SET].setting
    return {
        "web": {**set_urls(members, secrets, "web"), "session_secret": secrets.session, **service},
        "auth": {users: set_url(USERS_SET, members[USERS_SET], secrets, "auth"), **service},
        "operator": set_urls(members, secrets, "operator"),
    }


def variable(setting: str) -> str:
    """The name of a secret setting in the environment.

    >>> variable("db1_url"), variable("session_secret")
    ('DB1_URL', 'PRODCTL_SESSION_SECRET')
    """
    return setting.upper() if setting in {one.setting for one in SETS.values()} else f"PRODCTL_{setting.upper()}"
