"""Every setting, declared once: its name, its default, what it means.

A setting is looked for in this order, and the first place that has it wins:

1. the environment (the project's names and the seed's: ``PORT``, ``AUTH_SERVER_URL``, ``DB1_URL`` …);
2. the env file: ``PRODCTL_ENV_FILE``, else the one that ``prodctl local up`` left for people on this machine;
3. files in the directory ``CREDENTIALS_DIRECTORY`` (systemd credentials), one setting a file, named like its field;
4. the TOML file ``PRODCTL_CONFIG``, else ``prodctl/config.toml`` under the XDG configuration directory;
5. the default.
"""

# ruff: noqa: RUF009  a setting is a dataclass field with its facts, and made by a function
from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any

import platformdirs

from prodcore.errors import ConfigError, Problem


def default_state_dir() -> Path:
    """Where this user's credentials and local cluster live: ``prodctl`` under the XDG state directory."""
    return Path(os.environ.get("PRODCTL_STATE_DIR") or platformdirs.user_state_path("prodctl"))


def config_file() -> Path:
    """The TOML file with this user's settings; it need not exist."""
    return Path(os.environ.get("PRODCTL_CONFIG") or platformdirs.user_config_path("prodctl") / "config.toml")


def env_file() -> Path:
    """The env file; it need not exist unless PRODCTL_ENV_FILE names it."""
    return Path(os.environ.get("PRODCTL_ENV_FILE") or default_state_dir() / "local" / "env" / "operator.env")


USERS_SETTING = "db3_url"
"""It has always been the users' set, so the shards are db1_url, db2_url, db4_url, db5_url …"""

_MORE_SHARDS = re.compile(r"db(?:[4-9]|[1-9][0-9]+)_url")


def shard_setting(position: int) -> str:
    """The setting with the address of a shard.

    >>> [shard_setting(position) for position in range(4)]
    ['db1_url', 'db2_url', 'db4_url', 'db5_url']
    """
    return f"db{position + 1 if position < 2 else position + 2}_url"


def is_set_setting(name: str) -> bool:
    """Whether a setting is the address of a replica set; its name in the environment has no prefix."""
    return name in ("db1_url", "db2_url", USERS_SETTING) or bool(_MORE_SHARDS.fullmatch(name))


def _gather_shards(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the addresses of further shards under the one name that they have as a field."""
    more = {name.lower(): value for name, value in values.items() if value and _MORE_SHARDS.fullmatch(name.lower())}
    return {"more_shard_urls": more} if more else {}


class SecretStr:
    """A text that is masked wherever it is shown."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def get_secret_value(self) -> str:
        """The text itself."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretStr) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __str__(self) -> str:
        return "**********" if self._text else ""

    __repr__ = __str__


def _setting(default: Any = MISSING, *, default_factory: Any = MISSING, **facts: Any) -> Any:
    """A setting: its ``description``; its limits ``gt``, ``ge``, ``le``, ``min_length``, ``choices``, ``pattern``.

    ``variable`` is its name in the environment where that is not the field's with the prefix.
    """
    return field(default=default, default_factory=default_factory, metadata=facts)


def _named(variable: str, **facts: Any) -> Any:
    """A setting that keeps the name it has in the seed's environment files."""
    return _setting(variable=variable, **facts)


@dataclass(frozen=True, init=False)
class Settings:
    """All settings. In the environment a name is upper case with the prefix ``PRODCTL_``, except the seed's own.

    Made of values by field, texts as they stand in the environment included. Raises ConfigError with every problem.
    """

    url: str = _setting("http://127.0.0.1:3000", description="Where prodctl finds webapp")
    token: SecretStr | None = _setting(
        None, description="A token to use instead of a login, for cron and CI (the stored login is then ignored)"
    )
    state_dir: Path = _setting(
        default_factory=default_state_dir, description="Credentials, and the local cluster under local/"
    )

    db1_url: SecretStr | None = _named(
        "DB1_URL", default=None, description="Replica set of products A–M: mongodb://…/products_db?replicaSet=rsA"
    )
    db2_url: SecretStr | None = _named("DB2_URL", default=None, description="Replica set of products N–Z")
    db3_url: SecretStr | None = _named(
        "DB3_URL", default=None, description="Replica set of users, shard map and drill history"
    )
    more_shard_urls: dict[str, SecretStr] = _setting(
        default_factory=dict, description="Replica sets of further shards: DB4_URL, DB5_URL … in the environment"
    )
    request_budget_seconds: float = _setting(
        15.0, gt=0, le=120, description="The deadline that all steps of one request share"
    )
    heartbeat_ms: int = _setting(1_000, ge=500, le=10_000, description="How often the driver looks at each member")
    connect_timeout_ms: int = _setting(
        1_000, ge=100, le=20_000, description="How long a connection attempt to a member may take"
    )

    port: int | None = _named(
        "PORT", default=None, ge=1, le=65_535, description="Port of the service: 3000 for webapp, 5000 for authsvc"
    )
    tls_file: Path | None = _setting(
        None, description="PEM file with the service's private key and certificate: it speaks https then, not http"
    )
    ca_file: Path | None = _setting(
        None, description="PEM file with the authorities that https addresses are verified by; else this machine's own"
    )
    bind: str = _setting("127.0.0.1", description="Address the service listens on")
    workers: int = _setting(2, ge=1, le=64, description="Worker processes of webapp")
    threads: int = _setting(8, ge=1, le=256, description="Threads of each worker")
    trusted_proxies: int = _setting(
        0, ge=0, le=8, description="How many proxies in front are trusted about the client's address"
    )
    trusted_hosts: str = _setting(
        "",
        description="Host names that webapp is called by, separated by commas; all others get 400. Empty: any name",
    )
    session_secret: SecretStr | None = _setting(
        None, description="Signs browser sessions; at least 32 characters", min_length=32
    )
    service_secret: SecretStr | None = _setting(
        None, description="Secret by which webapp authenticates to authsvc; at least 32 characters", min_length=32
    )
    currency: str = _setting("EUR", pattern="[A-Z]{3}", description="Currency of a price that names none (ISO 4217)")
    deleted_days: int = _setting(30, ge=1, le=3650, description="How long a deleted product can be restored")
    metrics: str = _setting(
        "local",
        choices=("local", "public"),
        description="Who may read /metrics: programs on the same machine (local), or everybody (public)",
    )
    log_level: str = _setting(
        "INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"), description="What the services log"
    )

    auth_server_url: str = _named(
        "AUTH_SERVER_URL", default="http://127.0.0.1:5000", description="Where webapp finds authsvc"
    )
    setup_code_file: Path | None = _setting(
        None, description="File with hash and end of the one-time code that creates the first admin"
    )
    trust_file: Path | None = _setting(
        None, description="Where webapp keeps what it knows of authsvc, to start while authsvc is down"
    )
    auth_keys_dir: Path | None = _setting(None, description="Directory of authsvc's private signing keys, mode 0700")
    registration: str = _setting(
        "closed",
        choices=("closed", "invitation", "open"),
        description="Who may register: nobody, the invited, everybody",
    )
    admin_second_factor: bool = _setting(
        False, description="Admins have an operator's rights until they have set up a second factor"
    )
    access_token_seconds: int = _setting(900, ge=5, le=900, description="Life of an access token")
    session_days: int = _setting(30, ge=1, le=365, description="Longest life of a login")
    session_idle_hours: int = _setting(72, ge=1, le=8_760, description="Life of a login that is not used")
    password_min_length: int = _setting(15, ge=8, le=128, description="Shortest password accepted")
    bcrypt_cost: int = _setting(12, ge=10, le=16, description="bcrypt cost; each step doubles the work of a login")

    deployment: Path | None = _setting(
        None, description="The deploy.toml of the system in Incus containers that commands work on"
    )

    mongod: Path | None = _setting(None, description="The mongod to run locally; else the one on PATH, else a wheel's")
    local_web_port: int = _setting(3000, ge=1, le=65_535, description="Port of the local webapp")
    local_auth_port: int = _setting(5000, ge=1, le=65_535, description="Port of the local authsvc")
    local_rsa_port: int = _setting(27017, ge=1, le=65_533, description="First of the three local ports of rsA")
    local_rsb_port: int = _setting(27027, ge=1, le=65_533, description="First of the three local ports of rsB")
    local_rsu_port: int = _setting(27037, ge=1, le=65_533, description="First of the three local ports of rsU")
    local_guard: bool = _setting(True, description="Whether the guard, which makes failovers short, runs locally")
    election_timeout_ms: int = _setting(
        1_000, ge=500, le=60_000, description="electionTimeoutMillis of sets whose members share a host"
    )

    given: frozenset[str] = field(default=frozenset(), repr=False)
    """The fields that some place has a value for, be it the default."""

    def __init__(self, **values: Any) -> None:
        problems = []
        for name, one in SETTINGS.items():
            value = values.get(name)
            if value is None or (value == "" and one.type.endswith(" | None")):
                value = one.default_factory() if one.default_factory is not MISSING else one.default
            else:
                try:
                    value = _read(one, value)
                except ValueError as error:
                    problems.append(Problem(name, "invalid_setting", str(error)))
            object.__setattr__(self, name, value)
        if problems:
            raise ConfigError(problems=problems)
        object.__setattr__(self, "given", frozenset(SETTINGS.keys() & values.keys()))

    def set_urls(self) -> dict[str, SecretStr | None]:
        """The address of every replica set by its setting: the shards in order, and last the users' set."""
        more = sorted(self.more_shard_urls.items(), key=lambda item: int(item[0][2:-4]))
        return {"db1_url": self.db1_url, "db2_url": self.db2_url, **dict(more), USERS_SETTING: self.db3_url}

    def changed(self, **values: Any) -> Settings:
        """These settings with other values for some."""
        return Settings(**{name: getattr(self, name) for name in self.given} | values)


SETTINGS: dict[str, Any] = {one.name: one for one in fields(Settings) if one.metadata}
"""The fields of every setting."""


def variable_of(name: str) -> str:
    """What a setting is called in the environment.

    >>> variable_of("state_dir"), variable_of("db1_url")
    ('PRODCTL_STATE_DIR', 'DB1_URL')
    """
    return str(SETTINGS[name].metadata.get("variable", f"PRODCTL_{name.upper()}"))


def is_secret(name: str) -> bool:
    """Whether a setting is masked wherever it is shown."""
    return str(SETTINGS[name].type).startswith("SecretStr")


def _read(one: Field[Any], value: Any) -> Any:
    """A value as the field's type. Raises ValueError, which says what is wrong with it."""
    read: Any = _READERS[str(one.type).removesuffix(" | None")](value)
    facts = one.metadata
    if "gt" in facts and not read > facts["gt"]:
        raise ValueError(f"must be more than {facts['gt']:,}")
    if "ge" in facts and not read >= facts["ge"]:
        raise ValueError(f"must be at least {facts['ge']:,}")
    if "le" in facts and not read <= facts["le"]:
        raise ValueError(f"must be at most {facts['le']:,}")
    text = read.get_secret_value() if isinstance(read, SecretStr) else str(read)
    if len(text) < facts.get("min_length", 0):
        raise ValueError(f"must have at least {facts['min_length']} characters")
    if "choices" in facts and read not in facts["choices"]:
        raise ValueError(f"must be {', '.join(facts['choices'][:-1])} or {facts['choices'][-1]}")
    if "pattern" in facts and not re.fullmatch(facts["pattern"], text):
        raise ValueError(f"does not have the right form: {facts['description']}")
    return read


def _read_int(value: Any) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"[+-]?[0-9]{1,18}", str(value).strip(), re.ASCII):
        raise ValueError("must be a whole number")
    return int(value)


def _read_float(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if isinstance(value, bool) or number - number != 0:  # no number, or none that can be counted with
        raise ValueError("must be a number")
    return number


def _read_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    known = dict.fromkeys(("1", "true", "yes", "on", "y", "t"), True)
    known |= dict.fromkeys(("0", "false", "no", "off", "n", "f"), False)
    if str(value).strip().lower() not in known:
        raise ValueError("must be true or false")
    return known[str(value).strip().lower()]


def _read_str(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text")  # noqa: TRY004  one kind of error for all of them
    return value


def _read_secret(value: Any) -> SecretStr:
    return value if isinstance(value, SecretStr) else SecretStr(_read_str(value))


_READERS: dict[str, Callable[[Any], Any]] = {
    "str": _read_str,
    "int": _read_int,
    "float": _read_float,
    "bool": _read_bool,
    "Path": Path,
    "SecretStr": _read_secret,
    "dict[str, SecretStr]": lambda urls: {name: _read_secret(url) for name, url in urls.items()},
}


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; ``overrides`` are values given on the command line, under the fields' names.

    Raises ConfigError with every problem at once: unreadable or too widely readable files, values out of range.
    """
    places = _places()
    given: dict[str, Any] = {}
    more_shards: dict[str, Any] = {}
    for values in (*reversed(places.values()), overrides | _gather_shards(overrides)):
        given |= values
        more_shards |= values.get("more_shard_urls", {})
    try:
        return Settings(**given | ({"more_shard_urls": more_shards} if more_shards else {}))
    except ConfigError as error:
        raise ConfigError(problems=[_placed(problem, places) for problem in error.problems]) from None


def _places() -> dict[str, dict[str, Any]]:
    """The values that each place has, by field; the places by the name people know them under. Raises ConfigError."""
    places = {"environment": _of_variables(os.environ), str(env_file()): _of_variables(_read_env_file(env_file()))}
    if directory := os.environ.get("CREDENTIALS_DIRECTORY"):
        places[directory] = _of_files(Path(directory))
    places[str(config_file())] = _read_toml(config_file())
    return places


def _of_variables(values: Mapping[str, str | None]) -> dict[str, Any]:
    """The settings among variables, whatever their case."""
    given = {name.upper(): value for name, value in values.items()}
    names = {name: variable_of(name) for name in SETTINGS}
    return {name: given[variable] for name, variable in names.items() if variable in given} | _gather_shards(values)


def _read_env_file(path: Path) -> Mapping[str, str | None]:
    """An env file holds passwords: others on the machine must not be able to read it."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode) and mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(
                f"{path} can be read by other users (mode {stat.S_IMODE(mode):04o})", hint=f"chmod 600 {path}"
            )
        with path.open(encoding="utf-8") as file:
            from dotenv import dotenv_values

            return dotenv_values(stream=file)
    except (OSError, UnicodeDecodeError) as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        if missing and not os.environ.get("PRODCTL_ENV_FILE"):
            return {}
        raise _unreadable(path, error, hint="PRODCTL_ENV_FILE names it") from None


def _of_files(directory: Path) -> dict[str, Any]:
    """systemd credentials: a file is named like the field."""
    try:
        found = {file.name.lower(): file for file in directory.iterdir()}
        wanted = [name for name in found if name in SETTINGS or is_set_setting(name)]
        values = {name: found[name].read_text().strip() for name in wanted}
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(directory, error) from None
    return values | _gather_shards(values)


def _read_toml(path: Path) -> dict[str, Any]:
    """A misspelled name in the TOML file must not be without effect and without a word."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        if os.environ.get("PRODCTL_CONFIG"):
            raise _unreadable(path, error, hint="PRODCTL_CONFIG names it") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    unknown = [n for n in given if n.lower() not in SETTINGS and not is_set_setting(n.lower())]
    if unknown:
        problems = [Problem(name, "unknown_setting", f"there is no such setting (from {path})") for name in unknown]
        raise ConfigError(problems=problems, hint="prodctl config show lists them all")
    return {name.lower(): value for name, value in given.items()} | _gather_shards(given)


def _unreadable(path: Path, error: Exception, hint: str = "") -> ConfigError:
    why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
    return ConfigError(f"{path} cannot be read: {str(why).lower()}", hint=hint)


def _placed(problem: Problem, places: Mapping[str, Mapping[str, Any]]) -> Problem:
    """The problem with the place that has the value, under the name that it has there."""
    place = next((place for place, values in places.items() if problem.field in values), "")
    called = variable_of(problem.field) if place == "environment" else problem.field
    return Problem(called, problem.code, f"{problem.message}{f' (from {place})' if place else ''}")


@dataclass(frozen=True, slots=True)
class SettingOrigin:
    """One setting with its value and the place it came from; a secret's value is masked."""

    name: str
    variable: str
    value: str
    origin: str
    description: str


def explain_settings(settings: Settings) -> list[SettingOrigin]:
    """Every setting with its value, masked where secret, and where it came from."""
    places = _places()
    rows = []
    for name, one in SETTINGS.items():
        if name == "more_shard_urls":
            continue
        origin = next((place for place, values in places.items() if name in values), "default")
        value = getattr(settings, name)
        shown = "" if value is None else str(value)
        rows.append(SettingOrigin(name, variable_of(name), shown, origin, one.metadata["description"]))
    for name, secret in settings.more_shard_urls.items():
        origin = next(
            (place for place, values in places.items() if name in values.get("more_shard_urls", ())), "default"
        )
        rows.append(SettingOrigin(name, name.upper(), str(secret), origin, "Replica set of a further shard"))
    return rows
