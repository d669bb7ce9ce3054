"""Where a program that must go on writes its log: a line that cannot be written is lost, and nothing else happens.

The reader of a pipe may die, hang or fall behind, and a disk may be full: neither may break an answer, nor hold it up.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TextIO


class LogOutput:
    """Lines to a stream's file, at once and without waiting; several processes may write to the same pipe.

    ``stream`` is ``sys.stdout`` or ``sys.stderr``; None, as Python has it for one that was closed, takes everything.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._file = -1
        self._is_torn = False
        if stream is None:
            return
        with suppress(OSError, ValueError):
            self._file = stream.fileno()
            # A terminal or a file is shared with others, who expect it to wait; it does not hang either.
            if stat.S_ISFIFO(kind := os.fstat(self._file).st_mode) or stat.S_ISSOCK(kind):
                os.set_blocking(self._file, False)

    def line(self, text: str) -> None:
        """Write a line, as much of it as goes in."""
        if self._file < 0:
            return
        data = f"\n{text}\n" if self._is_torn else f"{text}\n"
        encoded = data.encode("utf-8", "backslashreplace")
        with suppress(OSError):
            self._is_torn = os.write(self._file, encoded) < len(encoded)

    # What structlog calls, whatever the level.
    msg = log = debug = info = warn = warning = fatal = failure = err = error = critical = exception = line
