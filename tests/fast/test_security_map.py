"""The map of security requirements: each one of level 1 and 2 once, and no test in it that is not there."""

import re
from collections import Counter

from tests.support.doc_pages import ROOT

PAGE = (ROOT / "docs" / "reference" / "security.md").read_text(encoding="utf-8")
REQUIRED = (ROOT / "tests" / "data" / "asvs-5.0-level-2.txt").read_text().split()
ROWS = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if re.match(r"\| \d", line)]
NOT_APPLICABLE = re.findall(r"^- (\d[\d., ]+): ", PAGE, re.MULTILINE)


def test_each_requirement_is_in_the_map_once():
    named = Counter([row[0] for row in ROWS] + [number for line in NOT_APPLICABLE for number in line.split(", ")])
    assert len(REQUIRED) > 200
    assert named == Counter(REQUIRED)


def test_each_row_says_whether_it_is_met_and_names_a_test_that_is_there():
    assert {len(row) for row in ROWS} == {5}
    assert {row[2] for row in ROWS} == {"yes", "partly", "no", "doc"}
    wrong = []
    for number, *_, test in ROWS:
        file, _, name = test.strip("`").partition("::")
        path = ROOT / "tests" / file
        if not name or not path.is_file() or not re.search(rf"^ *def {name}\(", path.read_text(), re.MULTILINE):
            wrong.append((number, test))
    assert wrong == []


def test_what_is_not_met_at_all_is_explained():
    explained = PAGE.partition("## Not met, and why")[2].partition("\n## ")[0]
    assert [row[0] for row in ROWS if row[2] == "no" and row[0] not in explained] == []
