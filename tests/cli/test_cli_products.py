"""``prodctl product`` against the whole system: what people see, what programs read, how it ends."""

from uuid import uuid4

import pytest

from tests.support.cli import Cli


@pytest.fixture
def word():
    """A name that no other test uses."""
    return f"b{uuid4().hex[:12]}"


def test_a_product_from_add_to_rm(cli, word):
    added = cli("product", "add", word, "--price", "1.20", "--stock", "40", "--tag", "uno", "--tag", "dos, tres")
    assert (added.status, added.err) == (0, f"Added {word} to rsA.\n")
    assert "price        1.20\n" in added.out

    shown = cli("product", "show", word.upper(), "-o", "json")
    assert (shown.status, shown.err) == (0, "")
    assert shown.json["kind"] == "product"
    assert shown.json["schema_version"] == 1
    assert shown.json["tags"] == ["uno", "dos, tres"]
    assert shown.json["price"] == "1.20"
    assert cli("product", "show", shown.json["id"], "-o", "json").json == shown.json

    edited = cli("product", "edit", word, "--price", "1.25", "--no-tags", "--inactive", "-o", "yaml")
    assert (edited.status, edited.err) == (0, "")
    assert "price: '1.25'\n" in edited.out
    assert "tags: []\n" in edited.out
    assert "active: false\n" in edited.out
    assert "version: 2\n" in edited.out

    stale = cli("product", "edit", word, "--stock", "1", "--version", "1")
    assert (stale.status, stale.out) == (5, "")
    assert stale.err.startswith("Error: the product is at version 2 now, you saw version 1\nHint: ")

    removed = cli("product", "rm", word, "--yes")
    restore = f"prodctl product restore {shown.json['id']}"
    assert (removed.status, removed.out) == (0, "")
    assert removed.err == f"Deleted {word} from rsA. To restore it: {restore}\n"
    gone = cli("product", "show", word)
    assert (gone.status, gone.out) == (3, "")
    assert gone.err == f"Error: there is no product '{word}'\nHint:  prodctl product list --search WORDS\n"


def test_adding_it_twice_conflicts_and_repeating_it_with_its_id_does_not(cli, word):
    product_id = str(uuid4())
    once = cli("product", "add", word, "--price", "1", "--id", product_id, "-o", "json")
    again = cli("product", "add", word, "--price", "1", "--id", product_id, "-o", "json")
    assert once.json["id"] == again.json["id"] == product_id
    assert (again.status, again.err) == (0, "")
    other = cli("product", "add", f" {word.upper()} ", "--price", "2")
    assert (other.status, other.out) == (5, "")
    assert f"Error: a product '{word.upper()}' exists already\n" in other.err


def test_a_name_alone_is_enough_while_one_product_has_it(cli, word):
    cli("product", "add", word, "--variant", "1 L", "--price", "1")
    assert cli("product", "show", word, "-o", "json").json["variant"] == "1 L"
    cli("product", "add", word, "--variant", "5 L", "--price", "4")
    asked = cli("product", "rm", word, "--yes")
    assert (asked.status, asked.out) == (2, "")
    assert asked.err == (
        f"Error: 2 products are called '{word}'\nHint:  choose with --variant, or give the id: '1 L'; '5 L'\n"
    )
    assert cli("product", "show", word, "--variant", "5 l", "-o", "json").json["price"] == "4"
    assert cli("product", "show", word, "--variant", "9 L").status == 3


def test_rm_asks_and_does_nothing_without_a_yes(cli, word):
    cli("product", "add", word, "--price", "1")
    for arguments in (["--no-input"], []):  # the second: stdin is no terminal
        refused = cli("product", "rm", word, *arguments)
        assert (refused.status, refused.out) == (2, "")
        assert refused.err.endswith("Hint:  pass --yes to go ahead without asking\n")
    question = f"Delete {word}, 1 EUR, stock 0? [y/N]: "
    declined = cli.on_terminal("product", "rm", word, answers={question: "n\n"})
    assert (declined.status, declined.out) == (130, f"{question}n\nNothing was done.\n")
    interrupted = cli.on_terminal("product", "rm", word, answers={question: "\x03"})
    assert (interrupted.status, interrupted.out) == (130, f"{question}^C\nInterrupted.\nNothing was done.\n")
    assert cli("product", "show", word).status == 0
    agreed = cli.on_terminal("product", "rm", word, answers={question: "y\n"})
    assert agreed.status == 0
    assert agreed.out.startswith(f"{question}y\nDeleted {word} from rsA. To restore it: prodctl product restore ")


def test_lists_in_every_format_and_page_by_page(cli, word):
    for i in range(5):
        cli("product", "add", f"{word} {i}", "--price", f"{i}.50", "--stock", str(i))
    table = cli("product", "list", "--search", word, "--limit", "2")
    lines = table.out.splitlines()
    assert lines[0].split() == ["NAME", "VARIANT", "PRICE", "CUR", "STOCK", "SHARD"]
    assert [line.split() for line in lines[1:]] == [[word, str(i), f"{i}.50", "EUR", str(i), "rsA"] for i in range(2)]
    assert table.err == "2 shown, and there are more: --page 2 continues, --all shows all.\n"
    second = cli("product", "list", "--search", word, "--limit", "2", "--page", "2", "-o", "csv").out.splitlines()
    assert [line.split(",")[0] for line in second[1:]] == [f"{word} 2", f"{word} 3"]
    assert cli("product", "list", "--search", word, "--limit", "2", "--page", "4").out == ""
    cursor = cli("product", "list", "--search", word, "--limit", "2", "-o", "json").json["next_cursor"]
    rest = cli("product", "list", "--search", word, "--cursor", cursor, "-o", "json")
    assert [item["name"] for item in rest.json["items"]] == [f"{word} {i}" for i in (2, 3, 4)]
    assert {k: v for k, v in rest.json.items() if k != "items"} == {
        "schema_version": 1,
        "kind": "products",
        "next_cursor": None,
        "partial": False,
        "unavailable": [],
        "stale": [],
    }
    csv = cli("product", "list", "--search", word, "--all", "-o", "csv").out.splitlines()
    assert csv[0].startswith("name,variant,price,currency,stock,shard,")
    assert len(csv) == 6
    wide = cli("product", "list", "--search", word, "-o", "wide").out.splitlines()
    assert "ID" in wide[0].split()
    yaml = cli("product", "list", "--search", word, "--limit", "1", "-o", "yaml").out
    assert yaml.startswith("schema_version: 1\nkind: products\nitems:\n- id: ")
    nothing = cli("product", "list", "--search", f"{word}x")
    assert (nothing.status, nothing.out, nothing.err) == (0, "", "No product matches.\n")


@pytest.mark.parametrize("locale", ["es", "en"])
def test_a_list_in_csv_is_taken_back_as_an_export_is(cli, word, locale, tmp_path):
    cli(
        "product",
        "add",
        word,
        "--price",
        "1.234",
        "--stock",
        "1200",
        "--sku",
        f"'{word}",
        "--tag",
        "a, b",
        "--tag",
        "c",
    )
    listed = cli("product", "list", "--search", word, "-o", "csv")
    (tmp_path / "list.csv").write_text(listed.out)
    again = cli("product", "import", str(tmp_path / "list.csv"), "--locale", locale, "-o", "json").json
    assert {name: again[name] for name in ("unchanged", "changed", "refused")} == {
        "unchanged": 1,
        "changed": 0,
        "refused": 0,
    }


def test_a_table_fits_the_terminal_and_shows_no_escape(cli, word):
    cli("product", "add", f"{word} " + "muy largo " * 15, "--price", "1", "--description", "x")
    screen = cli.on_terminal("product", "list", "--search", word, answers={}, columns=60)
    assert screen.status == 0
    assert max(map(len, screen.out.splitlines())) <= 60
    assert " ".join(screen.out.split()).count("muy largo") == 15  # in several lines, whole
    odd = cli("product", "show", "\x1b[31mred\u202e")
    assert (odd.status, odd.out) == (3, "")
    assert odd.err.startswith("Error: there is no product '\\x1b[31mred\\u202e'\n")


def test_who_may_not_is_told_so(cli, site, word):
    forbidden = cli("product", "add", word, "--price", "1", PRODCTL_TOKEN=site.token("viewer"))
    assert (forbidden.status, forbidden.out) == (4, "")
    assert forbidden.err.startswith("Error: ")
    assert cli("product", "list", "--limit", "1", PRODCTL_TOKEN=site.token("viewer")).status == 0
    unknown = cli("product", "list", PRODCTL_TOKEN="abc")
    assert (unknown.status, unknown.out) == (4, "")
    nobody = Cli(cli.state_dir, {"PRODCTL_URL": site.url})("product", "list")
    assert (nobody.status, nobody.out) == (4, "")
    assert nobody.err == f"Error: you are not logged in at {site.url}\nHint:  prodctl login\n"


@pytest.mark.parametrize(
    "price", ["NaN", "Infinity", "1e999", "-1", "-0.0", "1e-9", "1,50", "22,95 €", "true", "", "1.23456"]
)
def test_odd_prices_are_refused(cli, word, price):
    refused = cli.inside("product", "add", word, "--price", price)
    assert (refused.status, refused.out) == (2, "")
    assert refused.err.startswith("Error: price: ")


@pytest.mark.parametrize("stock", ["1.5", "-1", "2147483648", "1180591620717411303424", "five"])
def test_odd_stocks_are_refused(cli, word, stock):
    refused = cli.inside("product", "add", word, "--price", "1", "--stock", stock)
    assert (refused.status, refused.out) == (2, "")
    assert "stock" in refused.err


@pytest.mark.parametrize("name", ["", " ", "\u200b", "a\nb", "a\tb", "a\x1bb", "x" * 201])
def test_odd_names_are_refused(cli, name):
    refused = cli.inside("product", "add", name, "--price", "1")
    assert (refused.status, refused.out) == (2, "")
    assert refused.err.startswith("Error: ")


@pytest.mark.parametrize(
    "command", [("product", "add", "--price", "1"), ("product", "list", "--search"), ("product", "show")]
)
def test_bytes_that_are_no_text_are_refused_for_what_they_are(cli, command):
    refused = cli.inside(*command, b"nom\xe9")
    assert (refused.status, refused.out) == (2, "")
    assert refused.err == "Error: the input contains bytes that are not UTF-8 text\n"


@pytest.mark.parametrize("words", ["[", "(", "\\", "^(a+)+$", "🙂", "=", "%"])
def test_odd_searches_are_searches(cli, words):
    found = cli.inside("product", "list", "--search", words, "--limit", "1")
    assert found.status == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--search", "x" * 10_000],
        ["--search", b"\xff"],
        ["--limit", "0"],
        ["--limit", "x"],
        ["--cursor", "zzz"],
        ["-o", "xml"],
    ],
)
def test_odd_lists_are_refused(cli, arguments):
    refused = cli.inside("product", "list", *arguments)
    assert (refused.status, refused.out) == (2, "")
    assert "Error: " in refused.err


def test_several_problems_are_told_one_a_line(cli, word):
    refused = cli("product", "add", word, "--price", "x", "--sku", "a b", "--currency", "XXQ")
    assert (refused.status, refused.out) == (2, "")
    lines = refused.err.splitlines()
    assert lines[0] == "Error: The input is not valid"
    assert sorted(line.split(":")[0].strip() for line in lines[1:]) == ["currency", "price", "sku"]


@pytest.mark.parametrize(
    ("url", "status", "says"),
    [
        ("http://127.0.0.1:9", 6, "webapp does not answer at http://127.0.0.1:9"),
        ("http://nowhere.invalid", 6, "webapp does not answer at http://nowhere.invalid"),
        ("ftp://127.0.0.1", 2, "PRODCTL_URL is not an address"),
        ("nonsense", 2, "PRODCTL_URL is not an address"),
    ],
)
def test_a_webapp_that_is_not_there(cli, url, status, says):
    for arguments in (["list"], ["add", "x", "--price", "1"]):
        failed = cli.inside("product", *arguments, PRODCTL_URL=url)
        assert (failed.status, failed.out) == (status, "")
        assert failed.err.startswith(f"Error: {says}")


def test_a_reader_that_leaves_early_is_no_error(cli, site, word):
    with cli.started("product", "list", "--all", "-o", "json") as running:
        running.stdout.readline()
        running.stdout.close()
        assert running.wait(60) == 0
        assert running.stderr.read() == b""
