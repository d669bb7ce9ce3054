"""What a deployment installs: a folder that needs no network, and of which every file is known by its hash."""

import subprocess
import sys
from pathlib import Path

import pytest

from prodctl.cli import prodctl

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory):
    """As ``scripts/wheelhouse`` fills it, for the Python of the tests."""
    directory = tmp_path_factory.mktemp("deploy") / "wheelhouse"
    done = subprocess.run([ROOT / "scripts/wheelhouse", directory], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "wheels" in done.stdout
    return directory


@pytest.fixture
def installed(tmp_path):
    """A virtual environment without anything in it."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True, timeout=120)
    return tmp_path / "venv" / "bin"


def install(wheelhouse, installed):
    command = [installed / "python", "-m", "pip", "install", "--quiet", "--no-compile", "--no-index"]
    given = ["--find-links", wheelhouse, "--require-hashes", "-r", wheelhouse / "requirements.txt"]
    return subprocess.run([*command, *given], capture_output=True, text=True, timeout=300)


def test_it_is_all_that_an_installation_needs(wheelhouse, installed):
    done = install(wheelhouse, installed)
    assert done.returncode == 0, done.stderr
    said = subprocess.run([installed / "prodctl", "--version"], capture_output=True, text=True, timeout=30)
    assert said.stdout.startswith("prodctl"), said.stderr
    services = [installed / "python", "-c", "import webapp.app, authsvc.app, granian, openpyxl"]
    subprocess.run(services, check=True, timeout=60)
    assert subprocess.run([installed / "python", "-m", "pip", "check"], timeout=60, check=False).returncode == 0


WITHOUT_SERVICE = {
    ("config", "show"): 0,
    ("completion", "bash"): 0,
    ("deploy", "init"): 0,
    ("deploy", "plan"): 2,
    ("deploy", "render", "rendered"): 2,
    ("doctor",): 0,
    ("expose", "check"): 6,
    ("whoami",): 6,
    ("product", "list"): 6,
    ("shard", "where", "Ñandú"): 2,
    ("shard", "list"): 2,
    ("shard", "verify"): 2,
    ("cluster", "status"): 2,
    ("failover-test", "history"): 2,
    ("local", "status"): 6,
}
"""Commands as somebody runs them who has installed the command line alone, and their exit statuses."""


def leaves(command, words=()):
    """Every command that does something, as its words."""
    if not hasattr(command, "list_commands"):
        yield words
        return
    for name in command.list_commands(None):
        yield from leaves(command.get_command(None, name), (*words, name))


def test_the_command_line_alone_needs_nothing_but_what_it_installs(wheelhouse, installed, tmp_path_factory):
    base = [installed / "python", "-m", "pip", "install", "--quiet", "--no-compile", "--no-index"]
    done = subprocess.run([*base, "--find-links", wheelhouse, "prodctl"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    home = tmp_path_factory.mktemp("home")  # short: the sockets of a local cluster lie below it
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}

    def run(*words):
        command = [installed / "prodctl", *words]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env=environment, cwd=home,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    for words, status in WITHOUT_SERVICE.items():
        done = run(*words)
        assert (words, done.returncode) == (words, status), done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert "No module named" not in done.stderr
    # One process for all: what a --help needs is imported by it.
    script = "import sys\nfrom prodctl.cli import prodctl\nfor words in sys.stdin.read().splitlines():\n"
    script += "    prodctl.main([*words.split(), '--help'], standalone_mode=False)\n"
    every = "\n".join(" ".join(words) for words in leaves(prodctl))
    done = subprocess.run(
        [installed / "python", "-c", script], input=every, capture_output=True, text=True, timeout=120, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("Usage: ") == len(every.splitlines())
    product = "from prodcore.product.model import ProductDraft; ProductDraft(name='a', price='1', currency='EUR')"
    subprocess.run([installed / "python", "-c", product], check=True, timeout=60, env=environment)


def test_a_file_that_was_changed_is_refused(wheelhouse, installed):
    (ours,) = wheelhouse.glob("prodctl-*.whl")
    ours.write_bytes(ours.read_bytes() + b"\0")
    done = install(wheelhouse, installed)
    assert done.returncode != 0
    assert "DO NOT MATCH" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("x", "--python", "2.7"), ("x", "--machine", "vax"), ("a", "b")])
def test_what_it_cannot_do_it_refuses_before_it_begins(arguments, tmp_path):
    done = subprocess.run([ROOT / "scripts/wheelhouse", *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")


@pytest.mark.parametrize("foreign", ["requirements.txt.bak", "src/requirements.txt", ".git/config"])
def test_a_directory_with_anything_else_in_it_is_left_alone(foreign, tmp_path):
    (tmp_path / "requirements.txt").touch()
    (tmp_path / foreign).parent.mkdir(exist_ok=True)
    (tmp_path / foreign).touch()
    done = subprocess.run([ROOT / "scripts/wheelhouse", tmp_path], capture_output=True, text=True)
    assert done.returncode == 2
    assert "holds something else" in done.stderr
    assert (tmp_path / foreign).exists()
