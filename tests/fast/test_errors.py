"""The error tree: every class is drawn, coded and documented."""

import re
from pathlib import Path

import pytest

from prodcore import errors
from prodcore.errors import ProdError
from prodcore.web.problem import code_of

CLASSES = [v for v in vars(errors).values() if isinstance(v, type) and issubclass(v, ProdError)]
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_class_stands_in_the_drawing_with_its_code_and_status(cls):
    line = next(line for line in errors.__doc__.splitlines() if re.search(rf"\b{cls.__name__}\b", line))
    assert cls.code in line
    statuses = re.findall(r"\b[45]\d\d\b", line)
    assert not statuses or int(statuses[0]) == cls.http_status


def test_codes_are_unique():
    codes = [cls.code for cls in CLASSES]
    assert sorted(codes) == sorted(set(codes))


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_class_is_documented_for_callers(cls):
    documented = (ROOT / "docs" / "reference" / "errors.md").read_text()
    assert f"`{cls.code}`" in documented


@pytest.mark.parametrize("status", [400, 404, 405, 406, 408, 411, 413, 414, 415, 431])
def test_code_of_an_http_error_is_documented_and_needs_no_quoting(status):
    documented = (ROOT / "docs" / "reference" / "errors.md").read_text()
    assert f"`{code_of(status)}`" in documented
    assert re.fullmatch("[a-z_]+", code_of(status))
