"""Backups on disk: how they are written, that no changed byte passes, and which of them may be removed."""

import errno
import json
import os
import stat
from datetime import UTC, datetime
from itertools import count

import bson
import pytest

from prodcore.backup.archive import MOVING, Backup, BackupWriter, Manifest, backup_name, backups_in
from prodcore.backup.sealing import Key
from prodcore.errors import ConfigError, Conflict, InvalidInput, Unavailable, UnreadableInput
from prodcore.mongo.restore import as_restored, documents_of, routing_key
from prodcore.mongo.snapshot import CODEC, count_documents, current_document, documents_in
from prodcore.routing import DEFAULT_MAP
from tests.support.cli import Cli

SECRET = b"s" * 44
MOMENT = datetime(2026, 1, 31, 8, tzinfo=UTC)
FACTS = {
    "prodctl": "0.1.0",
    "schema_version": 5,
    "began": MOMENT,
    "ended": MOMENT,
    "map_version": 1,
    "ranges": DEFAULT_MAP.as_document()["ranges"],
    "sets": {"rsA": {"is_shard": True, "at": 1}, "rsU": {"is_shard": False, "at": 2}},
}
FILES = {
    ("rsA", "products_db", "products.bson"): [{"_id": n, "name_key": "arroz", "filler": "x" * n} for n in range(300)],
    ("rsU", "auth_db", "users.bson"): [{"_id": "u1", "password_hash": "h"}],
    (MOVING, "products_db", "products.bson"): [],
}


def write(directory, name="20260131T080000Z", secret=None, files=FILES):
    writer = BackupWriter(directory, name, secret)
    with writer.begun():
        for place, documents in files.items():
            with writer.file(*place) as file:
                file.documents = len(documents)
                for document in documents:
                    file.add(bson.encode(document))
        with writer.file("rsA", "products_db", "products.metadata.json") as file:
            file.add(b"{}")
        writer.finish(**FACTS)
    return directory / name


@pytest.fixture
def cli(tmp_path):
    return Cli(tmp_path / "state")


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "backup.key"
    path.write_bytes(SECRET + b"\n")
    path.chmod(0o600)
    return path


def test_only_the_owner_can_read_it_and_nothing_unfinished_is_left(tmp_path):
    path = write(tmp_path / "backups")
    modes = {stat.S_IMODE(p.stat().st_mode) for p in (path, *path.rglob("*")) if p.is_dir()}
    assert modes == {0o700}
    assert {stat.S_IMODE(p.stat().st_mode) for p in path.rglob("*") if p.is_file()} == {0o600}
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_files_are_plain_bson_one_document_after_the_other(tmp_path):
    path = write(tmp_path)
    with (path / "rsA/products_db/products.bson").open("rb") as file:
        assert list(bson.decode_file_iter(file)) == FILES["rsA", "products_db", "products.bson"]


def test_what_was_cut_short_leaves_nothing(tmp_path):
    def cut_short():
        writer = BackupWriter(tmp_path, "20260131T080000Z", None)
        with writer.begun(), writer.file("rsA", "products_db", "products.bson") as file:
            file.add(b"some")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_short()
    assert list(tmp_path.iterdir()) == []


def test_directory_that_is_there_keeps_its_mode(tmp_path):
    tmp_path.chmod(0o755)
    write(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_full_disk_and_a_file_in_place_of_the_directory_are_said_in_words(tmp_path):
    def fill_up():
        with BackupWriter(tmp_path, "20260131T080000Z", None).begun():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(Unavailable, match="cannot be written: no space left on device"):
        fill_up()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="file exists"):
        write(tmp_path / "file")


def test_two_that_begin_in_one_second_do_not_mix(tmp_path):
    write(tmp_path)
    with pytest.raises(Conflict, match="in this second"):
        write(tmp_path)
    with BackupWriter(tmp_path, "20260131T080001Z", None).begun(), pytest.raises(Conflict, match="in this second"):
        write(tmp_path, "20260131T080001Z")


@pytest.mark.parametrize("secret", [None, SECRET], ids=["plain", "encrypted"])
def test_verify_finds_a_flipped_byte_in_any_file(cli, tmp_path, key_file, secret):
    path = write(tmp_path, secret=secret)
    key = ["--key-file", str(key_file)] if secret else []
    told = cli.inside("backup", "verify", str(path), *key, "-o", "json")
    assert (told.status, told.json["items"], told.json["documents"]) == (0, [], 301)
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        whole = file.read_bytes()
        for at in {0, len(whole) // 2, len(whole) - 1} if whole else ():
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            told = cli.inside("backup", "verify", str(path), *key, "-o", "json")
            name = "manifest.json" if file.parent == path else str(file.relative_to(path))
            assert (told.status, [item["field"] for item in told.json["items"]]) == (6, [name])
        file.write_bytes(whole)
    assert cli.inside("backup", "verify", str(path), *key).status == 0


def test_verify_finds_what_is_missing_and_what_does_not_belong_there(cli, tmp_path):
    path = write(tmp_path)
    (path / "rsU/auth_db/users.bson").unlink()
    (path / "rsA/stray").write_text("")
    told = cli.inside("backup", "verify", str(path), "-o", "json")
    assert {item["field"]: item["code"] for item in told.json["items"]} == {
        "rsU/auth_db/users.bson": "missing",
        "rsA/stray": "unknown",
    }
    assert told.status == 6


def test_verify_finds_bson_that_was_written_wrong(cli, tmp_path):
    writer = BackupWriter(tmp_path, "20260131T080000Z", None)
    with writer.begun():
        with writer.file("rsA", "products_db", "products.bson") as file:
            file.documents = 2
            file.add(bson.encode({"_id": 1}))
        with writer.file("rsA", "products_db", "imports.bson") as file:
            file.documents = 1
            file.add(bson.encode({"_id": 1})[:-3])
        writer.finish(**FACTS)
    told = cli.inside("backup", "verify", str(tmp_path / "20260131T080000Z"), "-o", "json")
    assert {item["field"].split("/")[-1]: item["code"] for item in told.json["items"]} == {
        "products.bson": "incomplete",
        "imports.bson": "unreadable",
    }


def test_encrypted_files_show_nothing_and_need_their_key(cli, tmp_path, key_file):
    path = write(tmp_path, secret=SECRET)
    assert not any(b"arroz" in p.read_bytes() for p in path.rglob("*") if p.is_file())
    locked = cli.inside("backup", "verify", str(path))
    assert locked.status == 0
    assert "Only checksums were checked" in locked.err
    other = tmp_path / "other.key"
    other.write_bytes(b"o" * 44)
    other.chmod(0o600)
    wrong = cli.inside("backup", "verify", str(path), "--key-file", str(other))
    assert (wrong.status, wrong.err.splitlines()[0]) == (2, f"Error: --key-file: {path} was encrypted with another key")
    plain = cli.inside("backup", "verify", str(write(tmp_path / "plain")), "--key-file", str(key_file))
    assert (plain.status, "is not encrypted" in plain.err) == (2, True)
    refused = cli.inside("backup", "restore", str(path))
    assert (refused.status, refused.err) == (2, f"Error: --key-file: is needed: {path} is encrypted\n")


def test_file_of_one_encrypted_backup_does_not_pass_for_another(tmp_path):
    one, two = write(tmp_path, secret=SECRET), write(tmp_path, "20260131T080001Z", secret=SECRET)
    listed = next(file for file in Backup(one, SECRET).manifest.files if file.path.startswith("rsU"))
    (two / listed.path).write_bytes((one / listed.path).read_bytes())
    with pytest.raises(Exception, match="was altered"), Backup(two, SECRET).reading(listed) as file:
        file.read()


def test_manifest_of_an_encrypted_backup_cannot_be_written_by_others(tmp_path):
    from hashlib import sha256

    path = write(tmp_path, secret=SECRET)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"] = manifest["files"][1:]
    text = json.dumps(manifest).encode()
    (path / "manifest.json").write_bytes(text)
    (path / "manifest.sha256").write_text(f"{sha256(text).hexdigest()}  manifest.json\n")
    assert Backup(path).manifest.files
    with pytest.raises(InvalidInput, match="not signed with this key"):
        Backup(path, SECRET)


def test_signature_is_of_the_text_whatever_fields_a_later_version_adds(tmp_path):
    text = Backup(write(tmp_path), None).manifest.text(None)
    key = Key(SECRET, b"salt")
    encryption = b'{"salt": "%s", "key_mark": "m", "signature": ""}' % (b"0" * 64)
    older = text.replace(b' "old_places": 0,\n', b"").replace(b"null\n}", encryption + b"\n}")
    signed = older.replace(b'"signature": ""', b'"signature": "%s"' % key.sign(older).encode())
    manifest = Manifest.model_validate_json(signed)
    assert manifest.is_signed(signed, key)
    assert not manifest.is_signed(signed.replace(b"rsU", b"rsV"), key)


@pytest.mark.parametrize(("content", "mode", "fault"), [(b"short", 0o600, "fewer than"), (SECRET, 0o644, "is open to")])
def test_key_file_that_is_weak_or_open_is_refused(cli, tmp_path, content, mode, fault):
    key = tmp_path / "bad.key"
    key.write_bytes(content)
    key.chmod(mode)
    told = cli.inside("backup", "verify", str(write(tmp_path)), "--key-file", str(key))
    assert told.status == 2
    assert fault in told.err


@pytest.mark.parametrize("path", ["../../etc/passwd", "rsA/products_db/../../x", "/etc/passwd", "rsA/products_db"])
def test_manifest_cannot_name_a_file_elsewhere(cli, tmp_path, path):
    from hashlib import sha256

    made = write(tmp_path)
    text = (made / "manifest.json").read_bytes().replace(b"rsU/auth_db/users.bson", path.encode())
    (made / "manifest.json").write_bytes(text)
    (made / "manifest.sha256").write_text(f"{sha256(text).hexdigest()}  manifest.json\n")
    told = cli.inside("backup", "verify", str(made), "-o", "json")
    assert (told.status, [item["field"] for item in told.json["items"]]) == (6, ["manifest.json"])


def test_what_is_no_backup_is_said_to_be_none(cli, tmp_path):
    with pytest.raises(UnreadableInput):
        Backup(tmp_path)
    for command in ("verify", "show", "restore"):
        told = cli.inside("backup", command, str(tmp_path))
        assert (told.status, told.out) == (2, "")
        assert told.err.startswith(f"Error: {tmp_path} is not a backup: ")


def test_damaged_backup_is_not_restored_and_no_system_is_asked(cli, tmp_path):
    path = write(tmp_path)
    (path / "rsU/auth_db/users.bson").write_bytes(b"")
    told = cli.inside("backup", "restore", str(path), "--replace", "--yes")
    assert told.status == 2
    assert "rsU/auth_db/users.bson: has 0 bytes" in told.err
    assert "nothing was changed" in told.err


def test_show_and_list_tell_what_is_there(cli, tmp_path):
    path = write(tmp_path)
    write(tmp_path, "20260131T090000Z", secret=SECRET)
    shown = cli.inside("backup", "show", str(path), "-o", "json").json
    assert [(i["set"], i["collection"], i["documents"]) for i in shown["items"]] == [
        (MOVING, "products", 0),
        ("rsA", "products", 300),
        ("rsU", "users", 1),
    ]
    assert (shown["products"], shown["users"], shown["map_version"]) == (300, 1, 1)
    (path / "manifest.json").write_bytes(b"{")
    listed = cli.inside("backup", "list", str(tmp_path), "-o", "json").json["items"]
    assert [(i["name"], i["state"], i.get("encrypted")) for i in listed] == [
        ("20260131T090000Z", "whole", True),
        ("20260131T080000Z", "damaged", None),
    ]
    assert max(map(len, cli.inside("backup", "list", str(tmp_path)).out.splitlines())) <= 80


def test_prune_keeps_the_newest_whole_ones_whatever_is_damaged(cli, tmp_path):
    numbers = count()
    paths = [write(tmp_path, backup_name(MOMENT.replace(minute=next(numbers)))) for _ in range(5)]
    for damaged in (paths[4], paths[2]):
        (damaged / "rsU/auth_db/users.bson").unlink()
    (tmp_path / ".20260131T070000Z.unfinished").mkdir()
    refused = cli.inside("backup", "prune", str(tmp_path), "--keep", "2")
    assert (refused.status, len(backups_in(tmp_path))) == (2, 5)
    assert "pass --yes" in refused.err
    told = cli.inside("backup", "prune", str(tmp_path), "--keep", "2", "--yes", "-o", "json")
    assert [item["name"] for item in told.json["items"]] == [paths[0].name]
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "state") == [p.name for p in paths[1:]]
    for _again in range(2):
        cli.inside("backup", "prune", str(tmp_path), "--keep", "1", "--yes")
    assert backups_in(tmp_path) == [paths[4], paths[3]]
    assert cli.inside("backup", "prune", str(tmp_path), "--keep", "0").status == 2


def test_prune_leaves_a_backup_that_is_being_made(cli, tmp_path):
    with BackupWriter(tmp_path, "20260131T080000Z", None).begun():
        assert cli.inside("backup", "prune", str(tmp_path), "--keep", "1").status == 0
        assert [p.name for p in tmp_path.glob(".*")] == [".20260131T080000Z.unfinished"]


def test_create_without_addresses_says_which_are_missing(cli, tmp_path):
    told = cli.inside("backup", "create", str(tmp_path / "backups"))
    assert told.status == 2
    assert "DB1_URL" in told.err
    assert not (tmp_path / "backups").exists()


def test_documents_are_split_and_counted_by_their_lengths():
    batch = b"".join(bson.encode({"_id": n}) for n in range(7))
    assert [bson.decode(raw)["_id"] for raw in documents_in(batch)] == list(range(7))
    assert count_documents(batch) == 7


def test_file_that_ends_in_a_document_is_no_bson(tmp_path):
    path = tmp_path / "x.bson"
    for content in (b"\x05", bson.encode({"a": 1})[:-1], b"\xff\xff\xff\xff"):
        path.write_bytes(content)
        with path.open("rb") as file, pytest.raises(ValueError, match="document"):
            list(documents_of(file))


MOVE = {"id": 1, "product": 7, "source": "rsA", "target": "rsB", "since": MOMENT}


def doc(version=1, state="", **fields):
    return {"_id": 7, "version": version, **({"move": {**MOVE, "state": state}} if state else {}), **fields}


@pytest.mark.parametrize(
    ("there", "version"),
    [
        ({"rsA": doc(1)}, 1),
        ({"rsA": doc(1, "intended")}, 1),
        ({"rsA": doc(1, "entering")}, 1),
        ({"rsA": doc(1, "intended"), "rsB": doc(2, "pending")}, 1),
        ({"rsA": doc(1, "moved"), "rsB": doc(2, "pending")}, 2),
        ({"rsA": doc(1, "moved"), "rsB": doc(2)}, 2),
        ({"rsA": doc(1), "rsB": doc(2)}, 2),
        ({"rsB": doc(2, "pending")}, None),
        ({"rsA": doc(1, "moved")}, None),
    ],
)
def test_of_what_a_move_leaves_one_document_is_the_product(there, version):
    found = current_document(there)
    assert (found and found["version"]) == version


def test_restored_product_tells_nothing_of_moves_and_old_places_do_not_come_back():
    moves = [{"id": 1, "source": "rsA", "target": "rsB"}]
    assert as_restored(doc(1, "intended", moves=moves, intention={})) == doc(1)
    assert as_restored(doc(1, "moved")) is None
    assert as_restored(doc(1, "pending")) is None
    assert as_restored({**doc(1), "_id": "7/1"}) is None
    assert as_restored(doc(1), {7}) is None


def test_deleted_product_is_routed_by_the_name_that_it_had():
    assert routing_key({"name_key": "\U0010ffff7", "deleted": {"name_key": "arroz"}}) == "arroz"
    assert routing_key({"name_key": "zumo"}) == "zumo"


def test_values_keep_their_types(tmp_path):
    document = {"_id": 1, "long": bson.Int64(5), "at": MOMENT}
    again = bson.decode(bson.encode(document, codec_options=CODEC), CODEC)
    assert bson.encode(again, codec_options=CODEC) == bson.encode(document, codec_options=CODEC)


def test_key_file_that_is_not_there_says_how_to_make_one(tmp_path):
    from prodcore.backup.sealing import read_key_file

    with pytest.raises(ConfigError) as refused:
        read_key_file(tmp_path / "none.key")
    assert "openssl rand" in refused.value.hint
