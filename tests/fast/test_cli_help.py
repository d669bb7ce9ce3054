"""The command line starts quickly, explains itself, and its documentation is what it says."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from prodctl.cli import prodctl

ROOT = Path(__file__).parents[2]
HEAVY = ("pymongo", "bson", "flask", "requests", "urllib3", "pydantic", "pydantic_settings", "rich", "tabulate", "yaml")


def modules_after(*arguments):
    """What a command has imported when it ends, told by an interpreter of its own."""
    code = (
        "import sys\n"
        "from prodctl.cli import prodctl\n"
        "from prodcore.errors import ServiceUnavailable\n"
        f"try: prodctl.main({list(arguments)!r}, standalone_mode=False)\n"
        "except ServiceUnavailable: pass\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stderr.split())


def commands(command=prodctl, path=()):
    """Every command with its path."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name="prodctl")
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), (*path, name))


ALL = [path for path, _command in commands()]


def test_help_imports_nothing_that_is_slow():
    assert not modules_after("--help") & {*HEAVY, "prodctl.commands.product"}


@pytest.mark.parametrize("group", [path for path, c in commands() if isinstance(c, click.Group) and path], ids=" ".join)
def test_the_help_of_a_group_imports_nothing_that_is_slow(group):
    assert not modules_after(*group, "--help") & set(HEAVY)


@pytest.mark.parametrize(
    "command",
    [
        ["product", "list"],
        ["product", "show", "Arroz"],
        ["product", "add", "Arroz", "--price", "1"],
        ["product", "import", "list"],
        ["user", "list"],
        ["token", "list"],
        ["whoami"],
    ],
    ids=" ".join,
)
def test_a_command_imports_nothing_that_it_does_not_use(command, monkeypatch, tmp_path):
    """None of these is in a table of products or in a request for one; each would take longer than both."""
    for name, value in (("URL", "http://127.0.0.1:9"), ("TOKEN", "x"), ("STATE_DIR", str(tmp_path))):
        monkeypatch.setenv(f"PRODCTL_{name}", value)
    assert not modules_after(*command) & {*HEAVY, "wcwidth", "asyncio", "csv", "xml", "difflib"}


def test_looking_at_the_members_imports_no_http_library_and_no_models():
    code = "import sys, prodcore.app.cluster; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not set(done.stdout.split()) & {*HEAVY} - {"pymongo", "bson"}


def test_completion_of_a_command_imports_no_command():
    code = "import sys; from prodctl.cli import prodctl; import click; ctx = click.Context(prodctl)\n"
    code += "print([item.value for item in prodctl.shell_complete(ctx, 'co')], *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("['config', 'completion']")
    assert "prodctl.commands" not in done.stdout


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_help_in_eighty_columns(path):
    done = CliRunner().invoke(prodctl, [*path, "--help"], terminal_width=80)
    assert done.exit_code == 0
    assert done.output.startswith("Usage: ")
    assert [line for line in done.output.splitlines() if len(line) > 80] == []


LEAVES = [path for path, c in commands() if not isinstance(c, click.Group) or c.invoke_without_command]


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_the_help_of_every_command_shows_examples_of_it(path):
    text = CliRunner().invoke(prodctl, [*path, "--help"]).output
    examples = text.partition("\n  Examples:\n")[2].partition("\n\n")[0]
    assert f"prodctl {' '.join(path)}".removesuffix(" run") in examples


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("ls", "prodctl product list"),
        ("delete", "prodctl product rm"),
        ("import", "prodctl product import"),
        ("undo", "prodctl product import undo"),
        ("poduct", "prodctl product"),
        ("users", "prodctl user"),
        ("help", "prodctl --help"),
        ("up", "prodctl local up"),
        ("product serach", "prodctl product list --search WORDS"),
        ("product lst", "prodctl product list"),
        ("product deleet", "prodctl product rm or prodctl product deleted"),
        ("account seesions", "prodctl account sessions"),
    ],
)
def test_a_wrong_word_is_answered_with_the_command_that_may_be_meant(typed, meant):
    done = CliRunner().invoke(prodctl, typed.split())
    assert done.exit_code == 2
    assert f" Did you mean {meant}?\n" in done.stderr


@pytest.mark.parametrize("typed", ["frobnicate", "product frobnicate", "product xx"])
def test_a_word_that_is_like_none_gets_no_suggestion(typed):
    done = CliRunner().invoke(prodctl, typed.split())
    assert done.exit_code == 2
    assert done.stderr.endswith(f"Error: No such command '{typed.split()[-1]}'.\n")


@pytest.mark.parametrize(
    ("typed", "does"),
    [
        ("product ls", "product list"),
        ("product delete", "product rm"),
        ("product remove", "product rm"),
        ("product get", "product show"),
        ("product update", "product edit"),
        ("product create", "product add"),
        ("product bulk delete", "product bulk rm"),
        ("product import ls", "product import list"),
        ("token create", "token add"),
        ("token revoke", "token rm"),
        ("user delete", "user rm"),
        ("local rm-shard", "local remove-shard"),
        ("account second-factor remove", "account second-factor rm"),
    ],
)
def test_other_words_for_a_command_do_the_same(typed, does):
    asked = [CliRunner().invoke(prodctl, [*words.split(), "--help"]) for words in (typed, does)]
    assert asked[0].exit_code == 0
    assert asked[0].output == asked[1].output


def test_the_documentation_of_the_commands_is_what_they_say():
    check = [sys.executable, str(ROOT / "scripts" / "write-command-docs"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_each_shell(shell):
    done = CliRunner().invoke(prodctl, ["completion", shell])
    assert done.exit_code == 0
    assert "_PRODCTL_COMPLETE" in done.stdout
    assert done.stderr == ""


def test_version_is_the_installed_one():
    from importlib.metadata import version

    done = CliRunner().invoke(prodctl, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"prodctl {version('prodctl')}\n")
