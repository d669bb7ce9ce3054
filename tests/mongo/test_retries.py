"""What a client sends again is counted, for drills to tell."""

import pytest

from prodcore.app.wiring import open_replica_set
from prodcore.support.request_notes import counted
from tests.support.faults import failing


@pytest.mark.parametrize(
    ("command", "what", "again"),
    [
        ("insert", {"closeConnection": True}, 1),
        ("insert", {"errorCode": 10107, "errorLabels": ["RetryableWriteError"], "times": 2}, 2),
        ("aggregate", {"closeConnection": True}, 0),
    ],
    ids=["lost connection", "no primary any more, twice", "nothing"],
)
def test_what_the_driver_sends_again_is_counted(settings, raw_clients, raw_products, command, what, again):
    replica_set = open_replica_set(settings, "db1_url", count_retries=True)
    try:
        with counted() as retries, failing(raw_clients["rsA"], [command], **what):
            replica_set.write(
                lambda _again: replica_set.collection("products").insert_one({"_id": "x", "name_key": "a"})
            )
    finally:
        replica_set.close()
    assert retries.count == again
    assert raw_products["rsA"].count_documents({"_id": "x"}) == 1
