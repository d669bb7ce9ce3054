"""Reads that are asked for at the same time are one question, and each is answered as if it had asked alone."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from threading import Barrier, Event

import pytest

from prodcore.deadline import budget
from prodcore.errors import NoPrimary
from prodcore.mongo.client.shared_reads import SharedReads
from prodcore.support.request_notes import note_stale, stale_reads
from tests.support.waiting import wait_until


class Server:
    """Answers questions one after the other, each when it is let go on; by day it does not wait."""

    def __init__(self, documents):
        self.documents = documents
        self.questions = []
        self.holds = False
        self.go_on = Event()
        self.fails = 0

    def read_many(self, keys):
        self.questions.append(list(keys))
        found = {key: self.documents[key] for key in keys if key in self.documents}
        if self.holds:
            self.holds = False
            assert self.go_on.wait(30)
        if self.fails:
            self.fails -= 1
            raise NoPrimary("nobody answers", shard="rsA")
        return found


@pytest.fixture
def server():
    return Server({f"p{i}": i for i in range(200)})


@pytest.fixture
def reads(server):
    return SharedReads(server.read_many)


@pytest.fixture
def threads():
    with ThreadPoolExecutor(max_workers=150) as pool:
        yield pool


@pytest.fixture
def held(server, reads, threads):
    """A question that is out until ``server.go_on`` is set, and those who came meanwhile."""

    def hold(keys, *, seconds=30.0, stale=False):
        def read(key):
            with budget(seconds), stale_reads() if stale else nullcontext() as seen:
                return reads.read(key), seen

        server.holds = True
        first = threads.submit(read, "p0")
        wait_until(lambda: server.questions, "the first question")
        others = [threads.submit(read, key) for key in keys]
        wait_until(lambda: len(reads._queues[stale]._waiting) == len(keys), "all to stand in line")
        return first, others

    return hold


def test_who_comes_alone_asks_at_once(server, reads):
    assert (reads.read("p1"), reads.read("p2"), reads.read("nothing")) == (1, 2, None)
    assert server.questions == [["p1"], ["p2"], ["nothing"]]


def test_those_who_come_while_a_question_is_out_are_the_next_one(server, held):
    keys = ["p1", "p2", "p2", "nothing", "p3"]
    first, others = held(keys)
    server.go_on.set()
    assert first.result()[0] == 0
    assert [other.result()[0] for other in others] == [1, 2, 2, None, 3]
    assert server.questions == [["p0"], ["p1", "p2", "nothing", "p3"]]


def test_a_read_that_begins_after_a_write_shows_it_whatever_question_is_out(server, held):
    first, (second,) = held(["p0"])
    server.documents["p0"] = "written since"
    server.go_on.set()
    assert (first.result()[0], second.result()[0]) == (0, "written since")


def test_more_than_one_question_holds_are_several(server, held):
    _first, others = held([f"p{i}" for i in range(1, 131)])
    server.go_on.set()
    assert [other.result()[0] for other in others] == list(range(1, 131))
    assert [len(question) for question in server.questions] == [1, 100, 30]


def test_of_a_question_that_fails_only_the_one_who_asked_it_hears(server, held):
    first, others = held(["p1", "p2"])
    server.fails = 1
    server.go_on.set()
    with pytest.raises(NoPrimary):
        first.result()
    assert [other.result()[0] for other in others] == [1, 2]


def test_those_of_a_question_that_fails_ask_by_themselves(server, held):
    first, others = held(["p1", "p2", "p3"])
    server.fails = 2
    server.go_on.set()
    failed = [future for future in (first, *others) if future.exception(30)]
    assert len(failed) == 2
    assert [other.result()[0] for other in others if other not in failed] == [2, 3]


def test_nobody_waits_longer_than_the_time_that_is_left(server, reads, held, threads):
    _first, others = held(["p1"], seconds=0.05)
    wait_until(lambda: not reads._queues[False]._waiting, "it to give up")
    later = threads.submit(reads.read, "p2")
    wait_until(lambda: reads._queues[False]._waiting, "another one")
    server.go_on.set()
    assert later.result(30) == 2
    assert others[0].done()


def test_each_is_told_of_a_set_that_was_read_without_its_majority(server, reads, held):
    answer = server.read_many
    reads._read_many = lambda keys: (note_stale("rsB"), answer(keys))[1]
    first, others = held(["p1", "p2"], stale=True)
    server.go_on.set()
    assert [seen for _value, seen in (first.result(), *(other.result() for other in others))] == [{"rsB"}] * 3


def test_who_takes_nothing_stale_shares_no_question_with_those_who_do(server, reads, held):
    first, _others = held([], stale=True)
    assert reads.read("p1") == 1
    server.go_on.set()
    assert first.result()[0] == 0


def test_everybody_is_answered_however_many_ask_for_however_long(reads, threads):
    together = Barrier(32)

    def many(number):
        together.wait(30)
        return all(reads.read(f"p{(number * 7 + i) % 200}") == (number * 7 + i) % 200 for i in range(300))

    assert all(threads.map(many, range(32)))
