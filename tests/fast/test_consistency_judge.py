"""The judge of the consistency checker finds each broken promise that is planted, and none in a good history."""

import re
from dataclasses import replace

import pytest

from campaigns.consistency.history import (
    Ending,
    Operation,
    as_list_append,
    as_register,
    load,
    load_ending,
    save,
    save_ending,
)
from campaigns.consistency.judge import judge, resolve, summary, unknown

BUDGET = 20.0


def product(version, name="ana", stock=0, **fields):
    return {
        "id": "p", "name": name, "version": version, "stock": stock, "price": "1.00", "description": "", "sku": None,
        "shard": "rsA" if name < "n" else "rsB", "updated_at": f"2026-01-01T00:00:{version:02}Z", **fields,
    }  # fmt: skip


def write(do, began, version, outcome="ok", status=200, of="p", **wanted):
    return Operation(
        1, do, began, began + 0.5, outcome, status, of, {"version": version, **wanted}, request=f"{of} {began}"
    )


def read(began, seen, **more):
    return Operation(2, "read", began, began + 0.5, "ok", 200 if seen else 404, "p", seen=seen, **more)


def find(began, name, seen):
    return replace(read(began, seen), do="find", wanted={"name": name})


def listing(began, *listed, order="name", **more):
    return Operation(3, "list", began, began + 0.5, "ok", 200, order=order, listed=listed, **more)


def ending(history, *products, denied=()):
    """What is there at the end, when all writes but those ``denied`` are in the products' histories."""
    made = [o for o in history if o.do in ("create", "edit", "delete", "restore") and o.outcome != "fail"]
    histories = {}
    for each in made:
        if each not in denied:
            change = {"version": each.wanted["version"], "request_id": each.request}
            histories.setdefault(each.product, []).append(change)
    return Ending({p["id"]: p for p in products}, histories)


GOOD = (
    write("create", 1, 1, name="ana", stock=0),
    read(2, product(1)),
    write("edit", 3, 2, stock=1, name="yema", appended="x", stays=False),
    read(4, product(2, "yema", 1)),
    find(4.6, "yema", product(2, "yema", 1)),
    listing(5, product(2, "yema", 1)),
    write("edit", 6, 3, "info", 504, stock=2),
    read(8, product(3, "yema", 2)),
)
LAST = product(3, "yema", 2)
DELETED = write("delete", 9, 4)
OTHER = write("create", 5.6, 1, of="q", name="uva", stock=5, sku="X")
UVA = product(1, "uva", 5, id="q", sku="X")
THIRD = write("create", 5.6, 1, of="r", name="zumo", stock=7)
ZUMO = product(1, "zumo", 7, id="r")
ALSO = {"lost update": {"not in the history"}, "doubled": {"wrong"}}
"""What a planted anomaly is besides."""


def judged(history, *products, denied=()):
    return judge(history, ending(history, *products, denied=denied), BUDGET)


def test_good_history_breaks_nothing():
    assert judged(GOOD, LAST) == []
    assert judged(GOOD[:-1], product(2, "yema", 1), denied=GOOD[6:7]) == []  # the unknown edit did not happen
    assert judged((*GOOD, DELETED, write("restore", 10, 5, name="yema", stock=2)), product(5, "yema", 2)) == []


def test_unknown_writes_are_resolved_by_the_products_history():
    assert unknown(GOOD) == [GOOD[6]]
    happened, _ = resolve(GOOD, ending(GOOD))
    assert [o.outcome for o in happened if o.status == 504] == ["info"]
    did_not, _ = resolve(GOOD, ending(GOOD, denied=GOOD[6:7]))
    assert [o.outcome for o in did_not if o.status == 504] == ["fail"]


@pytest.mark.parametrize(
    ("kind", "planted", "final"),
    [
        ("lost", (), ()),
        ("lost", (), (product(1),)),
        ("lost update", (write("edit", 9, 2, stock=1, name="yema"),), (LAST,)),
        ("stale read", (read(9, product(2, "yema", 1)),), (LAST,)),
        ("stale read", (read(9, None),), (LAST,)),
        ("stale read", (find(9, "yema", None),), (LAST,)),
        ("wrong", (read(9, product(3, "yema", 7)),), (LAST,)),
        ("wrong", (), (LAST | {"stock": 7},)),
        ("wrong", (listing(9, LAST | {"stock": 7}),), (LAST,)),
        ("misplaced", (read(9, LAST | {"shard": "rsA"}),), (LAST,)),
        ("unexplained", (write("edit", 9, 4, "fail", 503, stock=4),), (product(4, "yema", 4),)),
        ("unexplained", (write("edit", 9, 4, "fail", 412, stock=4),), (product(4, "yema", 4),)),
        ("came back", (DELETED,), (product(4, "yema", 2),)),
        ("doubled", (OTHER,), (LAST | {"sku": "X"}, UVA)),
        ("doubled", (OTHER,), (LAST, UVA | {"name": "yema"})),
        ("listed twice", (listing(9, LAST, LAST),), (LAST,)),
        ("not listed", (listing(9),), (LAST,)),
        ("not listed", (listing(9, order="-price"),), (LAST,)),
        ("listed after its end", (DELETED, listing(10, LAST)), ()),
        ("never made", (listing(9, product(1, "uva", id="q"), LAST),), (LAST,)),
        ("stale list", (listing(9, product(2, "yema", 1)),), (LAST,)),
        ("out of order", (OTHER, THIRD, listing(20, ZUMO, UVA, LAST)), (LAST, UVA, ZUMO)),
        ("out of order", (OTHER, THIRD, listing(20, UVA, ZUMO, LAST, order="-stock")), (LAST, UVA, ZUMO)),
        ("internal error", (write("edit", 9, 4, "info", 500, stock=3),), (product(4, "yema", 3),)),
        ("too slow", (replace(read(9, LAST), longest=60.0),), (LAST,)),
    ],
)
def test_each_planted_anomaly_is_found_and_explained(kind, planted, final):
    found = judged((*GOOD, *planted), *final)
    assert kind in summary(found)
    assert set(summary(found)) <= {kind, *ALSO.get(kind, ())}
    assert all(len(anomaly.page().splitlines()) < 50 for anomaly in found)


def test_acknowledged_write_of_one_member_that_lost_it_is_found():
    """As a write with w:1 is, whose member died: the product's own history knows nothing of it either."""
    edit = write("edit", 9, 4, stock=9)
    assert set(summary(judged((*GOOD, edit), LAST, denied=[edit]))) == {"lost", "not in the history"}


def test_sku_that_two_products_had_at_one_time_is_found_though_it_is_over():
    gave_up = write("edit", 12, 2, of="q", sku=None)
    got = write("edit", 9, 4, sku="X")
    later = (LAST | {"version": 4, "sku": "X"}, UVA | {"version": 2, "sku": None})
    assert set(summary(judged((*GOOD, OTHER, got, gave_up), *later))) == {"doubled"}
    assert judged((*GOOD, OTHER, replace(gave_up, began=7, ended=7.5), got), *later) == []


def test_rename_that_appears_after_a_read_has_decided_it_is_found():
    late = write("edit", 9, 4, "info", 504, name="berta", stays=False)
    history = (*GOOD, late, read(10, LAST), read(40, product(4, "berta", 2)))
    assert set(summary(judged(history, product(4, "berta", 2)))) == {"appeared late"}
    within = replace(late, wanted=late.wanted | {"stays": True})
    assert judged((*GOOD, within, read(10, LAST)), product(4, "berta", 2)) == []


def test_what_an_answer_says_of_itself_is_no_anomaly():
    planted = (read(9, product(1), is_stale=True), listing(9, is_stale=True))
    assert judged((*GOOD, *planted), LAST) == []


def test_lists_may_show_twice_what_they_do_not_promise_to_follow():
    edit, now = write("edit", 9, 4, stock=9), product(4, "yema", 9)
    assert judged((*GOOD, edit, listing(9.2, LAST, now, order="stock")), now) == []
    assert "listed twice" in summary(judged((*GOOD, edit, listing(9.2, LAST, now)), now))


def test_history_is_kept_and_written_for_other_checkers(tmp_path):
    save(GOOD, tmp_path / "history")
    assert tuple(load(tmp_path / "history")) == GOOD
    save_ending(ending(GOOD, LAST), tmp_path / "ending")
    assert load_ending(tmp_path / "ending") == ending(GOOD, LAST)
    register = list(as_register(GOOD))
    assert register[0] == '{:process 0, :type :invoke, :f :write, :value ["p" 0], :time 1000000000}'
    assert register[-1].startswith('{:process 1, :type :ok, :f :read, :value ["p" 2]')
    assert '{:process 0, :type :ok, :f :txn, :value [[:append "p" "x"]], :time 3500000000}' in as_list_append(GOOD)


def test_each_process_of_a_kept_history_asks_one_thing_at_a_time():
    one_after_the_other = (write("edit", 3, 2, stock=1), write("edit", 3.5, 3, stock=2))
    assert processes(one_after_the_other) == [(0, "invoke"), (0, "ok"), (0, "invoke"), (0, "ok")]
    batch = (write("edit", 3, 2, stock=1), write("edit", 3, 3, stock=2))
    assert sorted(processes(batch)) == [(0, "invoke"), (0, "ok"), (1, "invoke"), (1, "ok")]


def test_a_process_of_a_kept_history_asks_nothing_after_an_unknown_outcome():
    unknown = (write("edit", 3, 2, outcome="info", stock=1), write("edit", 4, 3, stock=2))
    assert processes(unknown) == [(0, "invoke"), (0, "info"), (1, "invoke"), (1, "ok")]


def processes(history):
    found = (re.match(r"{:process (\d+), :type :(\w+)", line) for line in as_register(history))
    return [(int(match[1]), match[2]) for match in found]
