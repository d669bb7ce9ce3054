"""The pinned dependencies of a deployment: they are what setup.cfg asks for, and come from no place in particular."""

import configparser
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "requirements.txt").read_text()
ENTRIES = [entry for entry in re.sub(r"(?m)^#.*\n", "", TEXT).replace("\\\n", " ").splitlines() if entry]
PINNED = {Requirement(entry.split(" --hash")[0]).name.lower(): entry for entry in ENTRIES}


def asked_for():
    setup = configparser.RawConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    lines = "\n".join([setup["options"]["install_requires"], extras["server"], extras["xlsx"]]).splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("requirement", asked_for(), ids=lambda requirement: requirement.name)
def test_each_dependency_is_pinned_to_a_version_that_setup_cfg_allows(requirement):
    (pin,) = Requirement(PINNED[requirement.name.lower()].split(" --hash")[0]).specifier
    assert pin.operator == "=="
    assert requirement.specifier.contains(pin.version), "make lock"


def test_every_entry_has_hashes_and_names_no_place():
    assert len(PINNED) == len(ENTRIES) > len(asked_for())
    for entry in ENTRIES:
        assert re.fullmatch(r"[\w.-]+==[\w.]+( ; [^#]*?)?( +--hash=sha256:[0-9a-f]{64})+", entry), entry[:80]
    assert "://" not in TEXT
