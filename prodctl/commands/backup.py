"""``prodctl backup``: everything that the system holds in one directory, and from it again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from prodcore.errors import EXIT_FOUND, EXIT_OK, Conflict, InvalidInput
from prodctl.terminal.arguments import Whole
from prodctl.terminal.groups import NounGroup
from prodctl.terminal.output import (
    columns,
    counted,
    interrupted,
    message,
    output_option,
    print_item,
    print_rows,
    row_writer,
    success,
)
from prodctl.terminal.prompt import confirm, confirm_options, row_progress
from prodctl.terminal.rows import size

if TYPE_CHECKING:
    from collections.abc import Callable

    from prodcore.app.backup import System, Verdict
    from prodcore.backup.archive import Backup, Manifest

_LIST_COLUMNS = columns("Name!", "Products>", "Users>", "Size=size_shown>", "Encrypted", "State~", "Path+")
_PROBLEM_COLUMNS = columns("File=field!", "Fault=message~", "Kind=code+")
_FILE_COLUMNS = columns("Set!", "Database", "Collection!", "Documents>", "Size=size_shown>", "Sha256+")

_ITEM_COLUMNS = columns("Kind", "Name~", "Id+", "Outcome", "Reason~")

DIRECTORY = click.Path(path_type=Path, file_okay=False)

F = TypeVar("F", bound="Callable[..., Any]")


def _key_option(command: F) -> F:
    option = click.option(
        "--key-file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="File of mode 0600 with the key of an encrypted backup.",
    )
    return option(command)


@click.group(cls=NounGroup)
def backup() -> None:
    """Back up everything into one directory, and restore from it.

    A backup is made while people work and shows one instant: products of every shard, users, shard map, imports, audit.
    It is as secret as the system itself. These commands go straight to the members (DB1_URL, DB2_URL, DB3_URL); list,
    show, verify and prune need no system at all.

    \b
    Examples:
      prodctl backup create backups                     make one
      prodctl backup verify backups/20260131T080000Z    is every byte unchanged?
      prodctl backup restore backups/20260131T080000Z   fill an empty system
    """


@backup.command()
@click.argument("directory", type=DIRECTORY)
@_key_option
@output_option
def create(output: str, directory: Path, key_file: Path | None) -> None:
    """Make a backup of everything in DIRECTORY, named by its time, while people work.

    Every write that was acknowledged before it began is in it, and none that began after it ended. It is written under
    a name that begins with a dot and renamed when every file is on disk, so an interrupted one leaves nothing behind.
    The files hold plain BSON, as mongodump writes it; with --key-file they are encrypted.

    \b
    Examples:
      prodctl backup create /mnt/backups
      prodctl backup create /mnt/backups --key-file ~/backup.key
      prodctl backup create /mnt/backups -o json | jq -r .path
    """
    from prodcore.app.backup import open_system
    from prodcore.settings import load_settings

    secret, began = _secret(key_file), time.monotonic()
    with (
        interrupted("The incomplete backup was removed."),
        open_system(load_settings()) as system,
        _progress(None, system.count()) as noted,
    ):
        manifest = system.create(directory, secret, noted)
    for product in manifest.unresolved:
        message(f"Product {product} is in no shard, though another says that it moved: prodctl shard verify")
    seconds = round(time.monotonic() - began, 1)
    print_item({**_facts(directory / manifest.name, manifest), "seconds": seconds}, output, kind="backup")


@backup.command("list")
@click.argument("directory", type=DIRECTORY)
@output_option
def list_backups(output: str, directory: Path) -> None:
    """List the backups in DIRECTORY, newest first.

    State is "whole" when the manifest is unchanged and every file has its size; "verify" reads every byte.

    \b
    Examples:
      prodctl backup list /mnt/backups
      prodctl backup list /mnt/backups -o json | jq -r '.items[0].path'
    """
    from prodcore.backup.archive import Backup, backups_in, is_whole

    rows: list[dict[str, Any]] = []
    for path in backups_in(directory):
        state = "whole" if is_whole(path) else "damaged"
        try:
            rows.append({**_facts(path, Backup(path).manifest), "state": state})
        except InvalidInput:
            rows.append({"name": path.name, "path": str(path), "state": state})
    shown = [{**row, "size_shown": size(row["size"]) if "size" in row else ""} for row in rows]
    if output in ("json", "yaml"):
        shown = rows
    print_rows(shown, _LIST_COLUMNS, output, kind="backups", empty="There is no backup.")


@backup.command()
@click.argument("path", metavar="BACKUP", type=DIRECTORY)
@_key_option
@output_option
def verify(output: str, path: Path, key_file: Path | None) -> int:
    """Check every byte of BACKUP, without a system: is it what was written?

    Compares checksums and sizes of all files, then reads every document and counts them. Files that do not belong to
    the backup are listed too. Without its key, an encrypted backup is checked by its checksums alone.

    Exit status 0 when nothing is wrong, 6 when something was found.

    \b
    Examples:
      prodctl backup verify /mnt/backups/20260131T080000Z
      prodctl backup verify backups/20260131T080000Z --key-file b.key -o json
    """
    verdict = _verified(path, _secret(key_file))
    rows = [problem.as_dict() for problem in verdict.problems]
    facts = {"documents": verdict.documents, "elsewhere": verdict.elsewhere}
    print_rows(rows, _PROBLEM_COLUMNS, output, kind="backup_verify", extra=facts, empty="Nothing is wrong.")
    if verdict.elsewhere:
        message(f"{counted(verdict.elsewhere, 'product')} in a shard that did not own the name: restore corrects this")
    if verdict.documents is None and not rows:
        message("Only checksums were checked: it is encrypted, and --key-file was not given.")
    elif verdict.documents is not None:
        found = counted(len(rows), "fault") if rows else "nothing"
        success(f"{counted(verdict.documents, 'document')} looked at, found: {found}", output)
    return EXIT_FOUND if rows else EXIT_OK


@backup.command()
@click.argument("path", metavar="BACKUP", type=DIRECTORY)
@output_option
def show(output: str, path: Path) -> None:
    """Show what is in BACKUP: the collections of each set, with documents and sizes.

    \b
    Examples:
      prodctl backup show /mnt/backups/20260131T080000Z
      prodctl backup show /mnt/backups/20260131T080000Z -o json | jq .ranges
    """
    from prodcore.backup.archive import Backup

    manifest = Backup(path).manifest
    rows: list[dict[str, Any]] = []
    for file in manifest.collections:
        set_name, database, collection = file.place
        row = {"set": set_name, "database": database, "collection": collection, "documents": file.documents}
        rows.append({**row, "size": file.size, "size_shown": size(file.size), "sha256": file.sha256})
    facts = {**_facts(path, manifest), "schema_version": manifest.schema_version, "ranges": list(manifest.ranges)}
    print_rows(rows, _FILE_COLUMNS, output, kind="backup_contents", extra=facts)
    made = f"{manifest.began:%Y-%m-%d %H:%M:%S} UTC, by prodctl {manifest.prodctl}, shard map {manifest.map_version}"
    success(f"Made {made}{', encrypted' if manifest.encryption else ''}.", output)


@backup.command()
@click.argument("path", metavar="BACKUP", type=DIRECTORY)
@click.option("--product", "products", multiple=True, metavar="NAME|ID", help="Only this product; may be repeated.")
@click.option("--category", "categories", multiple=True, help="Only products of this category; may be repeated.")
@click.option("--user", "users", multiple=True, metavar="NAME", help="Only this user; may be repeated.")
@click.option("--replace", is_flag=True, help="Replace what the system holds.")
@_key_option
@confirm_options
@output_option
def restore(
    output: str,
    path: Path,
    products: tuple[str, ...],
    categories: tuple[str, ...],
    users: tuple[str, ...],
    replace: bool,
    key_file: Path | None,
    yes: bool,
    no_input: bool,
) -> int:
    """Restore BACKUP, or a part of it, into the system of the settings.

    The whole backup is verified first; a damaged one changes nothing. Products go to the shards that own their names in
    this system's shard map, whatever the number of shards before. A system that contains products or users is refused,
    unless --replace is given: they are removed first, after asking. Nobody should work meanwhile, and everybody has to
    log in again afterwards.

    With --product, --category or --user, only those are restored, beside existing data and while people work. A name
    stands for all its variants. What exists and differs is left out, unless --replace is given: the product is then
    edited to have its old values, with an entry in its history.

    Exit status 6 when something was left out. After an interruption, run it again (a full restore with --replace).

    \b
    Examples:
      prodctl backup restore /mnt/backups/20260131T080000Z
      prodctl backup restore backups/20260131T080000Z --replace --key-file b.key
      prodctl backup restore backups/20260131T080000Z --product "Café molido"
      prodctl backup restore backups/20260131T080000Z --category Lácteos --replace
      prodctl backup restore /mnt/backups/20260131T080000Z --user ana
    """
    from prodcore.app.backup import open_system
    from prodcore.settings import load_settings

    settings = load_settings()
    source = _whole(path, _secret(key_file))
    with open_system(settings) as system:
        if products or categories or users:
            if replace:
                confirm(f"Restore what differs to its values at {_moment(source)}?", yes=yes, no_input=no_input)
            return _restore_some(system, source, (products, categories, users), replace, output)
        if held := system.held():
            has = f"{counted(held.products, 'product')} and {counted(held.users, 'user')}"
            if not replace:
                raise Conflict(f"the system holds {has}", hint="--replace removes them first")
            confirm(f"Remove {has}, and restore the state at {_moment(source)}?", yes=yes, no_input=no_input)
        return _restore_all(system, source, bool(held), output)


def _restore_all(system: System, source: Backup, replace: bool, output: str) -> int:
    began = time.monotonic()
    with interrupted("It is partly restored: run it again with --replace."), _progress(source.manifest) as noted:
        restored = system.restore(source, replace=replace, on_documents=noted)
    for problem in restored.left_out:
        message(f"Left out: {problem.field} {problem.message}")
    facts = {
        "products": restored.products,
        "users": restored.users,
        "records": restored.records,
        "left_out": [problem.as_dict() for problem in restored.left_out],
        "seconds": round(time.monotonic() - began, 1),
    }
    shown = facts if output in ("json", "yaml") else {**facts, "left_out": len(restored.left_out)}
    print_item(shown, output, kind="restored")
    success("Next: prodctl shard verify", output)
    return EXIT_FOUND if restored.left_out else EXIT_OK


def _restore_some(
    system: System, source: Backup, chosen: tuple[tuple[str, ...], ...], replace: bool, output: str
) -> int:
    from prodcore.mongo.restore import Selection

    writer = row_writer(_ITEM_COLUMNS, output, "restored_items", "Nothing was restored.")
    outcomes: Counter[str] = Counter()
    with interrupted("Each of them is complete by itself: run it again."), _progress(source.manifest) as noted:
        for item in system.restore_some(source, Selection(*chosen), replace=replace, on_documents=noted):
            outcomes[item.outcome] += 1
            writer.add([item.as_dict()])
    writer.finish({"outcomes": dict(outcomes)})
    success(", ".join(f"{count:,} {outcome.replace('_', ' ')}" for outcome, count in outcomes.items()), output)
    return EXIT_FOUND if outcomes["left_out"] else EXIT_OK


@backup.command()
@click.argument("directory", type=DIRECTORY)
@click.option("--keep", type=Whole(1), required=True, help="How many complete backups to keep.")
@confirm_options
@output_option
def prune(output: str, directory: Path, keep: int, yes: bool, no_input: bool) -> None:
    """Remove the oldest backups in DIRECTORY, after asking; the newest --keep complete ones stay.

    A damaged backup does not count, so the last complete one is never removed. Remains of interrupted backups are
    removed too.

    \b
    Examples:
      prodctl backup prune /mnt/backups --keep 14
      prodctl backup prune /mnt/backups --keep 14 --yes -o json
    """
    from prodcore.backup.archive import backups_in, remove, remove_unfinished, superfluous

    doomed = superfluous(backups_in(directory), keep)
    if doomed:
        confirm(
            f"Remove {counted(len(doomed), 'backup')}, {doomed[-1].name} to {doomed[0].name}?",
            yes=yes,
            no_input=no_input,
        )
    for old in doomed:
        remove(old)
    remove_unfinished(directory)
    rows = [{"name": old.name, "path": str(old)} for old in doomed]
    print_rows(rows, columns("Name!", "Path"), output, kind="removed_backups", empty="There is nothing to remove.")


def _secret(key_file: Path | None) -> bytes | None:
    from prodcore.backup.sealing import read_key_file

    return read_key_file(key_file) if key_file else None


def _verified(path: Path, secret: bytes | None) -> Verdict:
    from prodcore.app.backup import verify_backup
    from prodcore.backup.archive import Backup

    manifest = None
    try:
        manifest = Backup(path, secret).manifest
    except InvalidInput as error:
        if not error.problems:
            raise
    with _progress(manifest) as noted:
        return verify_backup(path, secret, noted)


def _whole(path: Path, secret: bytes | None) -> Backup:
    """The backup, once nothing was found wrong with it. Raises InvalidInput."""
    from prodcore.backup.archive import Backup

    source = Backup(path, secret)
    source.require_key()
    if problems := _verified(path, secret).problems:
        raise InvalidInput(problems=problems, hint="nothing was changed; take another backup, or another copy of it")
    return source


@contextmanager
def _progress(manifest: Manifest | None, total: int = 0) -> Iterator[Callable[[int], None]]:
    """Shows how many documents are done, of those of a backup or of ``total``."""
    done = 0
    if manifest:
        total = sum(file.documents or 0 for file in manifest.collections)
    with row_progress(lambda: done, total or None, "documents") as tell:

        def noted(documents: int) -> None:
            nonlocal done
            done = documents
            tell(documents)

        yield noted


def _moment(source: Backup) -> str:
    return f"{source.manifest.began:%Y-%m-%d %H:%M:%S} UTC"


def _facts(path: Path, manifest: Manifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "path": str(path),
        "made": f"{manifest.began:%Y-%m-%dT%H:%M:%SZ}",
        "products": manifest.products,
        "users": manifest.users,
        "size": sum(file.size for file in manifest.files),
        "encrypted": manifest.encryption is not None,
        "map_version": manifest.map_version,
        "prodctl": manifest.prodctl,
    }
