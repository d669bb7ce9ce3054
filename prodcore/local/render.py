"""The configuration files of a local cluster as text. Pure: a plan and secrets in, text out."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from prodcore.errors import ConfigError
from prodcore.installation.mongod import MemberFiles, render_env, render_mongod
from prodcore.installation.secret import SEALED_CODE_FILE, Secrets
from prodcore.installation.sets import credentials, variable
from prodcore.local.plan import Daemon, LocalPlan, LocalService, SetMember
from prodcore.local.ports import LOOPBACK

MARKER_VARIABLE = "PRODCTL_LOCAL_DIRECTORY"
"""In the environment of supervisord and of all it starts: whose process this is, also when supervisord has died."""

_OPEN_FILES = 64_000
_NOT_EXPRESSIBLE = re.compile(r"[\x00-\x1f\x7f]|\s[;#]")
_LONGEST_DIRECTORY = 80  # bytes; a socket's path has 107, and supervisord adds a process number for a moment


def render_member(plan: LocalPlan, member: SetMember) -> str:
    """A mongod's configuration file."""
    files = MemberFiles(
        str(plan.data_directory(member)),
        str(plan.keyfile),
        str(plan.log(member.name)),
        *((str(plan.tls_file), str(plan.ca_file)) if plan.tls else ()),
    )
    return render_mongod(member.replica_set, LOOPBACK, member.port, files, test_commands=plan.test_commands)


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


def render_env_files(plan: LocalPlan, secrets: Secrets) -> dict[str, str]:
    """The env files by name: ``web`` and ``auth`` for the services, ``operator`` for people's prodctl."""
    ports = plan.ports
    scheme = "https" if plan.tls else "http"
    verified = {"PRODCTL_CA_FILE": str(plan.ca_file)} if plan.tls else {}
    shown = {"PRODCTL_TLS_FILE": str(plan.tls_file)} if plan.tls else {}
    auth_url = {"AUTH_SERVER_URL": f"{scheme}://{LOOPBACK}:{ports.auth}", **verified}
    public = {
        "web": {"PORT": str(ports.web), **auth_url, **shown, "PRODCTL_TRUST_FILE": str(plan.directory / "trust.json")},
        "auth": {
            "PORT": str(ports.auth),
            **shown,
            "PRODCTL_AUTH_KEYS_DIR": str(plan.auth_keys),
            "PRODCTL_SETUP_CODE_FILE": str(plan.directory / SEALED_CODE_FILE),
            **dict(plan.auth_settings),
        },
        "operator": {"PRODCTL_URL": f"{scheme}://{LOOPBACK}:{ports.web}", **auth_url},
    }
    return {
        name: render_env(public[name] | {variable(setting): value for setting, value in own.items()})
        for name, own in credentials(plan.set_members, secrets, str(plan.ca_file or "")).items()
    }


def _member_section(plan: LocalPlan, member: SetMember, mongod: Path) -> str:
    # A member that crashes is started again at once; one that ends within a second of its start would only do it again.
    return f"""\
[program:{member.name}]
command = {_command(str(mongod), "--config", str(plan.member_config(member)))}
autostart = false
autorestart = unexpected
startsecs = 1
startretries = 0
stopwaitsecs = 20
redirect_stderr = true
stdout_logfile = {_path(plan.directory / "logs" / f"{member.name}.out")}
stdout_logfile_maxbytes = 1MB
stdout_logfile_backups = 0
"""


def _python_section(plan: LocalPlan, program: LocalService | Daemon) -> str:
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
