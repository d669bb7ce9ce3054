"""Reading logs."""

import json

import pytest

from prodcore.local.log import follow_lines, last_lines, last_words
from prodcore.local.plan import LocalPlan
from prodcore.local.ports import LocalPorts


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "logs").mkdir()
    return LocalPlan(tmp_path, LocalPorts())


@pytest.mark.parametrize("count", [0, 1, 3, 5_000, 20_000])
def test_the_last_lines_of_a_long_file(tmp_path, count):
    lines = [f"línea {number}" for number in range(10_000)]
    path = tmp_path / "log"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert last_lines(path, count) == (lines[-count:] if count else [])


def test_a_log_that_is_not_there_has_no_lines(tmp_path):
    assert last_lines(tmp_path / "none", 5) == []


def test_new_lines_are_followed_through_a_rotation(tmp_path):
    path = tmp_path / "log"
    path.write_text("old\n")
    lines = follow_lines({"a": path})
    with path.open("a") as file:
        file.write("one\ntw")
        file.flush()
        first = next(lines)
        file.write("o\n")
        file.flush()
        assert (first, next(lines)) == (("a", "one"), ("a", "two"))
    path.replace(tmp_path / "log.1")
    path.write_text("3\n")
    assert next(lines) == ("a", "3")


def test_the_last_words_are_those_that_say_why(plan):
    noise = json.dumps({"s": "I", "c": "CONTROL", "msg": "Shutting down"})
    fatal = json.dumps({"s": "E", "c": "STORAGE", "msg": "WiredTiger error", "attr": {"error": "no space"}})
    plan.log("rsA-1").write_text("\n".join([noise, fatal, noise]))
    assert last_words(plan, "rsA-1") == ": WiredTiger error no space"
    plan.log("webapp").write_text("Traceback:\nImportError: cannot import name 'x'\n\n[INFO] Stopped old worker-1\n")
    assert last_words(plan, "webapp") == ": ImportError: cannot import name 'x'"
    plan.log("authsvc").write_text(json.dumps({"level": "error", "event": "no settings"}) + "\n")
    assert last_words(plan, "authsvc") == ": no settings"
    (plan.directory / "logs" / "rsB-1.out").write_text("Error parsing YAML config file\n")
    assert last_words(plan, "rsB-1") == ": Error parsing YAML config file"
    assert last_words(plan, "rsU-1") == ""
