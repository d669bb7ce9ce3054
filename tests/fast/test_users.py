"""User names: one person, one name, however it is spelled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodcore.errors import InvalidInput
from prodcore.identity.users import clean_username, fold_username


@pytest.mark.parametrize("spelling", ["José", "JOSÉ", "jose", "Jose\u0301", "  josé ", "ＪＯＳＥ"])
def test_case_accents_width_and_space_do_not_count(spelling):
    assert fold_username(spelling) == "jose"


@pytest.mark.parametrize("name", ["ana", "José.Pérez", "begoña", "ana@example.org", "x", "a-b_c.9", "7up"])
def test_a_name_of_latin_letters_is_accepted(name):
    assert clean_username(name) == name


@pytest.mark.parametrize(
    "name",
    ["", " ", "\u0430na", "ana\u200b", "an a", "an\na", "../etc", "$ne", "-rf", ".x",
     "a" * 65, "a\0b", "αναfake", "ana\u202e", "a/b", "{}"],
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
