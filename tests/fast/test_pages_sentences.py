"""What the core says of a whole file is said in the reader's language."""

import ast
from pathlib import Path

import pytest

from webapp.pages.errors import _CORE_SENTENCES, core_text

TABULAR = Path(__file__).parents[2] / "prodcore" / "tabular"


def _sentences():
    """Every sentence of an UnreadableInput, with a word in place of each fact."""
    for path in sorted(TABULAR.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "UnreadableInput" and node.args:
                said = node.args[0]
                parts = said.values if isinstance(said, ast.JoinedStr) else [said]
                text = "".join(part.value if isinstance(part, ast.Constant) else "both" for part in parts)
                yield pytest.param(text, id=f"{path.stem}: {text}")


def test_there_are_such_sentences():
    assert len(list(_sentences())) > 10


@pytest.mark.parametrize("text", list(_sentences()))
def test_a_sentence_about_a_whole_file_is_one_that_the_pages_translate(text):
    assert core_text(text, dict.fromkeys(_CORE_SENTENCES, "known")) == "known"
