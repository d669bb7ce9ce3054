"""The configuration files of a local cluster as text. Pure: a plan and secrets in, text out."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

from prodcore.errors import ConfigError
from prodcore.local.plan import Daemon, LocalPlan, Service, SetMember
from prodcore.local.ports import LOOPBACK
from prodcore.local.secret import SEALED_CODE_FILE, LocalSecrets

MARKER_VARIABLE = "PRODCTL_LOCAL_DIRECTORY"
"""In the environment of supervisord and of all it starts: whose process this is, also when supervisord has died."""

_DATABASES = {"rsA": "products_db", "rsB": "products_db", "rsU": "prodctl_meta"}
_URL_SETTINGS = {"rsA": "DB1_URL", "rsB": "DB2_URL", "rsU": "DB3_URL"}
_OPLOG_MB = 1024
_CACHE_GB = 0.25
_OPEN_FILES = 64_000
_NOT_EXPRESSIBLE = re.compile(r"[\x00-\x1f\x7f]|\s[;#]")
_LONGEST_DIRECTORY = 80  # bytes; a socket's path has 107, and supervisord adds a process number for a moment


def render_member(plan: LocalPlan, member: SetMember) -> str:
    """A mongod's configuration file; JSON, which is YAML too."""
    parameters: dict[str, Any] = {
        # A signalled mongod waits this long for clients to notice; MongoDB's 15 s are for clients far away.
        "shutdownTimeoutMillisForSignaledShutdown": 100,
        # A secondary gives up on a hung sync source after 1 s instead of 5 s: matters when a primary freezes.
        "oplogNetworkTimeoutBufferSeconds": 1,
        # The passwords are 256 random bits, which no number of hash rounds makes harder to guess.
        "scramSHA256IterationCount": 5_000,
        "authenticationMechanisms": "SCRAM-SHA-256",
        # Diagnostics for MongoDB's support: 9 MB of memory and 0.05 s of start for each member, read by nobody here.
        "diagnosticDataCollectionEnabled": False,
    }
    if plan.test_commands:
        parameters["enableTestCommands"] = 1
    config = {
        "net": {
            "bindIp": LOOPBACK,
            "port": member.port,
            "unixDomainSocket": {"enabled": False},
            "compression": {"compressors": "snappy,zstd"},  # zlib is exposed to CVE-2025-14847 in old servers
        },
        "storage": {
            "dbPath": str(plan.data_directory(member)),
            # Journal files of 16 MB instead of 100: the nine members take 0.5 GB of disk when new, instead of 2.7.
            "wiredTiger": {"engineConfig": {"cacheSizeGB": _CACHE_GB, "configString": "log=(file_max=16MB)"}},
        },
        "replication": {"replSetName": member.replica_set, "oplogSizeMB": _OPLOG_MB},
        "security": {"authorization": "enabled", "keyFile": str(plan.keyfile)},
        "systemLog": {"destination": "file", "path": str(plan.log(member.name)), "logAppend": True, "quiet": True},
        "setParameter": parameters,
    }
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def render_supervisor(plan: LocalPlan, mongod: Path, open_files: int) -> str:
    """supervisord's configuration. It holds no secret: services read theirs from their env file."""
    directory = plan.directory
    sections = [
        f"""\
[unix_http_server]
file = {_path(plan.supervisor_socket)}
chmod = 0600

[supervisord]
logfile = {_path(plan.log("supervisord"))}
logfile_maxbytes = 5MB
logfile_backups = 1
pidfile = {_path(directory / "supervisord.pid")}
directory = {_path(directory)}
umask = 077
minfds = {min(open_files, _OPEN_FILES)}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""
    ]
    sections += [_member_section(plan, member, mongod) for member in plan.members]
    sections += [_python_section(plan, program) for program in plan.python_programs]
    return "\n".join(sections)


def render_env_files(plan: LocalPlan, secrets: LocalSecrets) -> dict[str, str]:
    """The env files by name: ``web`` and ``auth`` for the services, ``operator`` for people's prodctl."""
    ports = plan.ports
    service_secret = {"PRODCTL_SERVICE_SECRET": secrets.service}
    auth_url = {"AUTH_SERVER_URL": f"http://{LOOPBACK}:{ports.auth}"}
    web = {
        "PORT": str(ports.web),
        **{_URL_SETTINGS[name]: set_url(plan, name, "web", secrets.web) for name in _DATABASES},
        **auth_url,
        "PRODCTL_SESSION_SECRET": secrets.session,
        "PRODCTL_TRUST_FILE": str(plan.directory / "trust.json"),
        **service_secret,
    }
    auth = {
        "PORT": str(ports.auth),
        "DB3_URL": set_url(plan, "rsU", "auth", secrets.auth, "auth_db"),
        "PRODCTL_AUTH_KEYS_DIR": str(plan.auth_keys),
        "PRODCTL_SETUP_CODE_FILE": str(plan.directory / SEALED_CODE_FILE),
        **service_secret,
    }
    operator = {
        "PRODCTL_URL": f"http://{LOOPBACK}:{ports.web}",
        **auth_url,
        **{_URL_SETTINGS[name]: set_url(plan, name, "operator", secrets.operator) for name in _DATABASES},
    }
    return {name: _dotenv(values) for name, values in (("web", web), ("auth", auth), ("operator", operator))}


def set_url(plan: LocalPlan, replica_set: str, user: str, password: str, database: str = "") -> str:
    """The address of one set, for one user."""
    hosts = ",".join(m.address for m in plan.members_of(replica_set))
    name = database or _DATABASES[replica_set]
    return f"mongodb://{user}:{password}@{hosts}/{name}?replicaSet={replica_set}&authSource=admin"


def _member_section(plan: LocalPlan, member: SetMember, mongod: Path) -> str:
    # A member that dies stays dead until somebody looks: a drill, `local start`, the next `local up`.
    return f"""\
[program:{member.name}]
command = {_command(str(mongod), "--config", str(plan.member_config(member)))}
autostart = false
autorestart = false
startsecs = 0
startretries = 0
stopwaitsecs = 20
redirect_stderr = true
stdout_logfile = {_path(plan.directory / "logs" / f"{member.name}.out")}
stdout_logfile_maxbytes = 1MB
stdout_logfile_backups = 0
"""


def _python_section(plan: LocalPlan, program: Service | Daemon) -> str:
    stop_seconds = program.stop_seconds if isinstance(program, Daemon) else 10
    return f"""\
[program:{program.name}]
command = {_command(plan.python, *program.arguments)}
environment = PRODCTL_ENV_FILE="{_path(plan.env_file(program.settings))}",PYTHONUNBUFFERED="1"
autostart = false
autorestart = true
startsecs = 2
startretries = 5
stopwaitsecs = {stop_seconds}
stopasgroup = true
killasgroup = true
redirect_stderr = true
stdout_logfile = {_path(plan.log(program.name))}
stdout_logfile_maxbytes = 10MB
stdout_logfile_backups = 1
"""


def _dotenv(values: dict[str, str]) -> str:
    """Lines that both python-dotenv and a shell read the same way."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def _command(*arguments: str) -> str:
    return _path(" ".join(shlex.quote(argument) for argument in arguments))


def _path(text: object) -> str:
    """A value of supervisord's configuration. Raises ConfigError for what that format cannot say."""
    value = str(text)
    if _NOT_EXPRESSIBLE.search(value):
        raise ConfigError(f"the path {value!r} holds characters that supervisord's configuration cannot express")
    return value.replace("%", "%%")


def check_directory_name(directory: Path) -> None:
    """Raise ConfigError for a directory that some configuration file could not name."""
    if _NOT_EXPRESSIBLE.search(str(directory)) or re.search(r"""['"$\\]""", str(directory)):
        raise ConfigError(
            f"the directory {str(directory)!r} holds quotation marks, $, a backslash, or a blank before # or ;",
            hint="choose another one with --dir",
        )
    if len(os.fsencode(directory)) > _LONGEST_DIRECTORY:
        raise ConfigError(
            f"the directory {directory} is too long for a Unix socket: {len(os.fsencode(directory))} bytes, "
            f"at most {_LONGEST_DIRECTORY}",
            hint="choose a shorter one with --dir",
        )
