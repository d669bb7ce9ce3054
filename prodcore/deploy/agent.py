"""What runs inside a container, with its own python3 and nothing else: it observes, and it writes.

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
import ssl
import subprocess
import sys
import tarfile
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any

_STARTED = ("ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic")
PROPERTIES = ",".join(("Id", "LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload", "DropInPaths", *_STARTED))
DONE = ".complete"
"""The manifest of a release: of each file its SHA-256, size and time, of each link where it leads. Written last."""
LOG_LINES = 5
ALONE = ("write", "take", "packages", "release", "unpack", "systemctl")
"""Tasks that change something: one at a time, because an agent goes on when the prodctl that sent it was killed."""
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
        "accounts": sorted({entry.pw_name for entry in pwd.getpwall()} & set(request["accounts"])),
        "releases": sorted(found.parent.name for found in Path(request["releases"]).glob(f"*/{DONE}")),
        "release": examine_release(Path(request["releases"], request["release"])),
        "units": units(request["units"]),
        "drop_ins": {path: found for path in foreign_drop_ins(request) if (found := examine_path(Path(path), ""))},
        "changed": {path: os.lstat(path).st_mtime for path in request["dated"] if os.path.lexists(path)},
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
        "tcp": [path.read_text() if path.exists() else "" for path in map(Path, ("/proc/net/tcp", "/proc/net/tcp6"))],
        "free": shutil.disk_usage("/").free,
        "now": time.time(),
    }


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


def installed(names: list[str]) -> list[str]:
    """Those of the packages that are installed."""
    out = output(["dpkg-query", "--show", "--showformat=${binary:Package} ${db:Status-Status}\n", *names])
    return [line.split()[0].split(":")[0] for line in out.splitlines() if line.endswith(" installed")]


def examine_release(target: Path) -> Answer:
    """The checksum over a release's manifest, and what differs from the manifest; empty where there is no release."""
    try:
        manifest = json.loads((target / DONE).read_text())
    except (OSError, ValueError):
        return {}
    damaged = [name for name, entry in manifest.items() if not is_intact(target / name, entry)]
    return {"digest": digest_of(manifest), "damaged": damaged[:3], "count": len(damaged)}


def is_intact(path: Path, entry: list[Any]) -> bool:
    """Whether a file is as it was installed; its content is read only where size or time differ."""
    try:
        status = path.lstat()
        if not path.is_symlink() and [status.st_size, status.st_mtime_ns] == entry[1:]:
            return True
        return bool(describe(path)[0] == entry[0])
    except OSError:
        return False


def describe(path: Path) -> list[Any]:
    """A file's entry in a manifest."""
    status = path.lstat()
    if path.is_symlink():
        return [f"-> {path.readlink()}", 0, 0]
    with path.open("rb") as file:
        return [hashlib.file_digest(file, "sha256").hexdigest(), status.st_size, status.st_mtime_ns]


def describe_release(target: Path) -> Answer:
    """The manifest of what is there. Python's caches are left out: they are rewritten at any time."""
    manifest: Answer = {}
    for directory, names, files in os.walk(target):
        names[:] = sorted(name for name in names if name != "__pycache__")
        links = [name for name in names if Path(directory, name).is_symlink()]
        for name in sorted([*files, *links]):
            path = Path(directory, name)
            if path != target / DONE:
                manifest[str(path.relative_to(target))] = describe(path)
    return manifest


def digest_of(manifest: Answer) -> str:
    """One checksum over the content of a whole release; the same in each container that has it."""
    lines = "".join(f"{name}\0{manifest[name][0]}\n" for name in sorted(manifest))
    return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()


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
            "drop_ins": [path for path in shown.get("DropInPaths", "").split() if is_own_drop_in(path)],
        }
    return found


def is_own_drop_in(path: str) -> bool:
    """Whether a drop-in is for this unit: not one for all services, nor one of the distribution's."""
    directory = Path(path).parent.name
    return not path.startswith("/usr/") and directory not in ("service.d", "socket.d", "timer.d")


def foreign_drop_ins(request: Answer) -> list[str]:
    """The drop-ins of our units that are not ours."""
    found = {path for unit in units(request["units"]).values() for path in unit["drop_ins"]}
    return sorted(found - set(request["files"]))


def explain(request: Answer) -> dict[str, str]:
    """Of each unit that does not run, or has only just begun to: its state, and the last lines of its log."""
    found = {}
    for name in request["units"]:
        shown = output(["systemctl", "show", "--property=ActiveState,SubState,NRestarts", name])
        state = dict(line.partition("=")[::2] for line in shown.splitlines())
        if state.get("ActiveState") != "active" or state.get("NRestarts", "0") != "0":
            restarts = f", restarted {state['NRestarts']} times" if state.get("NRestarts", "0") != "0" else ""
            found[name] = f"{state.get('ActiveState')} ({state.get('SubState')}){restarts}{last_lines(name)}"
    return found


def last_lines(unit: str) -> str:
    """What a unit's processes logged last, of a mongod its errors; empty where there is nothing."""
    asked = ["journalctl", f"_SYSTEMD_UNIT={unit}", "--lines=60", "--no-pager", "--output=cat"]
    lines = output(asked).strip().splitlines()
    errors = [line for line in lines if '"s":"E"' in line or '"s":"F"' in line]
    return "".join(f"\n    {line[:400]}" for line in (errors or lines)[-LOG_LINES:])


def ask(url: str, answers: Answer) -> None:
    """Status and body of a URL; status 0 when there is no answer."""
    parts = urllib.parse.urlsplit(url)
    tls = {"context": ssl._create_unverified_context()} if parts.scheme == "https" else {}  # noqa: S323  of its own
    make: Any = http.client.HTTPSConnection if tls else http.client.HTTPConnection
    connection = make(parts.hostname or "", parts.port, timeout=5, **tls)
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
    for name, unit_files in request["set_aside"].items():
        if Path(name).exists():
            Path(name).rename(f"{name}.set-aside")  # systemd reads only what ends in .conf
        for unit_file in unit_files:  # so that the units are restarted, even by an apply after one that was killed
            os.utime(unit_file)
    for one in request["links"]:
        path = Path(one["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".new")
        beside.unlink(missing_ok=True)
        beside.symlink_to(one["target"])
        beside.replace(path)


def replace(path: Path, one: Answer, content: bytes) -> None:
    """Write a file beside it, with its owner and mode, then rename it."""
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
    """Give a file that was pushed as ``….new`` its name."""
    Path(f"{request['path']}.new").replace(request["path"])


def boot(request: Answer) -> None:
    """Wait until systemd has made the basic system and the container has its address.

    Not for everything: after a move, our services are not ready before the members know their new addresses.
    """
    ends = time.monotonic() + request["seconds"]
    while (state := output(["systemctl", "is-active", "basic.target"]).strip()) != "active":
        if time.monotonic() > ends:
            raise RuntimeError(f"systemd has not finished starting: {state or 'it does not answer'}")
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
    """Wait until every URL answers with 200 ten times in a row: each worker takes its share of new connections."""
    ends = time.monotonic() + request["seconds"]
    for url in request["urls"]:
        answers: Answer = {url: [0, ""]}
        in_a_row = 0
        while in_a_row < 10:
            if time.monotonic() > ends:
                status, body = answers[url]
                states = "".join(f"; {name} is {state}" for name, state in explain(request).items())
                raise RuntimeError(f"{url} answers {status or 'nothing'}: {body[:300]}{states}")
            ask(url, answers)
            in_a_row = in_a_row + 1 if answers[url][0] == http.client.OK else 0
            time.sleep(0 if in_a_row else 0.1)


def packages(request: Answer) -> None:
    """Install packages of the distribution."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-q"], environment)
    options = ["-o", "DPkg::Lock::Timeout=300", "-y", "-q", "--no-install-recommends"]
    run(["apt-get", "install", *options, *request["names"]], environment)


def release(request: Answer) -> str:
    """A virtual environment of its own from the wheelhouse in the rest of stdin, a tar file; its checksum."""
    target, wheelhouse = Path(request["path"]), Path(request["wheelhouse"])
    if is_whole(target):
        return str(examine_release(target)["digest"])
    shutil.rmtree(wheelhouse, ignore_errors=True)
    wheelhouse.mkdir(parents=True)
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
        for member in archive:  # made by us: plain files without a directory
            if content := archive.extractfile(member):
                (wheelhouse / Path(member.name).name).write_bytes(content.read())
    set_aside(target)  # a virtual environment holds its own path, so it is made where it will be
    run([request["python"], "-m", "venv", str(target)])
    options = ["--quiet", "--disable-pip-version-check", "--no-cache-dir", "--no-index", "--require-hashes"]
    given = ["--find-links", str(wheelhouse), "--requirement", str(wheelhouse / "requirements.txt")]
    run([str(target / "bin/python"), "-m", "pip", "install", *options, *given])
    shutil.rmtree(wheelhouse)
    manifest = describe_release(target)
    finish(target, manifest, request["forget"])
    return digest_of(manifest)


def is_whole(target: Path) -> bool:
    """Whether a release is there, as it was installed."""
    return examine_release(target).get("count") == 0


def set_aside(target: Path) -> None:
    """Move a damaged release out of the way; its processes keep the files that they have open."""
    damaged = target.with_name(f".damaged-{target.name}")
    shutil.rmtree(damaged, ignore_errors=True)
    if target.exists():
        target.rename(damaged)


def unpack(request: Answer) -> None:
    """A release from another container of the same kind, in the rest of stdin, a tar file."""
    target = Path(request["path"])
    if is_whole(target):
        return
    beside = target.with_name(f".unpacked-{target.name}")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    extract = ["tar", "--extract", "--file=-", f"--directory={beside}"]
    with subprocess.Popen(extract, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as tar:  # noqa: S603  no shell
        shutil.copyfileobj(sys.stdin.buffer, tar.stdin or sys.stdout.buffer, 1 << 20)
    if tar.returncode:
        raise RuntimeError(f"the release cannot be unpacked: tar exited with status {tar.returncode}")
    manifest = describe_release(beside / target.name)
    if digest_of(manifest) != request["digest"]:
        raise RuntimeError("the copy of the release differs from what was installed: run apply again")
    set_aside(target)
    (beside / target.name).rename(target)
    beside.rmdir()
    finish(target, manifest, request["forget"])


def finish(target: Path, manifest: Answer, forget: list[str]) -> None:
    """Store the manifest, which marks a release as whole, and remove releases that are not needed any more."""
    os.sync()
    replace(target / DONE, {"owner": "root", "mode": 0o644}, json.dumps(manifest).encode())
    for old in (*forget, f".damaged-{target.name}"):
        shutil.rmtree(target.parent / old, ignore_errors=True)


def systemctl(request: Answer) -> None:
    """Let systemd read its files again, then enable, stop, start, restart; in this order."""
    if request.get("reload"):
        run(["systemctl", "daemon-reload"])
    if request.get("start"):  # one that has failed too often would be refused
        output(["systemctl", "reset-failed", *request["start"]])
    for verb in ("enable", "stop", "start", "restart"):
        if names := request.get(verb):
            try:
                run(["systemctl", verb, *names])
            except RuntimeError as error:
                states = "".join(f"; {name} is {state}" for name, state in explain({"units": names}).items())
                raise RuntimeError(f"{error}{states}") from None


def wait_for_others() -> None:
    """Return when no other agent is at work; the lock ends with this process."""
    fcntl.flock(os.open("/run/prodctl-agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), fcntl.LOCK_EX)


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
        raise RuntimeError(f"{' '.join(argv[:3])} exited with status {done.returncode}: {' / '.join(said)}")


def main() -> None:
    """One request, one answer."""
    tasks = (observe, examine, explain, write, take, boot, ready, packages, release, unpack, systemctl)
    request = json.loads(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))
    try:
        if request["task"] in ALONE:
            wait_for_others()
        answer: Answer = {"answer": {task.__name__: task for task in tasks}[request["task"]](request)}
    except RuntimeError as error:
        answer = {"error": str(error)}
    except Exception as error:  # noqa: BLE001  whatever it is, the other side says it
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
