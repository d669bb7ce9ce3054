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


ENTRIES = [
    {
        "id": f"6f1c0c2e-7a1b-4c59-9d55-0f3f4b6f2d1{i}",
        "at": "2026-11-24T12:00:00Z",
        "text": "a long text of many words that has to go on in the next line, for it is the point of the table",
        "count": 1_000_000,
        "note": "short",
        "last": "word " * 8,
    }
    for i in range(2)
]


def test_a_table_fits_its_width_and_shows_ids_numbers_and_times_whole(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = columns("ID=id!", "At", "Text~", "Count>", "Note", "Last")
    writer = row_writer(shown, "table", "entries", "None.")
    writer.add(ENTRIES)
    writer.finish({})
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["ID", "AT", "TEXT"]
    assert all(entry["id"] in out for entry in ENTRIES)
    assert out.count("2026-11-24 12:00:00Z") == 2
    assert " ".join(line[60:].strip() for line in lines[1 : len(lines) // 2 + 1]) == ENTRIES[0]["text"]
    assert err == "No room for Count, Note, Last: -o wide shows all.\n"


def test_a_number_is_never_cut(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    writer = row_writer(columns("Text", "Count>"), "table", "entries", "None.")
    writer.add([{"text": "word " * 20, "count": 1}])
    writer.add([{"text": "word " * 20, "count": 1_000_000}])
    writer.finish({})
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith("…      1")
    assert lines[2].endswith("  1000000")


def test_wide_has_every_column_whole(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    writer = row_writer(columns("ID=id!", "Text~", "Last"), "wide", "entries", "None.")
    writer.add(ENTRIES)
    writer.finish({})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert ENTRIES[0]["text"] in lines[1]


def test_a_formula_is_marked_in_csv_of_every_command_but_not_with_raw():
    for raw in ([], ["--raw"]):
        code = (
            "import click\nfrom prodctl.terminal.output import *\nfrom prodctl.terminal.output import output_option\n"
            "@click.command()\n@output_option\ndef command(output):\n"
            "    rows = [{'name': '=1+1', 'n': -5}, {'name': '@x\x1b', 'n': 1}]\n"
            "    print_rows(rows, columns('Name', 'N>'), output, kind='x')\n"
            f"run_and_exit(command, ['-o', 'csv', *{raw!r}])"
        )
        code = code.replace("import *\n", "import columns, print_rows, run_and_exit\n")
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        said = "name,n\n=1+1,-5\n@x\x1b,1\n" if raw else "name,n\n'=1+1,-5\n'@x\\x1b,1\n"
        assert (done.stdout, done.stderr, done.returncode) == (said, "", 0)
