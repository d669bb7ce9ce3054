"""Lengths of time and moments as they are typed, in one form for every command; what follows -- is an argument."""

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from prodcore.errors import InvalidInput, NotFound
from prodctl.cli import prodctl
from prodctl.commands.user import show_entries
from prodctl.terminal.arguments import Duration, Moment, by_prefix, complete_members, complete_sets, complete_targets


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


@pytest.mark.parametrize("text", ["", " ", "1_0", "٣", "4.0", "1e1", "1,000", "1 000", "0x10", "½"])
@pytest.mark.parametrize(
    "arguments",
    [("product", "add", "A", "--stock"), ("product", "list", "--stock-min"), ("product", "list", "--limit")],
)
def test_a_whole_number_is_digits_alone(arguments, text):
    result = CliRunner().invoke(prodctl, [*arguments, text])
    assert (result.exit_code, "is not a whole number such as 40" in result.output) == (2, True)


def test_a_moment_is_a_date_a_time_or_an_age():
    assert Moment()("2026-11-24") == "2026-11-24"
    assert Moment()("2026-11-24T12:00:00Z") == "2026-11-24T12:00:00Z"
    assert Moment()("2026-11-24T12:00:00+02:00") == "2026-11-24T10:00:00Z"
    assert Moment()("48h") < Moment()("24h") < Moment()("1m")


@pytest.mark.parametrize("text", ["", "yesterday", "24", "2026-13-01", "24x"])
def test_other_moments_are_refused(text):
    with pytest.raises(click.BadParameter, match="neither a moment such as 2026-11-24 nor an age such as 24h"):
        Moment()(text)


@pytest.mark.parametrize("text", ["999999999w", "999999d", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
@pytest.mark.parametrize("arguments", [("product", "list", "--updated-since"), ("audit", "list", "--since")])
def test_a_moment_outside_the_calendar_is_refused(arguments, text):
    result = CliRunner().invoke(prodctl, [*arguments, text])
    assert (result.exit_code, "lies outside the calendar" in result.output) == (2, True)


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
    with pytest.raises(ConfigError, match="the login cannot be stored in /dev/null/x: not a directory") as refused:
        kept.put("http://127.0.0.1:9", Login("ana", "a", "b"))
    assert "PRODCTL_STATE_DIR" in refused.value.hint


def _parameters(command=prodctl, path=()):
    """Every argument and option with the words that lead to it."""
    for parameter in command.params:
        yield pytest.param(parameter, id=" ".join((*path, parameter.name)))
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            yield from _parameters(command.get_command(click.Context(command), name), (*path, name))
        default = getattr(command, "_default", None)
        yield from _parameters(default, (*path, "FILE")) if default else ()


PARAMETERS = list(_parameters())
EXISTING = {
    "file",
    "html",
    "json_",
    "junit",
    "markdown",
    "directory",
    "refused_file",
    "setup_code_file",
    "invitation_file",
}
EXISTING |= {"sets", "set_name", "to", "target", "shard", "by", "drill", "a", "b", "import_id", "session_id", "names"}
EXISTING |= {"name_or_id", "invitation_file"}
"""What names something that is there, or a file, by its parameter."""
NEW = (
    "user add",
    "user rename new",
    "account reg",
    "account reset",
    "product add",
    "product edit",
    "token add",
    "local add-shard",
    "login",
)
"""Where a name is made, or nobody is logged in yet."""


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_what_names_something_that_exists_is_completed(parameter, request):
    words = request.node.callspec.id
    named = parameter.name in EXISTING or (parameter.name in ("username", "name") and not words.startswith(NEW))
    if named and not words.startswith("completion"):
        known_type = isinstance(parameter.type, click.Path | click.File | click.Choice)
        assert known_type or parameter._custom_shell_complete, words


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_a_length_of_time_has_one_form_everywhere(parameter):
    """What speaks of time is one of the two types for it; a bare number of seconds is none."""
    said = getattr(parameter, "help", None) or ""
    of_time = re.search(r"\b(seconds?|minutes?|days?|how long|longest time|least time)\b", said, re.IGNORECASE)
    counts = not getattr(parameter, "is_flag", False) and not getattr(parameter, "hidden", False)
    if counts and (parameter.type.name == "time" or of_time):
        assert "a second" in said or isinstance(parameter.type, Duration | Moment), said


def test_sets_and_members_are_completed_by_the_names_that_are_shown(monkeypatch):
    url = "mongodb://u:p%40x@127.0.0.1:1,127.0.0.1:2/products?replicaSet=rsA&w=majority"
    monkeypatch.setenv("DB1_URL", url)
    for other in ("DB2_URL", "DB3_URL"):
        monkeypatch.delenv(other, raising=False)
    asked = (click.Context(prodctl), click.Option(["--to"]))
    assert complete_sets(*asked, "rs") == ["rsA"]
    assert complete_members(*asked, "") == ["rsA-1", "rsA-2", "127.0.0.1:1", "127.0.0.1:2"]
    assert complete_targets(*asked, "r") == ["random", "rsA-1", "rsA-2"]


def test_the_sets_are_completed_after_the_group_whose_default_command_takes_them(monkeypatch):
    monkeypatch.setenv("DB1_URL", "mongodb://127.0.0.1:1/products?replicaSet=rsA")
    group = prodctl.get_command(click.Context(prodctl), "failover-test")
    offered = [item.value for item in group.shell_complete(click.Context(group), "r")]
    assert {"rsA", "restore", "run"} <= set(offered)


def test_a_password_that_stdin_lacks_is_said_in_words(monkeypatch):
    from prodctl.client import _ask_proof

    with CliRunner().isolation(""), pytest.raises(InvalidInput, match="stdin ends before the password"):
        _ask_proof(with_code=False)


def test_a_table_of_the_audit_breaks_no_id(monkeypatch, capsys):
    product = "6f1c0c2e-7a1b-4c59-9d55-0f3f4b6f2d10"
    entry = {"at": "2026-11-24T12:00:00+00:00", "by": "admin", "action": "product.bulk_remove", "subject": product}
    entry |= {"outcome": "done", "address": "127.0.0.1", "details": {}, "device": "x", "request_id": "r", "id": "i"}
    monkeypatch.setenv("COLUMNS", "80")
    show_entries([entry], "table")
    table = capsys.readouterr().out
    assert len(table.splitlines()) == 2
    assert all(len(line) <= 80 for line in table.splitlines())
    assert "6f1c0c2e" in table
    show_entries([entry], "wide")
    assert product in capsys.readouterr().out
