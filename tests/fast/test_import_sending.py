"""Batches are sent until every row is accounted for; a service that fails in any way makes no row twice."""

import io
import threading
from collections import Counter
from contextlib import contextmanager
from itertools import chain
from uuid import uuid5

import pytest

from prodcore.errors import Conflict, Forbidden, OutcomeUnknown, ShardUnavailable
from prodcore.tabular.report import ImportReport, escape_formula, refused
from prodcore.tabular.rows import Row, RowIndex, without_repeats
from prodcore.tabular.source import Reading
from prodctl.importing.importer import MAX_CHARACTERS, Importer, ImportJournal, Patience, RowBatch, journal_of


class Service:
    """Stores by name, as the real one does; ``faults`` are raised, or take rows' answers away, one a request."""

    def __init__(self, *faults):
        self.stored = {}
        self.requests = []
        self._faults = list(faults)
        self._lock = threading.Lock()

    def post(self, items):
        with self._lock:
            self.requests.append([item["name"] for item in items])
            fault = self._faults.pop(0) if self._faults else None
            if isinstance(fault, ShardUnavailable | Forbidden):
                raise fault
            results = [self._store(item, fault) for item in items]
            if isinstance(fault, OutcomeUnknown):
                raise fault
            return results

    def _store(self, item, fault):
        if callable(fault) and (answer := fault(item)):
            return answer
        old = self.stored.setdefault(item["name"], item)
        if old["id"] == item["id"]:
            return {"status": "created", "id": item["id"]}
        status = "unchanged" if old["price"] == item["price"] else "changed"
        self.stored[item["name"]] = item | {"id": old["id"]}
        return {"status": status, "id": old["id"]}


def row(line, name, price="1"):
    return Row(line, {"name": name, "price": price}, {"name": ("nombre", name), "price": ("precio", price)})


def many(count):
    return [row(i + 2, f"p{i}") for i in range(count)]


def run(service, rows, *, batch_size=3, patience=30.0, report=None, journal=None):
    report = report or ImportReport()
    told = []
    with RowIndex() as seen:
        importer = Importer(
            service.post,
            Patience(patience, told.append),
            seen,
            report,
            batch_size,
            journal or ImportJournal(),
            told.append,
        )
        importer.run(without_repeats(rows, seen))
    return report


def test_every_row_is_stored_once_and_counted():
    service = Service()
    report = run(service, many(10))
    assert report.counts() == {"created": 10, "changed": 0, "unchanged": 0, "refused": 0}
    assert Counter(name for names in service.requests for name in names) == {f"p{i}": 1 for i in range(10)}
    assert sorted(len(names) for names in service.requests) == [1, 3, 3, 3]
    again = run(service, [*many(9), row(11, "p9", price="2")])
    assert again.counts() == {"created": 0, "changed": 1, "unchanged": 9, "refused": 0}


@pytest.mark.parametrize(
    "faults",
    [
        [ShardUnavailable("rsB has no primary")],
        [OutcomeUnknown("no answer")],
        [OutcomeUnknown("no answer"), ShardUnavailable("webapp does not answer"), OutcomeUnknown("no answer")],
    ],
    ids=["refused connection", "lost answer", "all of it"],
)
def test_a_batch_without_an_answer_is_sent_again_with_the_same_ids(faults):
    service = Service(*faults)
    report = run(service, many(7))
    assert report.counts() == {"created": 7, "changed": 0, "unchanged": 0, "refused": 0}
    assert len({item["id"] for item in service.stored.values()}) == 7


@pytest.mark.parametrize("status", ["unavailable", "unknown"])
def test_only_the_rows_that_are_open_are_sent_again(status):
    def lose_p1(item):
        return {"status": status, "code": "no_primary", "message": "rsA"} if item["name"] == "p1" else None

    service = Service(lose_p1)
    assert run(service, many(3)).created == 3
    assert service.requests == [["p0", "p1", "p2"], ["p1"]]


def test_impatience_leaves_the_rest_unsent_and_every_row_accounted_for():
    service = Service(*[ShardUnavailable("no shard answers")] * 50)
    report = run(service, many(20), patience=0)
    assert report.rows == 20
    assert report.unavailable >= 3
    assert report.unavailable + report.not_sent == 20
    assert not service.stored


def test_a_row_whose_answer_was_lost_stays_unknown_when_later_attempts_do_nothing():
    service = Service(OutcomeUnknown("no answer"), *[ShardUnavailable("down")] * 50)
    report = run(service, many(2), patience=0.2)
    assert report.counts() == {"created": 0, "changed": 0, "unchanged": 0, "refused": 0, "unknown": 2}


def test_a_refusal_of_the_service_is_told_in_the_files_words():
    def refuse(item):
        errors = [{"field": "price", "code": "less_than", "message": "is too much"}]
        return {"status": "refused", "code": "invalid_input", "errors": errors} if item["name"] == "p1" else None

    told = []
    report = run(Service(refuse), [*many(3), row(5, "p1")], report=ImportReport(sink=told.append))
    assert report.counts() == {"created": 2, "changed": 0, "unchanged": 0, "refused": 2}
    assert list(told[0].as_dicts()) == [
        {"line": 3, "column": "precio", "value": "1", "code": "less_than", "reason": "is too much"}
    ]
    assert told[1].problems[0].reason == "is for the same product as line 3, which is refused"


def test_a_repeated_row_shares_the_fate_of_its_first_line():
    rows = [row(2, "p0"), row(3, "p0"), row(4, "p1")]
    assert run(Service(), rows).counts() == {"created": 2, "changed": 0, "unchanged": 1, "refused": 0}
    lost = run(Service(*[OutcomeUnknown("no answer")] * 9), rows, patience=0)
    assert lost.counts()["unknown"] == 3


def test_what_no_repetition_helps_stops_the_import_with_everything_accounted_for():
    report = ImportReport()
    with pytest.raises(Forbidden):
        run(Service(None, Forbidden("viewers cannot import")), [*many(6), refused(99, "x", "y")], report=report)
    assert report.created == 3
    assert report.not_sent == 3


def test_ctrl_c_accounts_for_what_was_read():
    def rows():
        yield from many(7)
        raise KeyboardInterrupt

    report = ImportReport()
    with pytest.raises(KeyboardInterrupt):
        run(Service(), rows(), report=report)
    assert report.rows == 6  # two full batches; the seventh row was in none
    assert report.created + report.unknown + report.not_sent == 6


@contextmanager
def journal_in(folder, content=b"the file"):
    with journal_of(folder, io.BytesIO(content), Reading(), "http://x") as journal:
        yield journal


class Killed(BaseException):
    """As kill -9 would, it leaves the journal as it is."""


def test_after_a_kill_the_same_import_goes_on_with_what_is_not_settled(tmp_path):
    class DyingService(Service):
        def post(self, items):
            if any(item["name"] == "p10" for item in items):
                raise Killed
            return super().post(items)

    def refuse_p1(item):
        return {"status": "refused", "code": "x", "message": "no"} if item["name"] == "p1" else None

    rows = [
        *many(6),
        refused(8, "bad", "is bad"),
        *[row(i + 3, f"p{i}") for i in range(6, 20)],
        row(23, "p1"),
        row(24, "p2"),
    ]
    service = DyingService(refuse_p1)
    with pytest.raises(Killed), journal_in(tmp_path) as journal:
        run(service, rows, journal=journal)
    first = journal.import_id
    told = []
    healed = Service()
    healed.stored = service.stored
    with journal_in(tmp_path) as journal:
        assert (journal.import_id, journal.line) == (first, 11)
        report = run(healed, rows, journal=journal, report=ImportReport(sink=told.append))
    assert report.counts() == {"created": 19, "changed": 0, "unchanged": 1, "refused": 3}
    assert [row.line for row in told] == [3, 8, 23]
    assert sorted(chain(*healed.requests)) == sorted(f"p{i}" for i in range(9, 20))
    assert {item["id"] for item in healed.stored.values()} == {
        str(uuid5(first, str(r.line))) for r in rows if isinstance(r, Row) and r.line not in (3, 23, 24)
    }
    with journal_in(tmp_path) as journal:
        assert journal.import_id != first  # all was settled: this is another import
        assert journal.line == 0


def test_what_is_not_settled_is_sent_again_by_the_same_command(tmp_path):
    first_is_stored = threading.Event()

    class HalfOut(Service):
        def post(self, items):
            if items[0]["name"] != "p0":
                assert first_is_stored.wait(10)  # patience ends with the first failure
                raise ShardUnavailable("down")
            try:
                return super().post(items)
            finally:
                first_is_stored.set()

    rows = many(9)
    with journal_in(tmp_path) as journal:
        run(HalfOut(), rows, patience=0, journal=journal)
        first = journal.import_id
    service = Service()
    with journal_in(tmp_path) as journal:
        assert (journal.import_id, journal.line) == (first, 4)
        assert run(service, rows, journal=journal).created == 9
    assert sorted(len(names) for names in service.requests) == [3, 3]


def test_half_a_line_in_the_journal_is_as_if_it_were_not_there(tmp_path):
    with journal_in(tmp_path) as journal:
        journal.settled(4, ImportReport(created=3), [])
        first = journal.import_id
    (path,) = (tmp_path / "imports").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(path.read_bytes() + b'{"line": 7, "cou')
    with journal_in(tmp_path) as journal:
        assert (journal.import_id, journal.line, journal.counts["created"]) == (first, 4, 3)
        journal.settled(7, ImportReport(created=6), [])
    with journal_in(tmp_path) as journal:
        assert (journal.line, journal.counts["created"]) == (7, 6)
    with journal_in(tmp_path, b"another file") as journal:
        assert (journal.line, journal.import_id != first) == (0, True)


def test_one_file_is_imported_once_at_a_time(tmp_path):
    with journal_in(tmp_path), pytest.raises(Conflict, match="importing this very file"), journal_in(tmp_path):
        pass
    with journal_in(tmp_path), journal_in(tmp_path, b"another file"):
        pass


def test_batches_stay_small_in_characters_too():
    batch = RowBatch()
    batch.add(Row(2, {"name": "x"}, {"name": ("nombre", "x"), "description": ("d", "y" * MAX_CHARACTERS)}))
    assert batch.is_full(500)


def test_a_report_makes_no_formula():
    assert [escape_formula(cell) for cell in ("=1", "+1", "-1", "@a", "\tx", "a=1", 5)] == [
        "'=1",
        "'+1",
        "'-1",
        "'@a",
        "'\tx",
        "a=1",
        5,
    ]


def test_an_interrupted_import_waits_for_the_answers_to_what_it_has_sent():
    """So that little is unknown: Ctrl-C comes while the first batches are under way, and they are all settled."""
    service = Service()
    interrupted = threading.Event()

    def post(items):
        interrupted.wait(30)  # the answer comes after Ctrl-C
        return Service.post(service, items)

    def rows():
        yield from many(6)
        interrupted.set()
        raise KeyboardInterrupt

    report, told = ImportReport(), []
    with RowIndex() as seen:
        importer = Importer(post, Patience(30, told.append), seen, report, 3, ImportJournal(), lambda _rows: None)
        with pytest.raises(KeyboardInterrupt):
            importer.run(without_repeats(rows(), seen))
    assert report.created == len(service.stored) == 6
    assert report.unknown == 0
    assert told[0].startswith("Interrupted: waiting for the answers")
