"""The documentation names only what is there: pages, files, commands and options."""

import re
import shlex

import click
import pytest

from prodctl.cli import prodctl
from tests.support.doc_pages import ROOT, all_pages

PAGES = all_pages()


def unknown_parts(line):
    """The words of a command line that no command and no option of it has."""
    try:
        words = shlex.split(line)[1:]
    except ValueError:  # a sentence cut in the middle of a quotation
        words = line.split()[1:]
    command = prodctl
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words[0]) if words else None
        if found is None and getattr(command, "_default", None) is None:
            return words[:1] if words and re.fullmatch("[a-z][a-z-]+", words[0]) else []
        command, words = (found, words[1:]) if found else (command._default, words)
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts, "--help")}
    return [word for word in words if re.match("--[a-z]", word) and word.split("=")[0] not in known]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_in_the_docs_exists_with_its_options(page):
    assert {line: parts for line in page.mentions() if (parts := unknown_parts(line))} == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_the_docs_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)(#[^)]*)?\)", page.path.read_text(encoding="utf-8"))
    missing = [target for target, _ in links if "://" not in target and not (page.path.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_of_ours_that_the_docs_name_is_there(page):
    text = page.path.read_text(encoding="utf-8")
    named = re.findall(r"`((?:prodcore|prodctl|webapp|authsvc|scripts|systemd|tests|campaigns|bench)/[\w./-]+)`", text)
    assert [p for p in named if "NAME" not in p and "NOUN" not in p and not (ROOT / p).exists()] == []


def test_every_page_of_the_docs_is_in_the_table_of_contents():
    contents = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = [page.path.relative_to(ROOT / "docs") for page in PAGES if page.path.is_relative_to(ROOT / "docs")]
    assert [str(path) for path in pages if path.name != "README.md" and f"({path})" not in contents] == []
