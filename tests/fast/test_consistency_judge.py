"""The judge of the consistency checker finds each broken promise that is planted, and none in a good history."""

from dataclasses import replace

import pytest

from campaigns.consistency.history import Operation, as_list_append, as_register, load, save
from campaigns.consistency.judge import judge, summary

BUDGET = 20.0


def product(version, name="ana", stock=0, **fields):
    return {"id": "p", "name": name, "version": version, "stock": stock, "description": "", "sku": None, **fields}


def write(do, began, version, outcome="ok", status=200, **wanted):
    return Operation(1, do, began, began + 0.5, outcome, status, "p", {"version": version, **wanted})


def read(began, seen, **more):
    return Operation(2, "read", began, began + 0.5, "ok", 200 if seen else 404, "p", seen=seen, **more)


def listing(began, *listed, order="name", **more):
    return Operation(3, "list", began, began + 0.5, "ok", 200, order=order, listed=listed, **more)


GOOD = (
    write("create", 1, 1, name="ana", stock=0),
    read(2, product(1)),
    write("edit", 3, 2, stock=1, name="yema", appended="x"),
    read(4, product(2, "yema", 1)),
    listing(5, product(2, "yema", 1)),
    write("edit", 6, 3, "info", 504, stock=2),
    read(8, product(3, "yema", 2)),
)
FINAL = {"p": product(3, "yema", 2)}


def test_good_history_breaks_nothing():
    assert judge(GOOD, FINAL, BUDGET) == []
    assert judge(GOOD[:-1], {"p": product(2, "yema", 1)}, BUDGET) == []  # the unknown edit did not happen


@pytest.mark.parametrize(
    ("kind", "planted", "final"),
    [
        ("lost", (), {}),
        ("lost", (), {"p": product(1)}),
        ("lost update", (write("edit", 9, 2, stock=1, name="yema"),), FINAL),
        ("stale read", (read(9, product(2, "yema", 1)),), FINAL),
        ("stale read", (read(9, None),), FINAL),
        ("wrong", (read(9, product(3, "yema", 7)),), FINAL),
        ("wrong", (), {"p": product(3, "otra", 2, stock_of=1) | {"stock": 7}}),
        ("unexplained", (write("edit", 9, 4, "fail", 503, stock=4),), {"p": product(4, "yema", 4)}),
        ("came back", (write("delete", 9, 4),), {"p": product(4, "yema", 2)}),
        ("doubled", (), {**FINAL, "q": product(1, "yema") | {"id": "q"}}),
        ("doubled", (), {"p": FINAL["p"] | {"sku": "X"}, "q": product(1, "uva", sku="X") | {"id": "q"}}),
        ("listed twice", (listing(9, product(3, "yema", 2), product(3, "yema", 2)),), FINAL),
        ("not listed", (listing(9),), FINAL),
        ("not listed", (listing(9, order="-price"),), FINAL),
        ("listed after its end", (write("delete", 9, 4), listing(10, product(3, "yema", 2))), {}),
        ("never made", (listing(9, product(3, "yema", 2), product(1) | {"id": "q"}),), FINAL),
        ("internal error", (write("edit", 9, 4, "info", 500, stock=3),), FINAL),
        ("too slow", (replace(read(9, product(3, "yema", 2)), ended=60.0),), FINAL),
    ],
)
def test_each_planted_anomaly_is_found_and_explained(kind, planted, final):
    found = judge((*GOOD, *planted), final, BUDGET)
    assert set(summary(found)) == {kind}
    assert all(kind in anomaly.page() and len(anomaly.page().splitlines()) < 50 for anomaly in found)


def test_what_an_answer_says_of_itself_is_no_anomaly():
    planted = (read(9, product(1), is_stale=True), listing(9, is_stale=True))
    assert judge((*GOOD, *planted), FINAL, BUDGET) == []


def test_lists_may_show_twice_what_they_do_not_promise_to_follow():
    both = (product(3, "yema", 2), product(4, "yema", 9))
    edit = write("edit", 9, 4, stock=9)
    assert judge((*GOOD, edit, listing(9.2, *both, order="stock")), {"p": product(4, "yema", 9)}, BUDGET) == []
    assert "listed twice" in summary(judge((*GOOD, edit, listing(9.2, *both)), {"p": product(4, "yema", 9)}, BUDGET))


def test_history_is_kept_and_written_for_other_checkers(tmp_path):
    save(GOOD, tmp_path / "history")
    assert tuple(load(tmp_path / "history")) == GOOD
    register = list(as_register(GOOD))
    assert register[0] == '{:process 1, :type :invoke, :f :write, :value ["p" 0], :time 1000000000}'
    assert register[-1].startswith('{:process 2, :type :ok, :f :read, :value ["p" 2]')
    assert '{:process 1, :type :ok, :f :txn, :value [[:append "p" "x"]], :time 3500000000}' in as_list_append(GOOD)
