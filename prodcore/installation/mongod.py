"""A mongod's configuration file. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_OPLOG_MB = 1024


@dataclass(frozen=True, slots=True)
class MemberFiles:
    """Where one member finds and leaves what."""

    data: str
    keyfile: str
    log: str = ""
    """Empty: standard output."""
    tls: str = ""
    """Private key and certificate, one PEM file; empty: the member speaks plain TCP."""
    ca: str = ""
    """The certificates of the authorities that it verifies the other members by."""


def render_mongod(
    replica_set: str, bind: str, port: int, files: MemberFiles, *, cache_gb: float = 0.25, test_commands: bool = False
) -> str:
    """The configuration of one member that listens on ``bind`` only; JSON, which is YAML too."""
    parameters: dict[str, Any] = {
        # A signalled mongod waits this long for clients to notice; MongoDB's 15 s are for clients far away.
        "shutdownTimeoutMillisForSignaledShutdown": 100,
        # A secondary gives up on a hung sync source after 1 s instead of 5 s: matters when a primary freezes.
        "oplogNetworkTimeoutBufferSeconds": 1,
        # The passwords are 256 random bits, which no number of hash rounds makes harder to guess.
        "scramSHA256IterationCount": 5_000,
        "authenticationMechanisms": "SCRAM-SHA-256",
        # Diagnostics for MongoDB's support: 9 MB of memory and 0.05 s of start for each member, never read here.
        "diagnosticDataCollectionEnabled": False,
    }
    if test_commands:
        parameters["enableTestCommands"] = 1
    config = {
        "net": {
            "bindIp": bind,
            "port": port,
            "unixDomainSocket": {"enabled": False},
            "compression": {"compressors": "snappy,zstd"},  # zlib is exposed to CVE-2025-14847 in old servers
            **({"tls": _tls(files)} if files.tls else {}),
        },
        "storage": {
            "dbPath": files.data,
            # Journal files of 16 MB instead of 100: nine members take 0.5 GB of disk when new, instead of 2.7.
            "wiredTiger": {"engineConfig": {"cacheSizeGB": cache_gb, "configString": "log=(file_max=16MB)"}},
        },
        "replication": {"replSetName": replica_set, "oplogSizeMB": _OPLOG_MB},
        "security": {"authorization": "enabled", "keyFile": files.keyfile},
        "systemLog": {
            **({"destination": "file", "path": files.log, "logAppend": True} if files.log else {}),
            "quiet": True,
        },
        "setParameter": parameters,
    }
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def _tls(files: MemberFiles) -> dict[str, Any]:
    """Nobody without TLS. Clients show passwords, not certificates, and members know each other by the keyfile."""
    return {
        "mode": "requireTLS",
        "certificateKeyFile": files.tls,
        "CAFile": files.ca,
        "allowConnectionsWithoutCertificates": True,
        "disabledProtocols": "TLS1_0,TLS1_1",
    }


def render_env(values: Mapping[str, str]) -> str:
    """The content of an env file.

    >>> render_env({"PORT": "3000", "NAME": "it is"})
    "PORT=3000\\nNAME='it is'\\n"
    """
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
