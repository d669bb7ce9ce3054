"""The table of roles: complete, deny by default, and the very one that the docs show."""

import itertools
import re
from pathlib import Path

import pytest

from prodcore.identity.rights import SCOPES, Right, Role, rights_of
from prodcore.identity.routes import ROUTES, right_for
from webapp.identity.caller import ACTIONS, REPORTED
from webapp.pages.actions import AUDITED
from webapp.pages.audit import ACTIONS as SHOWN_ACTIONS
from webapp.pages.steps import ACTIONS as STEP_ACTIONS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "reference" / "identity.md"


def test_each_role_may_what_the_one_before_may():
    for lower, higher in itertools.pairwise(Role):
        assert rights_of(lower) < rights_of(higher)


def test_nobody_has_the_right_of_a_service():
    assert not any(Right.SERVICE in rights_of(role) for role in Role)
    assert Right.SERVICE not in SCOPES


def test_no_role_lacks_an_owner_for_a_right():
    assert rights_of(Role.ADMIN) == set(Right) - {Right.SERVICE}


def test_what_has_no_row_is_nobodys():
    assert right_for("/nowhere", "GET") is None
    assert right_for("/api/v1/products", "TRACE") is None
    assert right_for("/api/v1/users", "DELETE") is None


def test_head_and_options_need_what_get_needs():
    assert right_for("/api/v1/users", "HEAD") is Right.MANAGE_USERS
    assert right_for("/api/v1/users", "OPTIONS") is Right.MANAGE_USERS
    assert right_for("/api/v1/keys", "HEAD") is Right.MANAGE_USERS


def test_no_route_is_listed_twice():
    rows = [(row.rule, method) for row in ROUTES for method in row.methods]
    assert len(rows) == len(set(rows))


@pytest.mark.parametrize("right", sorted(set(Right) - {Right.PUBLIC, Right.SERVICE}))
def test_the_docs_show_who_has_a_right(right):
    marks = " | ".join("yes" if right in rights_of(role) else "–" for role in Role)
    assert f"| `{right}` | {marks} |" in DOCS.read_text()


def test_the_docs_show_every_route():
    text = DOCS.read_text()
    for row in ROUTES:
        assert f"| `{row.rule}` | {', '.join(row.methods)} | {row.right} |" in text, row


def test_the_tests_that_the_docs_name_exist():
    root = DOCS.parents[2]
    tests = {path.name: path for path in root.glob("tests/**/test_*.py")}
    named = re.findall(r"`((?:tests/|campaigns/)?[\w/]*\.py)(?:::(\w+))?`", DOCS.read_text())
    assert len(named) > 20
    for file, test in named:
        path = tests.get(file.rpartition("/")[2]) if "test_" in file else root / file
        assert path is not None, file
        assert path.exists(), file
        assert not test or f"def {test}(" in path.read_text(), test


def test_what_is_done_has_one_form_of_names_and_the_audit_page_has_words_for_all():
    """A noun and a verb; what an endpoint has done, or a page says itself, or authsvc notes."""
    sources = {path: path.read_text() for top in ("authsvc", "webapp") for path in (ROOT / top).rglob("*.py")}
    said = {name for text in sources.values() for name in re.findall(r'(?:note\(|audit_action = )"([^"]+)"', text)}
    named = said | set(ACTIONS.values()) | set(STEP_ACTIONS.values()) | set(AUDITED.values())
    assert named == set(SHOWN_ACTIONS)
    nouns = "session|account|user|token|key|product|view|import|drill|shard|set|member"
    assert [name for name in named if not re.fullmatch(rf"({nouns})\.[a-z]+(_[a-z]+)*", name)] == []


def test_every_change_through_the_api_has_a_name_in_the_audit():
    functions = {endpoint.rpartition(".")[2] for endpoint in ACTIONS}
    for path in (ROOT / "webapp" / "api").glob("*.py"):
        changing = re.findall(r'@blueprint\.(?:post|put|patch|delete)\("([^"]+)".*?\ndef (\w+)', path.read_text(), re.S)
        for rule, function in changing:
            reported = any(
                right_for(f"/api/v1{rule}", method) in REPORTED for method in ("POST", "PUT", "PATCH", "DELETE")
            )
            assert not reported or function in functions, rule
