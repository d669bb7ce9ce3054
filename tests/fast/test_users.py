"""User names: one person, one name, however it is spelled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodcore.errors import InvalidInput
from prodcore.identity.schemas import AuditQuery, parse
from prodcore.identity.users import clean_username, fold_username


@pytest.mark.parametrize("spelling", ["José", "JOSÉ", "jose", "Jose\u0301", "  josé ", "ＪＯＳＥ"])
def test_case_accents_width_and_space_do_not_count(spelling):
    assert fold_username(spelling) == "jose"


@pytest.mark.parametrize(
    "name", ["ana", "José.Pérez", "begoña", "ana@example.org", "x", "a-b_c.9", "7up", "Łukasz_Øß", "şükrü"]
)
def test_a_name_of_latin_letters_is_accepted(name):
    assert clean_username(name) == name


@pytest.mark.parametrize(
    "name",
    ["", " ", "\u0430na", "ana\u200b", "an a", "an\na", "../etc", "$ne", "-rf", ".x",
     "a" * 65, "a\0b", "αναfake", "ana\u202e", "a/b", "{}",
     "b\u0966b", "ana\u0661", "adm\u0131n", "\u0251na", "eu\u0261en", "\u01c0ana", "a\ua731"],
    ids=ascii,
)  # fmt: skip
def test_look_alikes_blanks_and_signs_are_refused(name):
    with pytest.raises(InvalidInput):
        clean_username(name)


@given(st.text(max_size=70))
def test_cleaning_never_fails_otherwise(text):
    try:
        cleaned = clean_username(text)
    except InvalidInput:
        return
    assert clean_username(cleaned) == cleaned
    assert fold_username(cleaned) == fold_username(text)


@pytest.mark.parametrize("bound", ["since", "before"])
@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "99999999999999", "1"])
def test_audit_entries_are_asked_for_within_the_calendar(bound, moment):
    """What no database holds is the caller's mistake, and no internal error."""
    with pytest.raises(InvalidInput) as refused:
        parse(AuditQuery, {bound: moment})
    assert [problem.field for problem in refused.value.problems] == [bound]
