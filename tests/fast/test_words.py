"""The pages use the words of the glossary, and none of those that it rules out."""

import ast
import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

ROOT = Path(__file__).parents[2]
CATALOG = ROOT / "webapp/translations/es/LC_MESSAGES/messages.po"
GLOSSARY = ROOT / "docs/reference/glossary.md"


def rows():
    lines = [line for line in GLOSSARY.read_text("utf-8").splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def texts():
    """Every text of the pages, in both languages."""
    with CATALOG.open("rb") as file:
        catalog = read_po(file, locale="es")
    for message in catalog:
        for text in (message.id, message.string):
            yield from filter(None, [text] if isinstance(text, str) else text)


BANNED = sorted({word for row in rows() for word in row[3].split("; ") if word})


@pytest.mark.parametrize("word", BANNED)
def test_no_page_uses_a_word_that_the_glossary_rules_out(word):
    found = [text for text in texts() if re.search(rf"\b{word}\b", text, re.IGNORECASE)]
    assert found == []


def sentences(path):
    """The texts of a module that are not its docstrings; what a placeholder stands for is left out."""
    tree = ast.parse(path.read_text("utf-8"))
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
            yield node.value


@pytest.mark.parametrize("package", ["prodcore", "prodctl", "webapp", "authsvc"])
def test_no_message_of_the_programs_uses_a_phrase_that_the_glossary_rules_out(package):
    phrases = [word for word in BANNED if " " in word and word != "may do"]  # single words have other meanings in code
    banned = re.compile(rf"\b({'|'.join(phrases)})\b", re.IGNORECASE)
    texts_found = {text for path in (ROOT / package).rglob("*.py") for text in sentences(path)}
    assert sorted(text for text in texts_found if banned.search(text)) == []


def test_the_glossary_says_each_word_once_in_both_languages():
    terms = [row[0] for row in rows()]
    assert len(set(terms)) == len(terms) > 20
    assert all(len(row) == 4 and all(row[:3]) for row in rows())


def spanish():
    with CATALOG.open("rb") as file:
        catalog = read_po(file, locale="es")
    return [m.string if isinstance(m.string, str) else " ".join(m.string) for m in catalog if m.id]


@pytest.mark.parametrize("translated", ["“", "”"])
def test_spanish_quotes_as_spanish_does(translated):
    assert [text for text in spanish() if translated in text] == []


INFORMAL = r"\b(tú|tus?|te|ti|contigo|puedes|tienes|quieres|eres|has|haz|inténtalo|guárdalo|escríbelo|descomprímelo)\b"


def test_spanish_addresses_the_reader_as_usted():
    assert [text for text in spanish() if re.search(INFORMAL, text, re.IGNORECASE)] == []
