"""``prodctl config show`` and what is said of settings that cannot work, wherever they come from."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("prodctl")


def config_show(tmp_path, *arguments, toml=None, env=None, mode=0o600, **environment):
    """Run the installed program with these files and nothing else of the machine's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PRODCTL_", "DB")) and k != "PORT"}
    for name, text in (("config.toml", toml), ("some.env", env)):
        if text is not None:
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(mode)
    files = {"PRODCTL_CONFIG": tmp_path / "config.toml", "PRODCTL_ENV_FILE": tmp_path / "some.env"}
    places = {name: str(file) for name, file in files.items() if file.exists()}
    done = subprocess.run(
        [PROGRAM, "config", "show", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=kept | places | {"PRODCTL_STATE_DIR": str(tmp_path)} | environment,
        check=False,
    )
    return done.stdout, done.stderr, done.returncode


def test_each_setting_with_its_value_and_the_first_place_that_has_it(tmp_path):
    given = {"toml": 'currency = "USD"\nworkers = 3\n', "env": "PRODCTL_WORKERS=4\nPRODCTL_THREADS=5\n"}
    out, err, status = config_show(tmp_path, "--origin", "-o", "csv", **given, PRODCTL_THREADS="6")
    assert (err, status) == ("", 0)
    rows = {line.split(",")[0]: line.split(",")[1:3] for line in out.splitlines()}
    assert rows["setting"] == ["value", "origin"]
    assert rows["currency"] == ["USD", str(tmp_path / "config.toml")]
    assert rows["workers"] == ["4", str(tmp_path / "some.env")]
    assert rows["threads"] == ["6", "environment"]
    assert rows["bind"] == ["127.0.0.1", "default"]


def test_secrets_are_masked(tmp_path):
    out, err, status = config_show(tmp_path, "-o", "wide", PRODCTL_TOKEN="hush-hush")
    assert (err, status) == ("", 0)
    assert "hush" not in out
    assert "*****" in out


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"PORT": "0"}, "PORT: must be at least 1 (from environment)"),
        ({"PORT": "70000"}, "PORT: must be at most 65,535 (from environment)"),
        ({"toml": "workers = 0"}, "workers: must be at least 1 (from {tmp}/config.toml)"),
        ({"PORT": "x"}, "PORT: must be a whole number (from environment)"),
        ({"PRODCTL_REGISTRATION": "maybe"}, "PRODCTL_REGISTRATION: must be closed, invitation or open (from"),
        ({"PRODCTL_CURRENCY": "euro"}, "PRODCTL_CURRENCY: does not have the right form: Currency of a price"),
        ({"PRODCTL_REQUEST_BUDGET_SECONDS": "nan"}, "PRODCTL_REQUEST_BUDGET_SECONDS: must be a number (from"),
        ({"PRODCTL_LOCAL_GUARD": "perhaps"}, "PRODCTL_LOCAL_GUARD: must be true or false (from"),
        ({"PRODCTL_SESSION_SECRET": "short"}, "PRODCTL_SESSION_SECRET: must have at least 32 characters (from"),
        ({"PRODCTL_ENV_FILE": "/nope"}, "/nope cannot be read: no such file or directory\n"),
        ({"PRODCTL_ENV_FILE": "/dev/null/x"}, "/dev/null/x cannot be read: not a directory\n"),
        ({"PRODCTL_CONFIG": "/nope"}, "/nope cannot be read: no such file or directory\n"),
        ({"toml": "url = 5"}, "url: must be text (from {tmp}/config.toml)"),
        ({"toml": "wrokers = 1"}, "wrokers: there is no such setting (from {tmp}/config.toml)"),
        ({"toml": "url = "}, "{tmp}/config.toml is not valid TOML: "),
        ({"env": "PORT=1", "mode": 0o644}, "{tmp}/some.env can be read by other users (mode 0644)"),
    ],
)
def test_settings_that_cannot_work_are_named_with_their_place(tmp_path, given, says):
    out, err, status = config_show(tmp_path, **given)
    assert (out, status) == ("", 2)
    assert err.startswith(f"Error: {says.format(tmp=tmp_path)}")


def test_all_problems_are_told_at_once(tmp_path):
    out, err, status = config_show(tmp_path, PORT="0", PRODCTL_WORKERS="x")
    assert (out, status) == ("", 2)
    assert err.splitlines()[0] == "Error: The settings are not valid"
    assert len(err.splitlines()) == 3


def test_any_number_of_shards_has_addresses_from_every_place(tmp_path):
    given = {"toml": 'db4_url = "mongodb://c/?replicaSet=rsC"\n', "env": "DB5_URL=mongodb://d/?replicaSet=rsD\n"}
    out, err, status = config_show(
        tmp_path, "--origin", "-o", "csv", **given, DB12_URL="mongodb://k/?replicaSet=rsK", DB3_URL="mongodb://u"
    )
    assert (err, status) == ("", 0)
    rows = {line.split(",")[0]: line.split(",")[1:3] for line in out.splitlines()}
    places = [str(tmp_path / "config.toml"), str(tmp_path / "some.env"), "environment", "environment"]
    assert [rows[f"db{number}_url"] for number in (4, 5, 12, 3)] == [["**********", place] for place in places]
