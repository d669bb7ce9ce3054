"""``prodctl deploy``: the system in Incus containers, from one description."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from prodctl.terminal.arguments import complete_sets
from prodctl.terminal.groups import NounGroup
from prodctl.terminal.output import columns, counted, message, output_option, print_rows, print_text, success, visible
from prodctl.terminal.prompt import confirm, confirm_options, typed

if TYPE_CHECKING:
    from collections.abc import Callable

    from prodcore.deploy.system import DeployedSystem

F = TypeVar("F", bound="Callable[..., Any]")

EXIT_DIFFERENT = 6

_CHANGE_COLUMNS = columns("Where", "Action", "What", "Why=reason")
_STATUS_COLUMNS = columns("Container", "Part", "State", "Address", "Healthy=is_healthy")


def _file_option(command: F) -> F:
    option = click.option(
        "-f",
        "--file",
        "file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="The description.  [default: the setting deployment, else deploy.toml]",
    )
    return option(command)


@click.group(cls=NounGroup)
def deploy() -> None:
    """The system in Incus containers: from one description to running services.

    The description, deploy.toml, says where and how; "deploy init" writes one with every default. Only the command
    incus is needed here, and a remote that it can reach. Whatever lacks the deployment's mark is never changed.

    \b
    Examples:
      prodctl deploy init                  write deploy.toml, to be edited
      prodctl deploy plan                  what would change?
      prodctl deploy apply                 do it; run it again at any time
      prodctl deploy status                how is everything?
    """


@deploy.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default=Path("deploy.toml"))
def init(file: Path) -> None:
    """Write a description with every default and its meaning.

    \b
    Examples:
      prodctl deploy init
      prodctl deploy init shop/deploy.toml
    """
    from prodcore.deploy.config import default_text
    from prodcore.errors import Conflict

    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(default_text())
    except FileExistsError:
        raise Conflict(f"{file} already exists", hint="name another file, or remove it") from None
    success(f"{file} is written. Next: prodctl deploy plan -f {file}")


@deploy.command()
@_file_option
@output_option
def plan(file: Path | None, output: str) -> None:
    """Show everything that apply would do, from the observed state. Changes nothing.

    What could not be observed is listed as unknown, and nothing is planned for it. Exit status 2 when apply would
    refuse, with the setting and the fix.

    \b
    Examples:
      prodctl deploy plan
      prodctl deploy plan -o json
    """
    from prodcore.errors import ConfigError

    _observed, planned = _open(file).compare(settle=False)
    rows = [asdict(change) for change in (*planned.changes, *planned.unknown)]
    print_rows(rows, _CHANGE_COLUMNS, output, kind="deploy_plan", empty="Nothing would change.")
    if planned.obstacles:
        raise ConfigError(problems=planned.obstacles, hint="apply would stop here, before it changes anything")


@deploy.command()
@_file_option
@output_option
def apply(file: Path | None, output: str) -> None:
    """Make everything as it is described; ready when every service is.

    Observes, compares and changes what differs, so it can be run again at any time: after a change of the description,
    with a new wheelhouse, or after an interruption. Members restart one at a time, the primary last.

    \b
    Examples:
      prodctl deploy apply
    """
    from prodcore.deploy.apply import apply as apply_description

    system = _open(file)
    began = time.monotonic()
    done = apply_description(system, _progress_printer())
    if output not in ("table", "wide"):
        print_rows([asdict(c) for c in done.changes], _CHANGE_COLUMNS, output, kind="deploy_apply")
    elif done.changes:
        message(f"\nReady in {time.monotonic() - began:.1f} s: {counted(len(done.changes), 'change')}.")
    else:
        message(f"Nothing had to be changed; checked in {time.monotonic() - began:.1f} s.")
    _print_next_steps(system)


@deploy.command()
@_file_option
@output_option
def status(file: Path | None, output: str) -> int:
    """Containers, members, units and services, and everything that is not as described.

    Exit status 0 when all is healthy and as described, 6 when anything is not: a file, its mode, a unit, a device, an
    address, a release. Changes nothing, so a timer can run it.

    \b
    Examples:
      prodctl deploy status
      prodctl deploy status -o json | jq '.findings'
    """
    from prodcore.deploy.status import drift, read_status

    system = _open(file)
    observed, planned = system.compare(settle=False)
    parts, found = read_status(system.layout, system.specs, observed), drift(planned)
    rows = [asdict(part) for part in parts]
    extra = {"findings": [one.as_dict() for one in found]}
    print_rows(rows, _STATUS_COLUMNS, output, kind="deploy_status", extra=extra)
    if found and output in ("table", "wide"):
        print_text(f"\nNot as described: {len(found)}")
        for one in found:
            print_text(visible(f"  {one.subject}: {one.text}"))
        for fix in dict.fromkeys(one.fix for one in found):
            message(f"Fix:  {fix}")
    return 0 if all(part.is_healthy for part in parts) and not found else EXIT_DIFFERENT


@deploy.command()
@_file_option
def diff(file: Path | None) -> int:
    """Everything that is not as described: files line by line, with secrets masked, the rest in words.

    The same differences as in "deploy plan" and "deploy status". Exit status 6 when anything differs.

    \b
    Examples:
      prodctl deploy diff
    """
    from prodcore.deploy.status import differences

    system = _open(file)
    observed, planned = system.compare(settle=False)
    found = list(differences(system.specs, observed, planned))
    for one in found:
        print_text(visible(one, keep_lines=True))
    return EXIT_DIFFERENT if found else 0


@deploy.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@_file_option
def render(directory: Path, file: Path | None) -> None:
    """Write every file that apply would create into DIRECTORY, for reading; secrets are masked. Does not use Incus.

    \b
    Examples:
      prodctl deploy render rendered
    """
    from prodcore.deploy.render import write_rendering

    system = _open(file)
    written = write_rendering(system.layout, system.specs, system.operator.secrets_mark, directory)
    success(f"{directory} holds {counted(len(written), 'file')}.")


@deploy.command()
@_file_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def destroy(file: Path | None, yes: bool) -> None:
    """Remove all containers of the deployment, with their data, and its secrets. Asks for its name.

    \b
    Examples:
      prodctl deploy destroy
    """
    system = _open(file)
    names = system.owned_instances()
    if not yes:
        _ask_for_name(system.deployment.name, names)
    system.destroy(_progress_printer())
    success(f"The deployment {system.deployment.name} is removed.")


@deploy.command("remove-shard")
@click.argument("name", metavar="SHARD", shell_complete=complete_sets)
@_file_option
@confirm_options
def remove_shard(name: str, file: Path | None, yes: bool, no_input: bool) -> None:
    """Remove an added shard with its containers and their data, after asking.

    Refused (exit status 5) while it owns a range or holds any document: products, deleted ones that can be restored,
    old places of moved ones. The services stop using it first, so no request fails. Remove its table from the
    description afterwards: apply would create it again, empty.

    \b
    Examples:
      prodctl shard drain rsC && prodctl deploy remove-shard rsC
    """
    from prodcore.deploy.apply import remove_shard as take_away
    from prodcore.installation.sets import table_of

    system = _open(file)
    system.check_removable(name)
    confirm(f"Remove {name}, its containers and their data?", yes=yes, no_input=no_input)
    take_away(system, name, _progress_printer())
    success(f"{name} is removed. Next: remove [{table_of(name)}] from {system.file.name}")


@deploy.command(name="export")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@_file_option
@click.option(
    "--compression",
    type=click.Choice(["none", "gzip", "zstd", "xz"]),
    default="none",
    show_default=True,
    help="By the Incus host, while everything is stopped.",
)
def export_(directory: Path, file: Path | None, compression: str) -> None:
    """Export everything: all containers, the description and the secrets, into a new or empty DIRECTORY.

    The system is stopped meanwhile: webapp and authsvc are shut down first, then the members; whatever happens, all
    are started again. The directory appears only when it is complete, with the checksum of every file. Snapshots of
    containers are left out. Whoever can read it can read everything: the containers hold data, passwords and keys.

    \b
    Examples:
      prodctl deploy export /mnt/disk/prodctl
      prodctl deploy export moved --compression zstd
    """
    from prodcore.deploy.archive import megabytes
    from prodcore.deploy.transfer import Export

    system = _open(file)
    began = time.monotonic()
    manifest = Export(system, directory, compression, _progress_printer()).run()
    size = megabytes(sum(instance.file.size for instance in manifest.instances))
    held = counted(len(manifest.instances), "container")
    success(f"{directory} holds {held}, {size}, in {time.monotonic() - began:.1f} s.")
    message("It holds every secret, too: keep it as safe as the system itself.")


@deploy.command(name="import")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False, exists=True))
@_file_option
def import_(directory: Path, file: Path | None) -> int:
    """Create the deployment that was exported to DIRECTORY, at the addresses of the description.

    DIRECTORY/deploy.toml is the description it was exported with: copy it, and change what differs here: addresses,
    names of containers, bridge, pool, remote. The deployment's name, the layout and the members' ports must not change.

    Every checksum is compared before anything is changed. Then the containers are imported, everything that
    "deploy apply" does is done, and the members get their new addresses. Finally products and users are counted, and
    everything is checked as by "shard verify". After an interruption, run it again; "deploy destroy" undoes it.
    Exit status 5 when there are containers of these names, 6 when something is wrong with the data.

    \b
    Examples:
      cp /mnt/disk/prodctl/deploy.toml . && $EDITOR deploy.toml
      prodctl deploy import /mnt/disk/prodctl
    """
    from prodcore.deploy.transfer import Import

    system = _open(file)
    began = time.monotonic()
    problems = Import(system, directory, _progress_printer()).run()
    if problems:
        for problem in problems:
            print_text(visible(problem))
        message("The containers run, but their data is not as it was exported.")
        return EXIT_DIFFERENT
    success(f"The deployment {system.deployment.name} is here, in {time.monotonic() - began:.1f} s.")
    _print_next_steps(system)
    return 0


@deploy.command(hidden=True)
@click.argument("task")
def inside(task: str) -> None:
    """What a deployment does from inside a container: JSON on stdin, JSON on stdout.

    \b
    Examples:
      echo '{}' | prodctl deploy inside help
    """
    import json

    from prodcore.app.container_tasks import run_inside

    print_text(json.dumps(run_inside(task, json.load(sys.stdin))))


def _open(file: Path | None) -> DeployedSystem:
    from prodcore.deploy.config import load_deployment
    from prodcore.deploy.system import DeployedSystem
    from prodcore.settings import load_settings

    settings = load_settings()
    path = file or settings.deployment or Path("deploy.toml")
    return DeployedSystem(load_deployment(path), settings.state_dir, path)


def _progress_printer() -> Callable[[str, str], None]:
    began = time.monotonic()

    def show(subject: str, what: str) -> None:
        message(f"{time.monotonic() - began:6.1f} s  {subject:<12} {what}")

    return show


def _print_next_steps(system: DeployedSystem) -> None:
    web = system.deployment.web
    message(f"\n  Browser     {system.layout.url(system.layout.web)}")
    if web.proxy:
        message(f"              port {web.proxy.rpartition(':')[2]} of the Incus host")
    if code := system.operator.setup_code:
        message(f"  Setup code  {code}   (creates the first admin, once)")
    message(f"\n  export PRODCTL_ENV_FILE='{system.operator_env}'")


def _ask_for_name(name: str, containers: list[str]) -> None:
    from prodcore.errors import InvalidInput

    if not sys.stdin.isatty():
        raise InvalidInput("destroy asks for the deployment's name, but this is not a terminal", hint="--yes")
    there = f"The containers {', '.join(containers)}" if containers else "What is left"
    if typed(f"{there} will be gone with all data. Type {name!r}") != name:
        raise InvalidInput("that is another name; nothing was removed")
