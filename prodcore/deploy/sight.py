"""What the doctor and ``expose check`` want to know of a container: runs inside, with its own python3 and nothing else.

Not imported here: ``prodcore.deploy.reach`` sends this text through stdin. Its argument is a JSON request, its one line
of output the JSON answer. It only looks.
"""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SECONDS = 5.0


def fetch(url: str) -> list[Any]:
    """Status and body; status 0 and the reason where nobody answers."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=SECONDS)
    try:
        connection.request("GET", parts.path, headers={"Host": "localhost", "Connection": "close"})
        answer = connection.getresponse()
        return [answer.status, answer.read(65_536).decode(errors="replace")]
    except (OSError, http.client.HTTPException) as error:
        return [0, str(error)]
    finally:
        connection.close()


def units(names: list[str]) -> dict[str, str]:
    """The state of each unit, and of every other one that has failed."""
    states = {}
    if names:
        told = output(["systemctl", "is-active", *names]).splitlines()
        states = dict(zip(names, told, strict=False))
    failed = output(["systemctl", "list-units", "--failed", "--plain", "--no-legend"])
    return states | {line.split()[0]: "failed" for line in failed.splitlines() if line.split()}


def table(name: str) -> str:
    """The kernel's list of TCP sockets."""
    try:
        return Path("/proc/net", name).read_text()
    except OSError:
        return ""


def output(argv: list[str]) -> str:
    """What a program says, whatever its status."""
    return subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=False).stdout  # noqa: S603


def main() -> None:
    """Answer the request of the first argument."""
    request = json.loads(sys.argv[1])
    answer = {
        "urls": {url: fetch(url) for url in request["urls"]},
        "units": units(request["units"]),
        "tcp": [table("tcp"), table("tcp6")],
        "free": shutil.disk_usage("/").free,
        "now": time.time(),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
