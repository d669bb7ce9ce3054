"""The unit files: systemd accepts them, and what they start and need exists."""

import configparser
import os
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import prodcore.deploy
from prodcore.settings import load_settings
from prodctl.cli import prodctl

DIRECTORY = Path(prodcore.deploy.__file__).parent / "systemd"
UNITS = sorted(DIRECTORY.glob("*.service"))
OURS = [unit for unit in UNITS if unit.name.startswith("prodctl-")]
EVERY_URL = ["db1_url", "db2_url", "db3_url"]
CREDENTIALS = {
    "webapp": [*EVERY_URL, "session_secret", "service_secret"],
    "authsvc": ["db3_url", "service_secret"],
    "guard": EVERY_URL,
    "drills": EVERY_URL,
    "drill": EVERY_URL,
    "backup": EVERY_URL,
}


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


def test_systemd_accepts_them(tmp_path):
    names = []
    for path in DIRECTORY.iterdir():
        text = path.read_text()
        if path.suffix == ".service":
            program = shlex.split(parse(path)["Service"]["ExecStart"].splitlines()[0])[0]
            text = text.replace(program, "/bin/true")  # verify wants it to be there
        names.append(path.name.replace("@.", "@27017."))
        (tmp_path / path.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *(tmp_path / name for name in names)],
        capture_output=True, text=True, timeout=60, check=False, env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_it_is_hardened(unit):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=30", "--no-pager", unit],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("unit", OURS, ids=lambda path: path.name)
def test_every_credential_is_a_setting_that_is_read_by_its_name(unit, tmp_path, monkeypatch):
    name = unit.stem.removeprefix("prodctl-")
    given = [line.split(":") for line in parse(unit)["Service"]["LoadCredential"].splitlines()]
    assert [setting for setting, _path in given] == CREDENTIALS[name]
    assert [path for _setting, path in given] == [f"/etc/prodctl/{name}/{setting}" for setting in CREDENTIALS[name]]
    values = {setting: f"mongodb://{setting}.example/?replicaSet=rsX" for setting in CREDENTIALS[name]}
    for setting, value in values.items():
        (tmp_path / setting).write_text(value)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("PRODCTL_ENV_FILE", os.devnull)
    settings = load_settings()
    assert {setting: getattr(settings, setting).get_secret_value() for setting in values} == values


def test_the_address_of_a_further_shard_comes_as_a_credential_and_stays(tmp_path, monkeypatch):
    url = "mongodb://db4.example/?replicaSet=rsC"
    (tmp_path / "db4_url").write_text(url)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("PRODCTL_ENV_FILE", os.devnull)
    read = load_settings()
    for settings in (read, read.changed(heartbeat_ms=2_000), load_settings(db4_url=url).changed()):
        assert settings.set_urls()["db4_url"].get_secret_value() == url


@pytest.mark.parametrize("unit", OURS, ids=lambda path: path.name)
def test_it_starts_a_program_that_is_there(unit, monkeypatch, capsys):
    words = shlex.split(parse(unit)["Service"]["ExecStart"].splitlines()[0])
    if words[0] == "/bin/sh":
        words = shlex.split(words[2].removeprefix("exec "))
    assert words[0].startswith("/opt/prodctl/current/bin/")
    if words[1] == "-m":
        monkeypatch.setattr("sys.argv", [*words[2:], "--help"])
        monkeypatch.delitem(sys.modules, words[2], raising=False)  # another test may have imported it
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(words[2], run_name="__main__")
        assert ended.value.code == 0
        assert words[3] in capsys.readouterr().out
        return
    command = prodctl
    for word in words[1:]:
        if word.startswith(("--", "%", "$")):
            break
        command = command.get_command(None, word)
    assert command is not None
