"""Batches are sent until every row is accounted for; a service that fails in any way makes no row twice."""

import threading
from collections import Counter

import pytest

from prodcore.catalog.import_report import ImportReport, harmless, refused
from prodcore.catalog.import_rows import Row, without_repeats
from prodcore.catalog.import_seen import Seen
from prodcore.errors import Forbidden, OutcomeUnknown, ShardUnavailable
from prodctl.batch_sender import MAX_CHARACTERS, Batch, Patience
from prodctl.importer import Importer


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


def run(service, rows, *, batch_size=3, patience=30.0, report=None):
    report = report or ImportReport()
    told = []
    with Seen() as seen:
        Importer(service.post, Patience(patience, told.append), seen, report, batch_size, told.append).run(
            without_repeats(rows, seen)
        )
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
    assert told[1].problems[0].reason == "says the same as line 3, which is refused"


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


def test_batches_stay_small_in_characters_too():
    batch = Batch()
    batch.add(Row(2, {"name": "x"}, {"name": ("nombre", "x"), "description": ("d", "y" * MAX_CHARACTERS)}))
    assert batch.is_full(500)


def test_a_report_makes_no_formula():
    assert [harmless(cell) for cell in ("=1", "+1", "-1", "@a", "\tx", "a=1", 5)] == [
        "'=1",
        "'+1",
        "'-1",
        "'@a",
        "'\tx",
        "a=1",
        5,
    ]
