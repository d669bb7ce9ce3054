"""The unit files: systemd accepts them, and what they start and need exists."""

import configparser
import shlex
import subprocess
from pathlib import Path

import pytest

from prodcore.settings import load_settings
from prodctl.cli import prodctl

UNITS = sorted((Path(__file__).parents[2] / "systemd").glob("*.service"))


def parse(unit):
    """The last value of each key, and all of those that may come several times."""

    class Several(dict):
        def __setitem__(self, key, value):
            if isinstance(value, list) and isinstance(self.get(key), list):
                self[key].extend(value)
            else:
                super().__setitem__(key, value)

    parser = configparser.RawConfigParser(dict_type=Several, strict=False)
    parser.optionxform = str
    parser.read_string(unit.read_text())
    return parser


@pytest.fixture(params=UNITS, ids=lambda path: path.name)
def unit(request):
    return request.param


def test_systemd_accepts_it(unit, tmp_path):
    text = unit.read_text()
    program = shlex.split(parse(unit)["Service"]["ExecStart"])[0]
    (tmp_path / unit.name).write_text(text.replace(program, "/bin/true"))  # verify wants it to be there
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / unit.name], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_it_is_hardened(unit):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=30", "--no-pager", unit],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_the_guards_unit_starts_a_command_that_is_there_with_settings_that_are_read(tmp_path, monkeypatch):
    service = parse(next(u for u in UNITS if u.name == "prodctl-guard.service"))["Service"]
    program, *words = shlex.split(service["ExecStart"])
    assert Path(program).name == "prodctl"
    command = prodctl
    for word in words:
        command = command.get_command(None, word)
    names = [line.split(":")[0] for line in service["LoadCredential"].splitlines()]
    for name in names:
        (tmp_path / name).write_text(f"mongodb://{name}/?replicaSet=rsX")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("PRODCTL_ENV_FILE", str(tmp_path / "none"))
    settings = load_settings()
    assert [getattr(settings, name).get_secret_value() for name in names] == [
        f"mongodb://{name}/?replicaSet=rsX" for name in names
    ]
    assert names == ["db1_url", "db2_url", "db3_url"]
