"""Lengths of time and moments as they are typed, in one form for every command; what follows -- is an argument."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from prodcore.errors import InvalidInput, NotFound
from prodctl.cli import prodctl
from prodctl.terminal.arguments import Duration, Moment, by_prefix


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("90", 90), ("300ms", 0.3), ("1.5h", 5400), ("24h", 86_400), ("30d", 2_592_000), ("12w", 7_257_600)],
)
def test_a_length_of_time_is_a_number_with_a_unit(text, seconds):
    assert Duration()(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "1 day", "-1s", "1y", "1e3", "٣s", "nan", "inf", "99999999999s"])
def test_other_lengths_of_time_are_refused_with_an_example(text):
    with pytest.raises(click.BadParameter, match="such as 90s, 15m, 24h or 30d"):
        Duration()(text)


def test_a_length_of_time_out_of_bounds_is_refused_with_them():
    with pytest.raises(click.BadParameter, match="is not between 1d and 90d"):
        Duration("1d", "90d")("91d")


def test_a_moment_is_a_date_a_time_or_an_age():
    assert Moment()("2026-11-24") == "2026-11-24"
    assert Moment()("2026-11-24T12:00:00Z") == "2026-11-24T12:00:00Z"
    assert Moment()("2026-11-24T12:00:00+02:00") == "2026-11-24T10:00:00Z"
    assert Moment()("48h") < Moment()("24h") < Moment()("1m")


@pytest.mark.parametrize("text", ["", "yesterday", "24", "2026-13-01", "24x"])
def test_other_moments_are_refused(text):
    with pytest.raises(click.BadParameter, match="neither a moment such as 2026-11-24 nor an age such as 24h"):
        Moment()(text)


def test_the_beginning_of_an_id_is_enough_while_it_is_unique():
    items = [{"id": "6f1c0c2e-1"}, {"id": "6f1c0c2e-2"}, {"id": "77"}]
    assert by_prefix(items, "7", "login") == {"id": "77"}
    assert by_prefix(items, "6F1C0C2E-2", "login") == {"id": "6f1c0c2e-2"}
    with pytest.raises(InvalidInput, match="2 logins have an id that begins with '6f'"):
        by_prefix(items, "6f", "login")
    with pytest.raises(NotFound):
        by_prefix(items, "x", "login")


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (["import", "--", "-x.csv"], "-x.csv"),
        (["import", "--", "list"], "list"),
        (["import", "--dry-run", "--", "--help"], "--help"),
        (["import", "-o", "json", "--", "undo"], "undo"),
        (["show", "--", "-Arroz"], None),
    ],
)
def test_what_follows_two_dashes_is_an_argument(arguments, file, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRODCTL_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("PRODCTL_TOKEN", "x")
    done = CliRunner().invoke(prodctl, ["product", *arguments])
    if file:  # it is looked for under that name
        assert f"'{file}': No such file or directory" in done.stderr
    else:
        assert "does not answer" in str(done.exception)


@pytest.mark.parametrize("state", ["/dev/null", "/dev/null/x"])
def test_with_a_token_no_directory_is_needed(state, monkeypatch, tmp_path):
    """Not even a home: what a token is for runs where nothing can be written."""
    monkeypatch.setenv("PRODCTL_STATE_DIR", state)
    monkeypatch.setenv("PRODCTL_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("PRODCTL_TOKEN", "x")
    (tmp_path / "p.csv").write_text("name,price\nArroz,1\n")
    for command in (["list"], ["import", str(tmp_path / "p.csv"), "--patience", "0"]):
        done = CliRunner().invoke(prodctl, ["product", *command])
        assert "does not answer" in str(done.exception) or "not stored" in str(done.exception)


def test_where_no_login_can_be_kept_that_is_said_with_the_way_out(monkeypatch):
    from prodcore.errors import ConfigError
    from prodctl.client.api import Credentials, Login

    kept = Credentials(Path("/dev/null/x"))
    assert kept.get("http://127.0.0.1:9") is None
    with pytest.raises(ConfigError, match="no login can be kept in /dev/null/x: not a directory") as refused:
        kept.put("http://127.0.0.1:9", Login("ana", "a", "b"))
    assert "PRODCTL_STATE_DIR" in refused.value.hint
