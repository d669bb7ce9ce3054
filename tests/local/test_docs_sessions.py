"""The tutorial and the how-to guides, typed from their first line to their last."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from prodcore.local import find_free_ports
from tests.support.daily import daily
from tests.support.doc_pages import ROOT, DocPage

PASSWORD = "sandía caballo grapa correcta"
TIMEOUT_SECONDS = 240
ASK_FOR_PASSWORD = ("prodctl token add ", "prodctl user reset ", "prodctl user rm-second-factor ")
"""What gives access that lasts asks once more for the password of whoever is logged in."""


class Reader:
    """Somebody who types what a page says, in a home directory of their own."""

    def __init__(self, home):
        ports = find_free_ports().by_program()
        self.home = home
        self.environment = {
            "HOME": str(home),
            "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "PRODCTL_LOCAL_RSA_PORT": str(ports["rsA-1"]),
            "PRODCTL_LOCAL_RSB_PORT": str(ports["rsB-1"]),
            "PRODCTL_LOCAL_RSU_PORT": str(ports["rsU-1"]),
            "PRODCTL_LOCAL_AUTH_PORT": str(ports["authsvc"]),
            "PRODCTL_LOCAL_WEB_PORT": str(ports["webapp"]),
            "PRODCTL_URL": f"http://127.0.0.1:{ports['webapp']}",
        }

    def type(self, line):
        """Run one line of a page in a shell; it must end well."""
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=ROOT if line.startswith("./scripts/") else self.home,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"$ {line}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def log_in(self):
        """``prodctl login`` with what a newcomer would type at its questions."""
        code = re.search(r"Setup code\s+([\w-]+)", self.type("prodctl local up"))
        asked = "prodctl login -u ana --setup-code-file - --password-stdin"
        self.type(f"printf '%s\\n' '{code[1]}' '{PASSWORD}' | {asked}")

    def follow(self, page):
        """Type every line of a page."""
        for line in DocPage(ROOT / "docs" / page).session():
            if line == "prodctl login":
                self.log_in()
            elif line.startswith(ASK_FOR_PASSWORD):
                self.type(f"printf '%s\\n' '{PASSWORD}' | {line}")
            else:
                self.type(line)


@pytest.fixture(scope="module")
def new_reader():
    """Makes readers; at the end nothing of theirs runs. Their homes have short names: a path of a socket is limited."""
    readers = []

    def make():
        readers.append(Reader(Path(tempfile.mkdtemp(prefix="prodctl-docs-"))))
        return readers[-1]

    yield make
    for reader in readers:
        reader.type("prodctl local destroy --yes || true")
        shutil.rmtree(reader.home)


@pytest.fixture(scope="module")
def reader(new_reader):
    """One reader of all guides, logged in at a system that runs."""
    reader = new_reader()
    reader.log_in()
    return reader


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "page",
    daily(
        [
            "how-to/import-a-file.md",
            "how-to/cron-and-ci.md",
            "how-to/recover-a-lost-admin.md",
            "how-to/replace-a-dead-member.md",
            "how-to/upgrade.md",
            "how-to/restore-after-a-disaster.md",
            "how-to/backup.md",
        ],
        *(0, 1, 2),
    ),
)
def test_a_guide_works_as_it_is_written(reader, page):
    reader.follow(page)


@pytest.mark.timeout(600)
def test_the_first_hour_works_as_it_is_written(new_reader):
    reader = new_reader()
    reader.follow("tutorial/first-hour.md")
    assert not (reader.home / ".local/state/prodctl/local").exists()
