"""What goes to stdout and stderr, in every format, and how each kind of error ends the process."""

import json
import subprocess
import sys

import pytest
import yaml

from prodctl.terminal.output import columns, print_item
from prodctl.terminal.rows import row_writer

COLUMNS = columns("Name", "Price>", "Tags+")
ROWS = [
    {"name": "Café\x1b[31m", "price": "1.20", "tags": ["a", "b"], "active": True},
    {"name": "日本", "price": "100.20", "tags": [], "active": False},
]


def printed(capsys, output, *pieces, **facts):
    writer = row_writer(COLUMNS, output, "products", "None there.")
    for rows in pieces:
        writer.add(rows)
    writer.finish(facts)
    captured = capsys.readouterr()
    return captured.out, captured.err


@pytest.mark.parametrize("pieces", [[ROWS], [ROWS[:1], ROWS[1:]], [[], ROWS, []]], ids=["once", "in two", "with gaps"])
def test_programs_read_the_same_however_the_rows_came(capsys, pieces):
    whole = {"schema_version": 1, "kind": "products", "items": ROWS, "partial": True, "unavailable": ["rsB"]}
    out, err = printed(capsys, "json", *pieces, partial=True, unavailable=["rsB"])
    assert (json.loads(out), err) == (whole, "")
    out, err = printed(capsys, "yaml", *pieces, partial=True, unavailable=["rsB"])
    assert (yaml.safe_load(out), err) == (whole, "")
    out, err = printed(capsys, "csv", *pieces)
    assert (out, err) == ('name,price,tags\nCafé\\x1b[31m,1.20,"a, b"\n日本,100.20,\n', "")


def test_people_read_columns_of_one_width_without_escapes(capsys):
    out, err = printed(capsys, "table", *[[row] for row in ROWS])
    assert out == "NAME          PRICE\nCafé\\x1b[31m   1.20\n日本          100.20\n"
    assert err == ""
    assert printed(capsys, "wide", ROWS)[0].splitlines()[0].split() == ["NAME", "PRICE", "TAGS"]


@pytest.mark.parametrize(
    ("output", "out", "err"),
    [
        ("table", "", "None there.\n"),
        ("csv", "name,price,tags\n", ""),
        ("json", '{\n  "schema_version": 1,\n  "kind": "products",\n  "items": []\n}\n', ""),
        ("yaml", "schema_version: 1\nkind: products\nitems: []\n", ""),
    ],
)
def test_no_rows(capsys, output, out, err):
    assert printed(capsys, output) == (out, err)


def test_one_thing_is_a_field_a_line(capsys):
    print_item({"name": "Café", "updated_at": None, "note": "a\nb"}, "table", kind="x")
    assert capsys.readouterr().out == "name        Café\nupdated at\nnote        a\n            b\n"


def run(body):
    """Run a command with this body as a process of its own."""
    code = (
        "import click\nfrom prodcore.errors import *\nfrom prodctl.terminal.output import run_and_exit\n"
        f"@click.command()\ndef command():\n    {body}\nrun_and_exit(command, [])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("body", "status", "err"),
    [
        ("return 6", 6, ""),
        ("raise NoPrimary('rsA has no primary', hint='wait')", 6, "Error: rsA has no primary\nHint:  wait\n"),
        ("raise OutcomeUnknown('x\\x1b')", 7, "Error: x\\x1b\n"),
        ("raise KeyboardInterrupt", 130, "\nInterrupted.\n"),
        ("raise BrokenPipeError(32, 'gone')", 0, ""),
        (
            "raise InvalidInput(problems=[Problem('a', 'x', 'is bad'), Problem('', 'x', 'is odd')])",
            2,
            "Error: The input is not valid\n  a: is bad\n  is odd\n",
        ),
        ("raise InvalidInput(problems=[Problem('a', 'x', 'is bad')])", 2, "Error: a: is bad\n"),
    ],
)
def test_an_error_is_a_sentence_on_stderr_and_a_status(body, status, err):
    assert run(body) == (status, err)


def test_what_nobody_expected_is_told_without_a_traceback():
    status, err = run("raise RuntimeError('boom')")
    assert status == 1
    assert err.startswith("Error: something unexpected went wrong (RuntimeError: boom)\nHint:  ")
    assert "Traceback" not in err
