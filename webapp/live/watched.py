"""Something that is looked at again and again while anybody wants to know it, once for everybody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")

_SHORTEST_PAUSE_SECONDS = 0.05


class Watched(Generic[T]):
    """The newest answer of ``look``, which a thread asks every so many seconds while anybody wants it.

    Who asks gets the last answer at once, however long looking takes while something is broken; only the first one
    after a pause waits. ``look`` must be bounded in time; what it raises is raised to them. ``rest`` is called, in the
    same thread, when nobody has asked for ``unwanted_seconds``.
    """

    def __init__(
        self,
        look: Callable[[], T],
        every_seconds: float,
        rest: Callable[[], None] = lambda: None,
        *,
        unwanted_seconds: float = 10.0,
    ) -> None:
        self._look = look
        self._every = every_seconds
        self._rest = rest
        self._unwanted = unwanted_seconds
        self._changed = threading.Condition()
        self._wanted_at = 0.0
        self._looks = 0
        self._answer: Callable[[], T] | None = None
        self._thread: threading.Thread | None = None

    def get(self) -> T:
        """The newest answer."""
        self.wait(0, 0.0)
        return cast("Callable[[], T]", self._answer)()

    def wait(self, looks: int, seconds: float) -> int:
        """Wait until there were more than so many looks, at least one, or the time is up; how many there were."""
        with self._changed:
            self._wanted_at = time.monotonic()
            if self._thread is None:
                self._answer = None  # it may be old
                self._thread = threading.Thread(target=self._run, name="watched", daemon=True)
                self._thread.start()
            self._changed.wait_for(lambda: self._answer is not None)
            self._changed.wait_for(lambda: self._looks > looks, seconds)
            return self._looks

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            began = time.monotonic()
            answer = self._ask()
            with self._changed:
                self._answer, self._looks = answer, self._looks + 1
                self._changed.notify_all()
                if began - self._wanted_at > self._unwanted:
                    self._thread = None
                    self._rest()
                    return
            pause.wait(max(_SHORTEST_PAUSE_SECONDS, began + self._every - time.monotonic()))

    def _ask(self) -> Callable[[], T]:
        try:
            found = self._look()
        except Exception as error:  # noqa: BLE001  carried to whoever asks
            return _raising(error)
        return lambda: found


def _raising(error: Exception) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer
