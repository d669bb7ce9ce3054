"""Every setting, declared once: its name, its default, what it means.

A setting is looked for in this order, and the first place that has it wins:

1. the environment (the project's names and the seed's: ``PORT``, ``AUTH_SERVER_URL``, ``DB1_URL`` …);
2. the env file: ``PRODCTL_ENV_FILE``, else the one that ``prodctl local up`` left for people on this machine;
3. files in the directory ``CREDENTIALS_DIRECTORY`` (systemd credentials), one setting a file, named like its field;
4. the TOML file ``PRODCTL_CONFIG``, else ``prodctl/config.toml`` under the XDG configuration directory;
5. the default.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from prodcore.errors import ConfigError, Problem


def default_state_dir() -> Path:
    """Where this user's credentials and local cluster live: ``prodctl`` under the XDG state directory."""
    return Path(os.environ.get("PRODCTL_STATE_DIR") or platformdirs.user_state_path("prodctl"))


def config_file() -> Path:
    """The TOML file with this user's settings; it need not exist."""
    return Path(os.environ.get("PRODCTL_CONFIG") or platformdirs.user_config_path("prodctl") / "config.toml")


def env_file() -> Path:
    """The env file; it need not exist."""
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
    more = {name.lower(): value for name, value in values.items() if _MORE_SHARDS.fullmatch(name.lower())}
    return {"more_shard_urls": more} if more else {}


class _Environment(EnvSettingsSource):
    """The environment, with any number of shards."""

    def __call__(self) -> dict[str, Any]:
        return super().__call__() | _gather_shards({name: value for name, value in self.env_vars.items() if value})


class _EnvFile(DotEnvSettingsSource):
    """An env file, with any number of shards."""

    def __call__(self) -> dict[str, Any]:
        return super().__call__() | _gather_shards({name: value for name, value in self.env_vars.items() if value})


class _Credentials(SecretsSettingsSource):
    """systemd credentials, with any number of shards."""

    def __call__(self) -> dict[str, Any]:
        files = [file for file in Path(str(self.secrets_dir)).glob("db*_url") if _MORE_SHARDS.fullmatch(file.name)]
        return super().__call__() | _gather_shards({file.name: file.read_text().strip() for file in files})


class _ConfigFile(TomlConfigSettingsSource):
    """The TOML file, with any number of shards."""

    def __call__(self) -> dict[str, Any]:
        return super().__call__() | _gather_shards(self.toml_data)


def _named(seed_name: str, **kwargs: Any) -> Any:
    """A setting that keeps the name it has in the seed's environment files."""
    return Field(validation_alias=AliasChoices(seed_name, seed_name.lower()), **kwargs)


class Settings(BaseSettings):
    """All settings. In the environment a name is upper case with the prefix ``PRODCTL_``, except the seed's own."""

    model_config = SettingsConfigDict(
        env_prefix="PRODCTL_", extra="ignore", frozen=True, populate_by_name=True, hide_input_in_errors=True
    )

    url: str = Field("http://127.0.0.1:3000", description="Where prodctl finds webapp")
    token: SecretStr | None = Field(
        None, description="A token to use instead of a login, for cron and CI (the stored login is then ignored)"
    )
    state_dir: Path = Field(
        default_factory=default_state_dir, description="Credentials, and the local cluster under local/"
    )

    db1_url: SecretStr | None = _named(
        "DB1_URL", default=None, description="Replica set of products A–M: mongodb://…/products_db?replicaSet=rsA"
    )
    db2_url: SecretStr | None = _named("DB2_URL", default=None, description="Replica set of products N–Z")
    db3_url: SecretStr | None = _named(
        "DB3_URL", default=None, description="Replica set of users, shard map and drill history"
    )
    more_shard_urls: dict[str, SecretStr] = Field(
        {}, description="Replica sets of further shards: DB4_URL, DB5_URL … in the environment"
    )
    request_budget_seconds: float = Field(
        15.0, gt=0, le=120, description="The deadline that all steps of one request share"
    )
    heartbeat_ms: int = Field(500, ge=500, le=10_000, description="How often the driver looks at each member")
    connect_timeout_ms: int = Field(
        1_000, ge=100, le=20_000, description="How long a connection attempt to a member may take"
    )

    port: int | None = _named(
        "PORT", default=None, ge=1, le=65_535, description="Port of the service: 3000 for webapp, 5000 for authsvc"
    )
    bind: str = Field("127.0.0.1", description="Address the service listens on")
    workers: int = Field(2, ge=1, le=64, description="Worker processes of webapp")
    threads: int = Field(8, ge=1, le=256, description="Threads of each worker")
    trusted_proxies: int = Field(
        0, ge=0, le=8, description="How many proxies in front may be believed about the client's address"
    )
    trusted_hosts: str = Field(
        "",
        description="Host names that webapp is called by, separated by commas; all others get 400. Empty: any name",
    )
    session_secret: SecretStr | None = Field(
        None, description="Signs browser sessions; at least 32 characters", min_length=32
    )
    service_secret: SecretStr | None = Field(
        None, description="How webapp proves itself to authsvc; at least 32 characters", min_length=32
    )
    currency: str = Field("EUR", pattern="^[A-Z]{3}$", description="Currency of a price that names none (ISO 4217)")
    deleted_days: int = Field(30, ge=1, le=3650, description="How long a deleted product can be restored")
    metrics: str = Field(
        "local",
        pattern="^(local|public)$",
        description="Who may read /metrics: programs on the same machine (local), or everybody (public)",
    )
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="What the services log")

    auth_server_url: str = _named(
        "AUTH_SERVER_URL", default="http://127.0.0.1:5000", description="Where webapp finds authsvc"
    )
    setup_code_file: Path | None = Field(
        None, description="File with hash and end of the one-time code that makes the first admin"
    )
    trust_file: Path | None = Field(
        None, description="Where webapp keeps what it knows of authsvc, to start while authsvc is down"
    )
    auth_keys_dir: Path | None = Field(None, description="Directory of authsvc's private signing keys, mode 0700")
    registration: str = Field(
        "closed", pattern="^(closed|invitation|open)$", description="Who may register: nobody, the invited, everybody"
    )
    admin_second_factor: bool = Field(
        False, description="Admins have an operator's rights until they have set up a second factor"
    )
    access_token_seconds: int = Field(900, ge=5, le=900, description="Life of an access token")
    session_days: int = Field(30, ge=1, le=365, description="Life of a login that is used")
    password_min_length: int = Field(15, ge=8, le=128, description="Shortest password accepted")
    bcrypt_cost: int = Field(12, ge=10, le=16, description="bcrypt cost; each step doubles the work of a login")

    deployment: Path | None = Field(
        None, description="The deploy.toml of the system in Incus containers that commands work on"
    )

    mongod: Path | None = Field(None, description="The mongod to run locally; else the one on PATH, else a wheel's")
    local_web_port: int = Field(3000, ge=1, le=65_535, description="Port of the local webapp")
    local_auth_port: int = Field(5000, ge=1, le=65_535, description="Port of the local authsvc")
    local_rsa_port: int = Field(27017, ge=1, le=65_533, description="First of the three local ports of rsA")
    local_rsb_port: int = Field(27027, ge=1, le=65_533, description="First of the three local ports of rsB")
    local_rsu_port: int = Field(27037, ge=1, le=65_533, description="First of the three local ports of rsU")
    local_guard: bool = Field(True, description="Whether the guard, which makes failovers short, runs locally")
    election_timeout_ms: int = Field(
        1_000, ge=500, le=60_000, description="electionTimeoutMillis of sets whose members share a host"
    )

    def set_urls(self) -> dict[str, SecretStr | None]:
        """The address of every replica set by its setting: the shards in order, and last the users' set."""
        more = sorted(self.more_shard_urls.items(), key=lambda item: int(item[0][2:-4]))
        return {"db1_url": self.db1_url, "db2_url": self.db2_url, **dict(more), USERS_SETTING: self.db3_url}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The order of the module's docstring, after values given in code."""
        return (init_settings, *_sources(settings_cls).values())


def _sources(settings_cls: type[BaseSettings]) -> dict[str, PydanticBaseSettingsSource]:
    """The places to look in, by the name people know them under."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    sources: dict[str, PydanticBaseSettingsSource] = {
        "environment": _Environment(settings_cls),
        str(env_file()): _EnvFile(settings_cls, env_file=env_file()),
    }
    if credentials:
        sources[credentials] = _Credentials(settings_cls, secrets_dir=credentials, env_prefix="")
    sources[str(config_file())] = _ConfigFile(settings_cls, toml_file=config_file())
    return sources


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; ``overrides`` are values given on the command line, under the fields' names.

    Raises ConfigError with every problem at once: unreadable or too widely readable files, values out of range.
    """
    _refuse_shared_secrets(env_file())
    try:
        _refuse_unknown_names(config_file())
        return Settings(**overrides | _gather_shards(overrides))
    except ValidationError as error:
        found = {place: source() for place, source in _sources(Settings).items()}
        raise ConfigError(problems=[_problem(e, found) for e in error.errors()]) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"the settings cannot be read: {error}") from None


def _refuse_unknown_names(path: Path) -> None:
    """A misspelled name in the TOML file must not be without effect and without a word."""
    if not path.exists():
        return
    try:
        given = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    unknown = [n for n in given if n.lower() not in Settings.model_fields and not is_set_setting(n.lower())]
    if unknown:
        problems = [Problem(name, "unknown_setting", f"no setting is called so (from {path})") for name in unknown]
        raise ConfigError(problems=problems, hint="prodctl config show lists them all")


def _problem(error: Any, found: Mapping[str, Mapping[str, Any]]) -> Problem:
    """What is wrong with a setting, and which place says so."""
    name = ".".join(str(part) for part in error["loc"])
    places = [place for place, values in found.items() if {name, name.lower()} & values.keys()]
    origin = f" (from {places[0]})" if places else ""
    return Problem(name, error["type"], f"{error['msg'][:1].lower()}{error['msg'][1:]}{origin}")


def _refuse_shared_secrets(path: Path) -> None:
    """An env file holds passwords: others on the machine must not be able to read it."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"{path} can be read by other users (mode {stat.S_IMODE(mode):04o})", hint=f"chmod 600 {path}"
        )


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
    found = [(origin, _lookup(source)) for origin, source in _sources(Settings).items()]
    rows = []
    for name, info in Settings.model_fields.items():
        if name == "more_shard_urls":
            continue
        alias = info.validation_alias
        keys = {name, *(str(c) for c in alias.choices)} if isinstance(alias, AliasChoices) else {name}
        variable = next((k for k in keys if k.isupper()), f"PRODCTL_{name.upper()}")
        origin = next((place for place, values in found if keys & values.keys()), "default")
        value = getattr(settings, name)
        rows.append(SettingOrigin(name, variable, "" if value is None else str(value), origin, info.description or ""))
    for name, secret in settings.more_shard_urls.items():
        origin = next((place for place, values in found if name in values.get("more_shard_urls", ())), "default")
        rows.append(SettingOrigin(name, name.upper(), str(secret), origin, "Replica set of a further shard"))
    return rows


def _lookup(source: PydanticBaseSettingsSource) -> Mapping[str, Any]:
    return source()
