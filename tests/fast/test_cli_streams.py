"""Standard streams that are closed, full or not UTF-8: no traceback, nothing cut, a status that says so."""

import json
import os
import subprocess
import sys

import pytest
import yaml

ODD = {"name": "Café – ñandú 日本 👩\u200d🌾 \u202e\x9b[31m", "price": "€ 1"}
PROGRAM = f"""
import click
from prodctl.terminal.output import columns, message, output_option, print_rows, run_and_exit
@click.command()
@output_option
def command(output):
    message("it is done: café…")
    print_rows([{ODD!r}], columns("Name", "Price"), output, kind="odd")
run_and_exit(command)
"""


def run(*arguments, streams="", encoding="utf-8", program=PROGRAM):
    """Run a program that prints with its streams as the shell says; stdout and stderr as bytes, and the status."""
    words = [sys.executable, "-c", program, *arguments]
    wanted = os.environ | {"PYTHONIOENCODING": encoding}
    if streams:
        words = ["sh", "-c", f'"$@" {streams}', "sh", *words]
    done = subprocess.run(words, capture_output=True, timeout=60, env=wanted, check=False)
    return done.stdout, done.stderr, done.returncode


@pytest.mark.parametrize("streams", [">/dev/full", ">&-"])
@pytest.mark.parametrize("output", ["table", "json", "yaml", "csv"])
def test_output_that_cannot_be_written_has_a_status_of_its_own_and_what_was_done_is_said(streams, output):
    out, err, status = run("-o", output, streams=streams)
    assert (out, status) == (b"", 10)
    said = err.decode().splitlines()
    assert said[0] == "it is done: café…"
    assert said[1].startswith("Error: the output could not be written: ")
    assert len(said) == 3


@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", "<&-", "<&- 2>&-"])
def test_a_message_that_nobody_can_get_changes_nothing(streams):
    out, err, status = run("-o", "json", streams=streams)
    assert status == 0
    assert json.loads(out)["items"] == [ODD]
    assert b"Traceback" not in err


def test_with_all_streams_closed_the_status_is_left():
    assert run(streams="<&- >&- 2>&-") == (b"", b"", 10)


def test_closed_streams_get_no_other_files_content(tmp_path):
    """What is opened next would otherwise become file 1, and get what is printed."""
    program = f"""
import click
from prodctl.terminal.output import print_text, run_and_exit
@click.command()
def command():
    with open({str(tmp_path / "kept")!r}, "w"):
        print_text("words")
run_and_exit(command, [])
"""
    assert run(streams=">&-", program=program)[2] == 10
    assert (tmp_path / "kept").read_bytes() == b""


@pytest.mark.parametrize("streams", ["", "<&-"])
def test_a_question_to_nobody_is_refused(streams):
    program = """
import click
from prodctl.terminal.output import run_and_exit
from prodctl.terminal.prompt import ask_secret
@click.command()
def command():
    ask_secret("password")
run_and_exit(command, [])
"""
    out, err, status = run(streams=streams or "</dev/null", program=program)
    assert (out, status) == (b"", 2)
    assert err.startswith(b"Error: the password is missing")


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1", "cp1252", "utf-8"])
@pytest.mark.parametrize("output", ["json", "yaml", "csv"])
def test_what_programs_read_is_whole_in_every_encoding(encoding, output):
    out, _err, status = run("-o", output, encoding=encoding)
    assert status == 0
    text = out.decode("utf-8" if output == "csv" else encoding)
    if output == "csv":
        assert text == "name,price\nCafé – ñandú 日本 👩\u200d🌾 \\u202e\\x9b[31m,€ 1\n"
    else:
        assert {"json": json.loads, "yaml": yaml.safe_load}[output](text)["items"] == [ODD]
        assert not {"\u202e", "\x9b"} & set(text)


@pytest.mark.parametrize(
    ("encoding", "name", "price", "said"),
    [
        ("ascii", r"Cafe - nandu \u65e5\u672c \U0001f469\u200d\U0001f33e \u202e\x9b[31m", "EUR 1", "cafe..."),
        ("iso-8859-1", r"Café - ñandú \u65e5\u672c \U0001f469\u200d\U0001f33e \u202e\x9b[31m", "EUR 1", "café..."),
        ("cp1252", r"Café – ñandú \u65e5\u672c \U0001f469\u200d\U0001f33e \u202e\x9b[31m", "€ 1", "café…"),
        ("utf-8", "Café – ñandú 日本 👩\u200d🌾 \\u202e\\x9b[31m", "€ 1", "café…"),
    ],
)
def test_what_people_read_is_readable_in_every_encoding(encoding, name, price, said):
    out, err, status = run(encoding=encoding)
    assert status == 0
    assert err.decode(encoding) == f"it is done: {said}\n"
    title, row = out.decode(encoding).splitlines()
    assert row == f"{name}  {price}"
    if encoding != "utf-8":  # where wide characters are, columns are more than characters
        assert title.index("PRICE") == row.index(price)


def test_an_argument_that_is_not_utf8_is_shown_as_its_bytes():
    program = """
import sys
import click
from prodctl.terminal.output import message, print_text, run_and_exit
@click.command()
@click.argument("word")
def command(word):
    print_text(word)
    message(word)
run_and_exit(command)
"""
    assert run(b"caf\xe9.csv", program=program) == (b"caf\\xe9.csv\n", b"caf\\xe9.csv\n", 0)


@pytest.mark.parametrize(
    ("signal", "status", "said"),
    [("INT", 130, "Interrupted."), ("TERM", 143, "Terminated."), ("HUP", 129, "Terminated.")],
)
def test_a_signal_lets_the_command_put_things_in_order_and_is_told_in_the_status(tmp_path, signal, status, said):
    program = f"""
import os, pathlib, signal
import click
from prodctl.terminal.output import run_and_exit
signal.signal(signal.SIGINT, signal.default_int_handler)
@click.command()
def command():
    left = pathlib.Path({str(tmp_path / "left")!r})
    left.touch()
    try:
        os.kill(os.getpid(), signal.SIG{signal})
        signal.pause()
    except KeyboardInterrupt as interruption:
        interruption.add_note("what stands")
        raise
    finally:
        left.unlink()
run_and_exit(command, [])
"""
    out, err, ended = run(program=program)
    assert (out, err.decode().splitlines(), ended) == (b"", ["", said, "what stands"], status)
    assert not (tmp_path / "left").exists()
