"""Wait for what is expected, with a deadline, instead of sleeping."""

from __future__ import annotations

import threading
import time


def wait_until(condition, what, seconds=10.0, every=0.02):
    """Return the seconds it took until ``condition()`` was true; fails after ``seconds``."""
    began = time.monotonic()
    pause = threading.Event()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds} s: {what}"
        pause.wait(every)
    return time.monotonic() - began
