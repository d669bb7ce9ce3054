"""Reads of one document each that are asked for at the same time: one question to the server for all that wait.

Most of what such a read costs is the driver's work for a question, whatever it asks for. While one is out, those who
come meanwhile wait for the next one, so that each question goes out after everybody in it has asked, and shows all
that was acknowledged before. Who comes while none is out asks at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Generic, TypeVar

from prodcore.deadline import remaining
from prodcore.support.request_notes import may_be_stale, note_stale, stale_reads

K = TypeVar("K")
V = TypeVar("V")

_MOST = 100
"""So many are read by one question, so that its answer stays small."""


class SharedReads(Generic[K, V]):
    """``read_many`` answers for several keys; it is called in the thread, and within the deadline, of one who waits."""

    def __init__(self, read_many: Callable[[Sequence[K]], Mapping[K, V]]) -> None:
        self._read_many = read_many
        self._queues: dict[bool, _Queue[K, V]] = {stale: _Queue() for stale in (False, True)}
        """Apart: those who are content with what may be out of date, and those who are not."""

    def read(self, key: K) -> V | None:
        """What is stored under this key. Raises what ``read_many`` raises."""
        queue = self._queues[may_be_stale()]
        reader: _Reader[K, V] = _Reader(key)
        if queue.leads(reader) or queue.is_to_lead(reader):
            self._ask(queue, reader)
        if not reader.is_answered:  # whoever asked for it has failed, perhaps for want of time
            return self._read_many([key]).get(key)
        for name in reader.stale:
            note_stale(name)
        return reader.found

    def _ask(self, queue: _Queue[K, V], leader: _Reader[K, V]) -> None:
        readers = queue.take()
        try:
            keys = list(dict.fromkeys(reader.key for reader in readers))
            if may_be_stale():
                with stale_reads() as stale:
                    found = self._read_many(keys)
            else:
                stale, found = set(), self._read_many(keys)
            for reader in readers:
                reader.answer(found.get(reader.key), stale)
        finally:
            queue.pass_on()
            for reader in readers:
                if reader is not leader:
                    reader.turn.release()


class _Reader(Generic[K, V]):
    """Somebody who waits for an answer, or for the turn to ask."""

    __slots__ = ("found", "is_answered", "key", "leads", "stale", "turn")

    def __init__(self, key: K) -> None:
        self.key = key
        self.leads = False
        self.is_answered = False
        self.found: V | None = None
        self.stale: set[str] = set()
        self.turn = Lock()
        self.turn.acquire()

    def answer(self, found: V | None, stale: set[str]) -> None:
        self.found, self.stale, self.is_answered = found, stale, True


class _Queue(Generic[K, V]):
    """Those who wait; one of those who asked for a question's answer leads, until it has it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: list[_Reader[K, V]] = []
        self._is_led = False

    def leads(self, reader: _Reader[K, V]) -> bool:
        """Stand in line; whether this one is to ask at once."""
        with self._lock:
            self._waiting.append(reader)
            reader.leads = not self._is_led
            self._is_led = True
            return reader.leads

    def is_to_lead(self, reader: _Reader[K, V]) -> bool:
        """Wait for the answer, or for the turn to ask, no longer than the deadline; whether it is the turn."""
        if not reader.turn.acquire(timeout=remaining()):
            with self._lock:
                if reader in self._waiting and not reader.leads:
                    self._waiting.remove(reader)
        return reader.leads

    def take(self) -> list[_Reader[K, V]]:
        """Those whom the next question is for; the leader is the first of them."""
        with self._lock:
            readers, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            return readers

    def pass_on(self) -> None:
        """Let the next one lead, if anybody waits."""
        with self._lock:
            self._is_led = bool(self._waiting)
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].turn.release()
