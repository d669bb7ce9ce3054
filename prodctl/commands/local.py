"""``prodctl local``: the whole system on this machine."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from prodctl.terminal.arguments import Whole, complete_sets
from prodctl.terminal.groups import NounGroup
from prodctl.terminal.output import (
    columns,
    interrupted,
    message,
    output_option,
    print_rows,
    print_text,
    success,
    visible,
)
from prodctl.terminal.prompt import confirm, confirm_options, typed
from prodctl.terminal.rows import duration, size

if TYPE_CHECKING:
    from collections.abc import Callable

    from prodcore.local import LocalCluster
    from prodcore.local.status import ProgramStatus
    from prodcore.local.up import UpReport

F = TypeVar("F", bound="Callable[..., Any]")

EXIT_NOT_RUNNING = 6

_COLUMNS = columns("Name!", "Role", "Address!", "State", "Pid>", "Uptime>", "Memory>", "What+")
_CSV_COLUMNS = columns("Name", "What", "Role", "Address", "State", "Pid", "uptime_seconds", "memory_bytes")


def _complete_name(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in _open(ctx.params.get("directory")).plan.program_names if name.startswith(incomplete)]


def _directory_option(command: F) -> F:
    option = click.option(
        "--dir",
        "directory",
        type=click.Path(path_type=Path, file_okay=False),
        help="Where the cluster lives.  [default: local/ under the state directory]",
    )
    return option(command)


@click.group(cls=NounGroup)
def local() -> None:
    """The whole system on this machine: start, inspect, stop.

    Nine mongod in three replica sets (rsA, rsB, rsU), and three more for each added shard, authsvc, webapp and the
    guard, all on 127.0.0.1, under a supervisor that keeps running after the command. A program is named as in the
    status (rsA-1, webapp) or by its host:port.

    \b
    Examples:
      prodctl local up                     start, or repair, everything
      prodctl local stop rsA-2             a planned shutdown of one member
      prodctl local logs webapp --follow   what webapp says
    """


@local.command()
@click.option(
    "--tls/--no-tls",
    default=None,
    help="Encrypt all connections, or stop doing so; only while the cluster is stopped.  [default: as it was]",
)
@_directory_option
def up(directory: Path | None, tls: bool | None) -> None:
    """Start what is not running, and complete what was interrupted.

    Ready when all replica sets have taken a majority write and both services answer. Run it again at any time.

    With --tls it creates a local certificate authority and a certificate; from then on members and services use TLS
    only. It renews the certificate when a third of its 90 days is left.

    \b
    Examples:
      prodctl local up
      prodctl local up --dir ~/catalogue
      prodctl local up --tls
    """
    cluster = _open(directory, tls=tls)
    try:
        report = cluster.up(_progress_printer(), lambda: _prepare(cluster))
    except KeyboardInterrupt:
        _explain_interruption(cluster)
        raise
    _print_next_steps(cluster, report)


@local.command()
@_directory_option
@output_option
def status(directory: Path | None, output: str) -> int:
    """Every program: role, address, process, memory.

    Exit status 0 when all of them run and work, 6 otherwise.

    \b
    Examples:
      prodctl local status
      prodctl local status -o json
    """
    programs = _open(directory).status()
    well = sum(p.is_healthy for p in programs)
    if output in ("table", "wide"):
        print_rows([_row_for_people(p) for p in programs], _COLUMNS, output, kind="local_status")
        memory = size(sum(p.memory_bytes or 0 for p in programs))
        print_text(f"\n{well} of {len(programs)} do their work; {memory} of memory in all")
    else:
        print_rows([_row(p) for p in programs], _CSV_COLUMNS, output, kind="local_status")
    return 0 if well == len(programs) else EXIT_NOT_RUNNING


@local.command()
@click.argument("names", metavar="[NAME]…", nargs=-1, shell_complete=_complete_name)
@click.option("-f", "--follow", is_flag=True, help="Follow new lines as they come, until Ctrl-C.")
@click.option("-n", "--lines", type=Whole(0), default=20, show_default=True, help="How many existing lines.")
@_directory_option
def logs(names: tuple[str, ...], follow: bool, lines: int, directory: Path | None) -> None:
    """The logs of these programs, or of all.

    \b
    Examples:
      prodctl local logs webapp --follow
      prodctl local logs rsA-1 rsA-2 -n 100
    """
    from prodcore.local.log import follow_lines, last_lines

    files = _open(directory).log_files(names)
    width = max(map(len, files)) if len(files) > 1 else 0
    new = follow_lines(files)
    for name, path in files.items():
        for line in last_lines(path, lines):
            _print_log_line(name, line, width)
    if follow:
        for name, line in new:
            _print_log_line(name, line, width)


@local.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=_complete_name)
@_directory_option
def stop(names: tuple[str, ...], directory: Path | None) -> None:
    """Stop programs, and leave them stopped.

    A member gets SIGTERM, as in a planned shutdown. It stays stopped until it is started, or until the next up.

    \b
    Examples:
      prodctl local stop rsA-2
      prodctl local stop webapp authsvc
    """
    for name in _open(directory).stop(*names):
        success(f"{name} is stopped.")


@local.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=_complete_name)
@_directory_option
def start(names: tuple[str, ...], directory: Path | None) -> int:
    """Start programs and wait until they work.

    A member works when it is PRIMARY or SECONDARY, a service when it is ready. Exit status 6 when a service can do
    only part of its work, because a shard is down.

    \b
    Examples:
      prodctl local start rsA-2
      prodctl local start rsB-1 rsB-2 rsB-3
    """
    roles = _open(directory).start(*names)
    for name, role in roles.items():
        success(f"{name} is {role}.")
    return EXIT_NOT_RUNNING if any(role.startswith("DEGRADED") for role in roles.values()) else 0


@local.command()
@_directory_option
def down(directory: Path | None) -> None:
    """Stop everything; the data stays.

    \b
    Examples:
      prodctl local down
    """
    began = time.monotonic()
    with interrupted("prodctl local status shows what still runs; prodctl local down continues."):
        stopped = _open(directory).down(_progress_printer())
    success(f"Everything is stopped, in {time.monotonic() - began:.1f} s." if stopped else "Nothing was running.")


@local.command("add-shard")
@click.argument("name", metavar="SHARD")
@click.option("--port", type=Whole(1024, 65_533), help="The first of its three ports.  [default: the next free]")
@_directory_option
def add_shard(name: str, port: int | None, directory: Path | None) -> None:
    """Add a shard: three more members, their users, indexes and rule.

    The services reload their settings without failing a request; the guard and the drill runner restart. The shard is
    empty until "prodctl shard move" gives it a range. After an interruption, the next up completes it.

    \b
    Examples:
      prodctl local add-shard rsC
      prodctl local add-shard rsC --port 27057
    """
    cluster = _open(directory).with_shard(name, port)
    with interrupted(f"prodctl local up finishes it; prodctl local remove-shard {name} undoes it."):
        report = cluster.up(_progress_printer(), lambda: _prepare(cluster))
    success(f"{name} is there, in {report.seconds:.1f} s: empty, and it owns no range.")


@local.command("remove-shard")
@click.argument("name", metavar="SHARD", shell_complete=complete_sets)
@_directory_option
@confirm_options
def remove_shard(name: str, directory: Path | None, yes: bool, no_input: bool) -> None:
    """Remove an added shard with its three members, after asking.

    Refused (exit status 5) while it owns a range or holds any document: products, deleted ones that can be restored,
    old locations of moved ones. The services stop using it before its members stop, so no request fails.

    \b
    Examples:
      prodctl local remove-shard rsC
      prodctl local remove-shard rsC --yes
    """
    from prodcore.app.shards import check_unused
    from prodcore.settings import load_settings

    cluster = _open(directory)
    cluster.check_removable(name)
    settings = load_settings(**cluster.addresses("operator"))
    check_unused(settings, name)
    confirm(f"Remove {name} and its three members?", yes=yes, no_input=no_input)
    with interrupted("The same command continues."):
        cluster.remove_shard(name, lambda: check_unused(settings, name), _progress_printer())
    success(f"{name} is removed.")


@local.command("renew-certificate")
@_directory_option
def renew_certificate(directory: Path | None) -> None:
    """Create a new certificate, and make every program use it.

    Members do not restart, and services fail no request. Files of your own (ca.pem and server.pem under tls/, no
    ca-key.pem) are checked and used as they are.

    \b
    Examples:
      prodctl local renew-certificate
    """
    leaf = _open(directory).renew_certificate(_progress_printer())
    success(f"The certificate {leaf.serial_number:x} is in use; it expires on {leaf.ends:%Y-%m-%d}.")


@local.command()
@_directory_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def destroy(directory: Path | None, yes: bool) -> None:
    """Stop everything and remove all its data.

    Asks for the name of the directory first. Only what prodctl has created there is removed.

    \b
    Examples:
      prodctl local destroy
      prodctl local destroy --dir ~/catalogue
    """
    cluster = _open(directory)
    place = cluster.plan.directory
    cluster.status()  # before asking: is there anything at all?
    if not yes:
        _ask_for_name(place)
    with interrupted("Some of it may be gone. prodctl local destroy continues."):
        cluster.destroy(_progress_printer())
    left = " It holds other files, and they are still there." if place.exists() else ""
    success(f"The local cluster in {place} is removed.{left}")


def _explain_interruption(cluster: LocalCluster) -> None:
    """What runs although the command does not wait for it any more, and what goes on from here."""
    from prodcore.errors import ProdError

    try:
        running = [p.name for p in cluster.status() if p.pid]
    except ProdError:
        running = []
    what = f"{', '.join(running)} are running, and stay so" if running else "Nothing was started"
    message(f"\n{what}. prodctl local up continues from here; prodctl local down stops everything.")


def _open(directory: Path | None, *, tls: bool | None = None) -> LocalCluster:
    from prodcore.local import open_cluster
    from prodcore.settings import load_settings

    return open_cluster(load_settings(), directory, tls=tls)


def _prepare(cluster: LocalCluster) -> None:
    """The shard map and the indexes, with the operator's rights."""
    from prodcore.app.wiring import prepare_cluster
    from prodcore.settings import load_settings

    prepare_cluster(load_settings(**cluster.addresses("operator")))


def _progress_printer() -> Callable[[str, str], None]:
    began = time.monotonic()

    def show(subject: str, what: str) -> None:
        message(f"{time.monotonic() - began:5.1f} s  {subject:<8} {what}")

    return show


def _print_next_steps(cluster: LocalCluster, report: UpReport) -> None:
    if not report.started:
        message("\nEverything was running already.")
    else:
        message(f"\nReady in {report.seconds:.1f} s (replica sets in {report.writable_seconds:.1f} s).")
    web = next(s for s in cluster.plan.services if s.name == "webapp")
    message(f"\n  Browser     {web.url}")
    code = cluster.setup_code()
    if code:
        message(f"  Setup code  {code}   (creates the first admin, once)")
    message("\nNext:")
    from prodcore.settings import env_file

    operator = cluster.plan.env_file("operator")
    if operator != env_file().absolute():
        message(f"  export PRODCTL_ENV_FILE='{operator}'")
    for line in _NEXT_FIRST if code else _NEXT:
        message(f"  {line}")


_NEXT = ("prodctl product list", "prodctl cluster status", "prodctl failover-test rsA", "prodctl local down")
_NEXT_FIRST = ("prodctl login", 'prodctl product add "Arroz" --price 1.20 --stock 40', *_NEXT)


def _ask_for_name(place: Path) -> None:
    from prodcore.errors import InvalidInput

    if not sys.stdin.isatty():
        raise InvalidInput("destroy asks for the directory's name, but this is not a terminal", hint="--yes")
    if typed(f"All data in {visible(str(place))} will be gone. Type {visible(place.name)!r}") != place.name:
        raise InvalidInput("that is another name; nothing was removed")


def _print_log_line(name: str, line: str, width: int) -> None:
    print_text(f"{name:<{width}}  {visible(line)}" if width else visible(line))


def _row(program: ProgramStatus) -> dict[str, Any]:
    return {
        "name": program.name,
        "what": program.what,
        "role": program.role or None,
        "address": program.address or None,
        "state": program.state,
        "pid": program.pid,
        "uptime_seconds": program.uptime_seconds,
        "memory_bytes": program.memory_bytes,
    }


def _row_for_people(program: ProgramStatus) -> dict[str, Any]:
    return _row(program) | {"uptime": duration(program.uptime_seconds), "memory": size(program.memory_bytes)}
