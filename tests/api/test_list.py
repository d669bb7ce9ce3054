"""Lists through the REST API and the command line: filters, orders, fields, bad input, a shard that is out."""

import csv
from uuid import uuid4

import pytest
import requests

from tests.support.faults import members, stopped
from tests.support.site import TIMEOUT_SECONDS, is_problem
from tests.support.survivor import wait_until_known
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def word(site, token):
    """A word that six products of these tests have, three in each shard."""
    word = f"x{uuid4().hex[:12]}"
    items = [
        {
            "name": f"{letter} {word}",
            "price": price,
            "stock": stock,
            "category": f"Lácteos {word}",
            "tags": ["a, b", f"ñ {word}"] if stock else [],
            "active": stock != 9,
        }
        for letter, price, stock in [
            ("Bar", "3", 0),
            ("Cal", "1", 9),
            ("Mar", "2", 1),
            ("Ola", "2.00", 2),
            ("Pan", "10", 0),
            ("Zar", "0.5", 3),
        ]
    ]
    answer = site.call("POST", "/products/batch", {"items": items}, token=token)
    assert {result["status"] for result in answer.json()["results"]} == {"created"}
    return word


def first_words(items):
    return " ".join(item["name"].split()[0] for item in items)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "Bar Cal Mar Ola Pan Zar"),
        ({"sort": "-name"}, "Zar Pan Ola Mar Cal Bar"),
        ({"sort": "price", "price_min": "2.5"}, "Bar Pan"),
        ({"sort": "-price", "price_max": "3"}, "Bar"),
        ({"tag": ["A, B", "ñ {word}"], "sort": "-stock"}, "Cal Zar Ola Mar"),
        ({"stock_max": "0"}, "Bar Pan"),
        ({"stock_min": "2", "stock_max": "3", "sort": "-stock"}, "Zar Ola"),
        ({"active": "false"}, "Cal"),
        ({"active": "true", "shard": "rsA"}, "Bar Mar"),
        ({"updated_since": "2020-01-01", "shard": "rsB", "sort": "-name"}, "Zar Pan Ola"),
        ({"updated_since": "2999-01-01T00:00:00+02:00"}, ""),
        ({"sort": "created", "active": "false"}, "Cal"),
    ],
)
def test_filters_and_orders_in_the_api_and_on_the_command_line(site, token, cli, word, query, expected):
    asked = {k: [t.replace("{word}", word) for t in v] if k == "tag" else v for k, v in query.items()}
    asked |= {"category": f"LACTEOS {word}", "limit": 200}
    answer = requests.get(
        f"{site.url}/api/v1/products",
        params=asked,
        headers={"Authorization": f"Bearer {token}"},
        timeout=TIMEOUT_SECONDS,
    )
    assert answer.status_code == 200, answer.text
    starts = first_words(answer.json()["items"])
    if expected and "price_max" in query:  # the cheapest of all others stand behind it
        starts = starts.split()[0]
    assert starts == expected

    options = []
    for name, value in asked.items():
        if name == "active":
            options.append("--active" if value == "true" else "--inactive")
            continue
        for one in value if isinstance(value, list) else [value]:
            options += [f"--{name.replace('_', '-')}", str(one)]
    listed = cli("product", "list", *options, "-o", "json")
    assert (listed.status, listed.err) == (0, "")
    assert listed.json["items"] == answer.json()["items"]


def test_next_page_is_named_in_a_header_and_keeps_the_whole_question(site, token, word):
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{site.url}/api/v1/products?tag=a%2C+b&tag=%C3%B1+{word}&sort=-price&limit=1&fields=name,price"
    seen = []
    while url:
        answer = requests.get(url, headers=headers, timeout=TIMEOUT_SECONDS)
        seen += answer.json()["items"]
        following = answer.links.get("next")
        assert bool(following) == bool(answer.json()["next_cursor"])
        url = following and site.url + following["url"]
    assert [item["price"] for item in seen] in (["2", "2.00", "1", "0.5"], ["2.00", "2", "1", "0.5"])
    assert {tuple(item) for item in seen} == {("name", "price")}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("sort=%24where", "sort"),
        ("sort=", "sort"),
        ("price_min=-1", "price_min"),
        ("price_min=NaN", "price_min"),
        ("price_max=1e5", "price_max"),
        ("price_max=1,50", "price_max"),
        ("stock_min=1.5", "stock_min"),
        ("stock_min=1_0", "stock_min"),
        ("stock_min=%201", "stock_min"),
        ("stock_max=3.0", "stock_max"),
        ("stock_max=2147483648", "stock_max"),
        ("active=perhaps", "active"),
        ("updated_since=yesterday", "updated_since"),
        ("updated_since=1700000000", "updated_since"),
        ("updated_since=2026-01-31T08:00:00", "updated_since"),
        ("updated_since=2026-02-31", "updated_since"),
        ("updated_since=0001-01-01T00:00:00%2B14:00", "updated_since"),
        ("updated_since=9999-12-31T23:59:59-14:00", "updated_since"),
        ("fields=", "fields"),
        ("fields=name,password", "fields"),
        ("fields=words", "fields"),
        ("tag=", "tag.0"),
        ("tag=" + "&tag=".join("abcdefghijklmnopqrstu"), "tag"),
        ("category=a&category=b", "category"),
        ("limit=0", "limit"),
        ("limit=1_0", "limit"),
        ("limit=1000000000", "limit"),
        ("page=2", "page"),
        ("search[$ne]=x", "search[$ne]"),
        ("require_all=7", "require_all"),
    ],
)
def test_odd_questions_are_refused_with_the_field(site, token, query, field):
    answer = site.call("GET", f"/products?{query}", token=token)
    assert field in [problem["field"] for problem in is_problem(answer, 422, "invalid_input")["errors"]]


@pytest.mark.parametrize(
    "search", ["%00", "%F0%9F%8D%8E", "%ED%A0%80", "%FF", "(", "%5C", "%24where", "%20=", "%20%23"]
)
def test_odd_words_are_searched_for(site, token, search):
    answer = site.call("GET", f"/products?search={search}&limit=1", token=token)
    assert answer.status_code == 200


def test_fields_make_the_columns(cli, word):
    table = cli("product", "list", "--search", word, "--fields", "stock,name,category", "--sort", "-stock")
    lines = table.out.splitlines()
    assert lines[0].split() == ["STOCK", "NAME", "CATEGORY"]
    assert lines[1].split() == ["9", "Cal", word, "Lácteos", word]
    rows = list(csv.reader(cli("product", "list", "--search", word, "--fields", "price", "-o", "csv").out.splitlines()))
    assert rows == [["price"], ["3"], ["1"], ["2"], ["2.00"], ["10"], ["0.5"]]


@pytest.mark.parametrize(
    "arguments",
    [["--sort", "$where"], ["--price-min", "x"], ["--fields", "x"], ["--updated-since", "x"]],
)
def test_odd_options_are_refused(cli, arguments):
    refused = cli.inside("product", "list", *arguments)
    assert (refused.status, refused.out) == (2, "")
    assert refused.err


def test_an_unknown_shard_is_not_found_and_those_that_exist_are_named(site, token, cli):
    answer = site.call("GET", "/products?shard=rsX", token=token)
    assert is_problem(answer, 404, "shard_not_found")["detail"] == "there is no shard rsX; there are rsA, rsB"
    refused = cli.inside("product", "list", "--shard", "rsX")
    assert (refused.status, refused.out) == (3, "")
    assert "there is no shard rsX; there are rsA, rsB" in refused.err


def test_a_shard_that_is_out_is_named_or_the_list_is_refused(site, token, cli, word):
    with stopped(site, members(site, "rsB")):
        answer = site.call("GET", f"/products?search={word}&sort=-price", token=token)
        assert first_words(answer.json()["items"]) == "Bar Mar Cal"
        assert (answer.json()["partial"], answer.json()["unavailable"]) == (True, ["rsB"])
        refused = site.call("GET", f"/products?search={word}&require_all=true", token=token)
        assert is_problem(refused, 503, "shard_unavailable")["shard"] == "rsB"
        whole = site.call("GET", f"/products?search={word}&require_all=true&shard=rsA", token=token)
        assert whole.status_code == 200

        part = cli("product", "list", "--search", word, "--sort", "-stock", "-o", "json")
        assert (part.status, first_words(part.json["items"])) == (6, "Cal Mar Bar")
        assert (part.json["partial"], part.json["unavailable"]) == (True, ["rsB"])
        assert part.err.startswith("Error: rsB unavailable: its products are missing\n")
        none = cli("product", "list", "--search", word, "--require-all")
        assert (none.status, none.out) == (6, "")
        assert "rsB" in none.err


def test_a_shard_without_a_majority_is_shown_and_said_to_be_stale(site, token, cli):
    word = f"zumo {uuid4().hex}"
    made = site.call("POST", "/products", {"name": word, "price": 1}, token=token).json()
    *others, survivor = members(site, "rsB")
    wait_until_known(site.cluster, survivor, made["id"])
    with stopped(site, others):
        # The survivor may have been the primary: until it steps down, what it tells is not stale.
        address = f"/products/{made['id']}"
        wait_until(lambda: "Stale-Shards" in site.call("GET", address, token=token).headers, "rsB to be stale", 60)
        one = site.call("GET", address, token=token)
        assert (one.status_code, one.json(), one.headers["Stale-Shards"]) == (200, made, "rsB")
        answer = site.call("GET", f"/products?search={word}", token=token)
        assert (answer.json()["items"], answer.headers["Stale-Shards"]) == ([made], "rsB")
        assert [answer.json()[name] for name in ("partial", "unavailable", "stale")] == [False, [], ["rsB"]]
        refused = site.call("GET", f"/products?search={word}&require_all=true", token=token)
        assert is_problem(refused, 503, "shard_unavailable")["shard"] == "rsB"
        elsewhere = site.call("GET", "/products?shard=rsA&limit=1", token=token)
        assert (elsewhere.json()["stale"], "Stale-Shards" in elsewhere.headers) == ([], False)

        listed = cli("product", "list", "--search", word, "-o", "json")
        assert (listed.status, listed.json["items"], listed.json["stale"]) == (6, [made], ["rsB"])
        assert listed.err.startswith("Error: rsB without a majority: it may be out of date\n")
        shown = cli("product", "show", made["id"], "-o", "json")
        assert (shown.status, shown.json["name"]) == (0, word)
        assert shown.err == "rsB without a majority: this may be out of date.\n"

        edited = site.call("PATCH", f"/products/{made['id']}", {"stock": 1}, token=token, **{"If-Match": '"1"'})
        assert edited.status_code == 503
        assert requests.get(site.url + "/readyz", timeout=TIMEOUT_SECONDS).status_code == 503
    again = site.call("PATCH", f"/products/{made['id']}", {"stock": 1}, token=token, **{"If-Match": '"1"'})
    assert again.json()["version"] == 2
