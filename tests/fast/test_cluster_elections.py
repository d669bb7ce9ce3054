"""Elections from members' own records."""

from datetime import UTC, datetime

from prodcore.replicaset.elections import MemberRecords, read_elections

WON = (
    '{"t":{"$date":"2026-11-24T05:04:10.367+00:00"},"s":"I","c":"ELECTION","id":21450,"ctx":"c",'
    '"msg":"Election succeeded, assuming primary role","attr":{"term":%d}}\n'
)
STANDS = (
    '{"t":{"$date":"2026-11-24T05:04:10.300+00:00"},"s":"I","c":"ELECTION","id":4615652,"ctx":"c",'
    '"msg":"Starting an election, since we\'ve seen no PRIMARY in election timeout period","attr":{}}\n'
)
ASKED = (
    '{"t":{"$date":"2026-11-24T05:05:10.300+00:00"},"s":"I","c":"ELECTION","id":4615661,"ctx":"c",'
    '"msg":"Starting an election due to step up request"}\n'
)


def note(term, minute):
    return {"op": "n", "o": {"msg": "new primary"}, "t": term, "wall": datetime(2026, 11, 24, 5, minute, tzinfo=UTC)}


def test_notes_and_logs_are_put_together_by_term():
    records = [
        MemberRecords("a:1", [note(1, 3), note(2, 4), note(3, 5)], [STANDS, WON % 2]),
        MemberRecords("b:1", [note(2, 4)], [ASKED, WON % 3, "not json\n"]),
    ]
    newest, middle, oldest = read_elections("rsA", records)
    assert (newest.term, newest.old_primary, newest.new_primary, newest.reason) == (
        3,
        "a:1",
        "b:1",
        "asked to run for election",
    )
    assert (middle.new_primary, middle.reason) == ("a:1", "no primary was seen for the election timeout")
    assert (oldest.term, oldest.new_primary) == (1, "")


def test_nobody_remembers_anything():
    assert read_elections("rsA", [MemberRecords("a:1")]) == []
