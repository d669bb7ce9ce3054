"""The one writer, reader and lock of private files, attacked with modes and symbolic links."""

import os
from pathlib import Path

import pytest

from prodcore.errors import ConfigError
from prodcore.support.secure_files import locked, read_private, write_private
from prodctl.client.api import Credentials, Login

URL = "http://127.0.0.1:3000"


def test_a_file_is_private_whatever_the_umask_and_whoever_made_it_open_before(tmp_path):
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o666)
    old = os.umask(0)
    try:
        assert write_private(path, "old")
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o600
    assert not write_private(path, "old")
    assert sorted(tmp_path.iterdir()) == [path]


def test_file_and_directory_reach_the_disk_before_the_write_is_done(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
    )
    write_private(tmp_path / "secret", b"new")
    assert synced[0].startswith(str(tmp_path / ".secret."))
    assert synced[1] == str(tmp_path)


def test_no_symbolic_link_is_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    victim.chmod(0o600)
    for name in ("credentials.json", "credentials.partial", ".credentials.json.new", "credentials.lock"):
        (tmp_path / name).symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        read_private(tmp_path / "credentials.json")
    with pytest.raises(OSError, match="symbolic links"), locked(tmp_path / "credentials.lock"):
        pass
    write_private(tmp_path / "credentials.json", "mine")
    assert victim.read_text() == "untouched"
    assert not (tmp_path / "credentials.json").is_symlink()


@pytest.mark.parametrize("mode", [0o666, 0o640, 0o604, 0o620])
def test_logins_that_others_may_read_or_write_are_refused_with_the_way_out(tmp_path, mode):
    credentials = Credentials(tmp_path)
    credentials.put(URL, Login("ana", "access", "refresh"))
    assert credentials.get(URL) == Login("ana", "access", "refresh")
    path = tmp_path / "credentials.json"
    path.chmod(mode)
    with pytest.raises(ConfigError) as refused:
        credentials.get(URL)
    assert refused.value.hint == f"chmod 600 {path}"


def test_a_lock_is_held_once(tmp_path):
    with locked(tmp_path / "lock"), pytest.raises(BlockingIOError), locked(tmp_path / "lock", wait=False):
        pass
    with locked(tmp_path / "lock", wait=False):
        pass
