"""A log line that cannot be written is lost; it neither breaks nor holds up the program that writes it."""

import os
import threading
from pathlib import Path

import pytest

from prodcore.support.secure_files import LogOutput


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as reading, os.fdopen(writer, "w") as writing:
        yield reading, writing


def test_lines_are_written_at_once(pipe):
    reading, writing = pipe
    LogOutput(writing).line("¡hola!")
    LogOutput(writing).info("again")
    assert os.read(reading.fileno(), 100).decode() == "¡hola!\nagain\n"


def test_half_a_surrogate_pair_is_written_escaped(pipe):
    reading, writing = pipe
    LogOutput(writing).line("\ud83d")
    assert os.read(reading.fileno(), 100) == b"\\ud83d\n"


def test_a_reader_that_has_gone_is_no_error(pipe):
    reading, writing = pipe
    output = LogOutput(writing)
    reading.close()
    output.line("lost")


def test_a_reader_that_hangs_holds_up_nobody_and_gets_whole_lines_again_when_it_goes_on(pipe):
    reading, writing = pipe
    output = LogOutput(writing)

    def fill():
        for number in range(5_000):
            output.line(f"{number:04} {'x' * 95}")

    filling = threading.Thread(target=fill, daemon=True)
    filling.start()
    filling.join(60)
    assert not filling.is_alive(), "a full pipe holds it up"
    os.set_blocking(reading.fileno(), False)
    held = reading.read()
    output.line("goes on")
    lines = (held + reading.read()).decode().splitlines()
    assert [line for line in lines if line and not line.startswith("goes")] == [
        f"{number:04} {'x' * 95}"[: len(line)] for number, line in enumerate(lines) if line and line != "goes on"
    ]
    assert lines[-1] == "goes on"
    assert 100 < len(lines) < 5_000


def test_a_full_disk_is_no_error():
    with Path("/dev/full").open("w") as full:
        LogOutput(full).line("lost")


def test_a_stream_that_was_closed_before_the_start_takes_everything():
    LogOutput(None).line("lost")


def test_a_file_closed_under_it_is_no_error(tmp_path):
    with (tmp_path / "log").open("w") as file:
        output = LogOutput(file)
    output.line("lost")
