"""What runs inside a container, with its own python3 and nothing else: it looks, and it writes.

Not imported here: ``prodcore.deploy.container`` sends this text through stdin, then a line with the length of a JSON
request, the request, and for ``release`` and ``unpack`` a tar file. One JSON answer comes back on stdout.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import http.client
import json
import os
import platform
import pwd
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any

_STARTED = ("ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic")
PROPERTIES = ",".join(("Id", "LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload", *_STARTED))
DONE = ".complete"
ALONE = ("write", "take", "packages", "release", "unpack", "systemctl")
"""Tasks that change something: one at a time, because an agent goes on when whoever sent it was killed."""
Answer = dict[str, Any]


def observe(request: Answer) -> Answer:
    """Files, links, packages, units as they are. The content of a file comes along when it differs."""
    urls: Answer = {}
    asking = [threading.Thread(target=ask, args=(url, urls)) for url in request["urls"]]
    for thread in asking:
        thread.start()
    answer = {
        "files": {
            path: observed for path, sha in request["files"].items() if (observed := examine_path(Path(path), sha))
        },
        "directories": {
            path: observed for path in request["directories"] if (observed := examine_path(Path(path), ""))
        },
        "links": {path: str(Path(path).readlink()) for path in request["links"] if Path(path).is_symlink()},
        "binaries": [path for path in request["binaries"] if Path(path).is_file()],
        "packages": installed(request["packages"]),
        "accounts": [name for name in request["accounts"] if has_account(name)],
        "releases": releases(Path(request["releases"])),
        "units": units(request["units"]),
        "changed": {path: when for path in request["dated"] if (when := changed_at(Path(path)))},
        "machine": f"{platform.machine()} Python {platform.python_version()}",
    }
    for thread in asking:
        thread.join()
    return answer | {"urls": urls}


def examine(request: Answer) -> Answer:
    """What the doctor asks about: URLs, states of units, and of every other one that failed, sockets, disk, clock."""
    urls: Answer = {}
    for url in request["urls"]:
        ask(url, urls)
    states = dict(zip(request["units"], output(["systemctl", "is-active", *request["units"]]).split(), strict=False))
    failed = output(["systemctl", "list-units", "--failed", "--plain", "--no-legend"])
    return {
        "urls": urls,
        "units": states | {line.split()[0]: "failed" for line in failed.splitlines() if line.split()},
        "tcp": [text(Path("/proc/net", name)) for name in ("tcp", "tcp6")],
        "free": shutil.disk_usage("/").free,
        "now": time.time(),
    }


def text(path: Path) -> str:
    """The content of a file; empty where it cannot be read."""
    try:
        return path.read_text()
    except OSError:
        return ""


def examine_path(path: Path, expected: str) -> Answer | None:
    """Mode, owner and checksum; also the content of a file that is not as expected."""
    try:
        status = path.lstat()
        observed: Answer = {"mode": status.st_mode & 0o7777, "owner": owner_name(status.st_uid)}
        if path.is_symlink() or not path.is_file():
            return observed | {"sha256": "", "is_directory": path.is_dir()}
        content = path.read_bytes()
    except OSError:
        return None
    observed["sha256"] = hashlib.sha256(content).hexdigest()
    return observed if observed["sha256"] == expected else observed | {"content": base64.b64encode(content).decode()}


def owner_name(uid: int) -> str:
    """The name of an account, or its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def has_account(name: str) -> bool:
    """Whether there is such an account."""
    return any(entry.pw_name == name for entry in pwd.getpwall())


def installed(names: list[str]) -> list[str]:
    """Those of the packages that are installed."""
    if not names:
        return []
    out = output(["dpkg-query", "--show", "--showformat=${binary:Package} ${db:Status-Status}\n", *names])
    return [line.split()[0].split(":")[0] for line in out.splitlines() if line.endswith(" installed")]


def releases(directory: Path) -> list[str]:
    """The releases that were installed to their end."""
    return sorted(found.parent.name for found in directory.glob(f"*/{DONE}"))


def units(names: list[str]) -> Answer:
    """Each unit's state, and when its process was started, in seconds since 1970."""
    found: Answer = {}
    if not names:
        return found
    offset = time.time() - time.monotonic()
    for block in output(["systemctl", "show", f"--property={PROPERTIES}", *names]).strip().split("\n\n"):
        shown = dict(line.partition("=")[::2] for line in block.splitlines())
        started = next((int(at) for name in _STARTED if (at := shown.get(name, "0")) not in ("", "0")), 0)
        found[shown["Id"]] = {
            "loaded": shown["LoadState"] == "loaded",
            "active": shown["ActiveState"],
            "enabled": shown["UnitFileState"],
            "reload": shown["NeedDaemonReload"] == "yes",
            "started": offset + started / 1e6 if started else None,
        }
    return found


def changed_at(path: Path) -> float | None:
    """When a file was written or a link made; None where there is none."""
    try:
        return path.lstat().st_mtime
    except OSError:
        return None


def ask(url: str, answers: Answer) -> None:
    """Status and body of a URL; status 0 when there is no answer."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    try:
        # A webapp that answers to its own names alone answers to this one, too.
        connection.request("GET", parts.path, headers={"Accept": "application/json", "Host": "localhost"})
        answer = connection.getresponse()
        answers[url] = [answer.status, answer.read(65_536).decode(errors="replace")]
    except (OSError, http.client.HTTPException):
        answers[url] = [0, ""]
    finally:
        connection.close()


def write(request: Answer) -> None:
    """Make accounts, directories, files and links; a crash leaves old or new content, never half of it."""
    for name in request["accounts"]:
        run(["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", name])
    for one in request["directories"]:
        Path(one["path"]).mkdir(parents=True, exist_ok=True)
        give(Path(one["path"]), one)
    for one in request["files"]:
        path = Path(one["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        if one["content"] is None:
            give(path, one)
        else:
            replace(path, one, base64.b64decode(one["content"]))
    for name in request["removed"]:
        Path(name).unlink(missing_ok=True)
    for one in request["links"]:
        path = Path(one["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".new")
        beside.unlink(missing_ok=True)
        beside.symlink_to(one["target"])
        beside.replace(path)


def replace(path: Path, one: Answer, content: bytes) -> None:
    """Write a file beside it, with its owner and mode, then take its place."""
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    give(beside, one)
    beside.replace(path)


def give(path: Path, one: Answer) -> None:
    """Set owner and mode."""
    owner = pwd.getpwnam(one["owner"])
    os.chown(path, owner.pw_uid, owner.pw_gid)
    path.chmod(one["mode"])


def take(request: Answer) -> None:
    """A file that was pushed beside its place takes it."""
    path = Path(request["path"])
    path.with_name(path.name + ".new").replace(path)


def boot(request: Answer) -> None:
    """Wait until systemd has made the basic system and the container has its address.

    Not for everything: after a move, our services are not ready before the members know their new addresses.
    """
    ends = time.monotonic() + request["seconds"]
    while (state := output(["systemctl", "is-active", "basic.target"]).strip()) != "active":
        if time.monotonic() > ends:
            raise RuntimeError(f"systemd does not finish its start: {state or 'it gives no answer'}")
        time.sleep(0.1)
    while not has_address(request["address"]):
        if time.monotonic() > ends:
            raise RuntimeError(f"the container does not get its address {request['address']}")
        time.sleep(0.05)


def has_address(address: str) -> bool:
    """Whether an address is this container's own."""
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def ready(request: Answer) -> None:
    """Wait until every URL answers with 200."""
    ends = time.monotonic() + request["seconds"]
    for url in request["urls"]:
        answers: Answer = {}
        while answers.get(url, [0])[0] != http.client.OK:
            if time.monotonic() > ends:
                status, body = answers.get(url, [0, ""])
                raise RuntimeError(f"{url} answers {status or 'nothing'}: {body[:300]}")
            time.sleep(0.1)
            ask(url, answers)


def packages(request: Answer) -> None:
    """Install packages of the distribution."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-q"], environment)
    run(
        [
            "apt-get",
            "-o",
            "DPkg::Lock::Timeout=300",
            "install",
            "-y",
            "-q",
            "--no-install-recommends",
            *request["names"],
        ],
        environment,
    )


def release(request: Answer) -> None:
    """A virtual environment of its own from the wheelhouse in the rest of stdin, a tar file."""
    target, wheelhouse = Path(request["path"]), Path(request["wheelhouse"])
    if (target / DONE).exists():
        return
    for leftover in (target, wheelhouse):
        shutil.rmtree(leftover, ignore_errors=True)
    wheelhouse.mkdir(parents=True)
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
        for member in archive:  # made by us: plain files without a directory
            if content := archive.extractfile(member):
                (wheelhouse / Path(member.name).name).write_bytes(content.read())
    run([request["python"], "-m", "venv", str(target)])
    pip = [
        str(target / "bin/python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-cache-dir",
    ]
    only = ["--no-index", "--require-hashes", "--find-links", str(wheelhouse)]
    run([*pip, *only, "--requirement", str(wheelhouse / "requirements.txt")])
    shutil.rmtree(wheelhouse)
    finish(target, request["forget"])


def unpack(request: Answer) -> None:
    """A release from another container of the same kind, in the rest of stdin, a tar file."""
    target = Path(request["path"])
    if (target / DONE).exists():
        return
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    extract = ["tar", "--extract", "--file=-", f"--directory={target.parent}"]
    with subprocess.Popen(extract, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as tar:  # noqa: S603  no shell
        shutil.copyfileobj(sys.stdin.buffer, tar.stdin or sys.stdout.buffer, 1 << 20)
    if tar.returncode:
        raise RuntimeError(f"the release cannot be unpacked: tar ends with status {tar.returncode}")
    finish(target, request["forget"])


def finish(target: Path, forget: list[str]) -> None:
    """Mark a release as whole, and remove those that nobody needs any more."""
    os.sync()
    (target / DONE).touch()
    for old in forget:
        shutil.rmtree(target.parent / old, ignore_errors=True)


def systemctl(request: Answer) -> None:
    """Let systemd read its files again, then enable, stop, start, restart; in this order.

    ``files``, as for ``write``, are written after the stop: a new release is there for new processes only.
    """
    if request.get("reload"):
        run(["systemctl", "daemon-reload"])
    for verb in ("enable", "stop"):
        if request.get(verb):
            run(["systemctl", verb, *request[verb]])
    if request.get("files"):
        write(request["files"])
    if request.get("start"):  # one that has failed too often would be refused
        output(["systemctl", "reset-failed", *request["start"]])
    for verb in ("start", "restart"):
        if request.get(verb):
            run(["systemctl", verb, *request[verb]])


def wait_for_others() -> None:
    """Return when no other agent is at work; the lock ends with this process."""
    descriptor = os.open("/run/prodctl-agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def output(argv: list[str]) -> str:
    """What a command prints, whatever its status."""
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False).stdout  # noqa: S603


def run(argv: list[str], environment: dict[str, str] | None = None) -> None:
    """Raises RuntimeError with the last lines that a command said when it fails."""
    done = subprocess.run(  # noqa: S603  commands of ours, without a shell
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-5:]
        raise RuntimeError(f"{' '.join(argv[:3])} ends with status {done.returncode}: {' / '.join(said)}")


def main() -> None:
    """One request, one answer."""
    tasks = {
        task.__name__: task
        for task in (observe, examine, write, take, boot, ready, packages, release, unpack, systemctl)
    }
    request = json.loads(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))
    answer: Answer
    try:
        if request["task"] in ALONE:
            wait_for_others()
        answer = {"answer": tasks[request["task"]](request)}
    except RuntimeError as error:
        answer = {"error": str(error)}
    except Exception as error:  # noqa: BLE001  whatever it is, the other side says it
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
