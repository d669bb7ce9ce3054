"""The three replica sets of an installation, and the addresses by which programs know them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prodcore.installation.secret import Secrets

REPLICA_SETS = ("rsA", "rsB", "rsU")
USERS_SET = "rsU"
MEMBERS_OF_A_SET = 3

_DATABASES = {"rsA": "products_db", "rsB": "products_db", USERS_SET: "prodctl_meta"}
_SETTINGS = {"rsA": "db1_url", "rsB": "db2_url", USERS_SET: "db3_url"}

Members = Mapping[str, Sequence[str]]
"""The addresses (``host:port``) of each set's members."""


def set_urls(members: Members, secrets: Secrets, user: str) -> dict[str, str]:
    """The settings db1_url, db2_url and db3_url of ``root``, ``web``, ``auth`` or ``operator``."""
    return {_SETTINGS[name]: set_url(name, members[name], secrets, user) for name in REPLICA_SETS}


def set_url(name: str, members: Sequence[str], secrets: Secrets, user: str) -> str:
    """The address of one set for a user."""
    database = "auth_db" if user == "auth" else _DATABASES[name]
    login = f"{user}:{getattr(secrets, user)}"
    return f"mongodb://{login}@{','.join(members)}/{database}?replicaSet={name}&authSource=admin"


def credentials(members: Members, secrets: Secrets) -> dict[str, dict[str, str]]:
    """The secret settings of each kind of program by their names: ``web`` and ``auth``, and people's ``operator``."""
    service = {"service_secret": secrets.service}
    return {
        "web": {**set_urls(members, secrets, "web"), "session_secret": secrets.session, **service},
        "auth": {"db3_url": set_urls(members, secrets, "auth")["db3_url"], **service},
        "operator": set_urls(members, secrets, "operator"),
    }


def variable(setting: str) -> str:
    """The name of a secret setting in the environment.

    >>> variable("db1_url"), variable("session_secret")
    ('DB1_URL', 'PRODCTL_SESSION_SECRET')
    """
    return setting.upper() if setting in _SETTINGS.values() else f"PRODCTL_{setting.upper()}"
