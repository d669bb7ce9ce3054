"""``prodctl product import`` against the whole system: the real catalogue, broken files, dying primaries."""

import json
import signal
from collections import Counter
from pathlib import Path
from uuid import uuid4

import pytest

from prodcore.catalog.import_columns import count_known, map_columns
from prodcore.catalog.import_rows import Row, read_rows, without_repeats
from prodcore.catalog.import_seen import Seen
from prodcore.catalog.import_text import CsvText
from prodcore.routing import DEFAULT_MAP, name_key
from tests.system.cli import Cli
from tests.system.test_pages_faults import stopped

MERCADONA = Path(__file__).parents[2] / ".." / "shared" / "data" / "mercadona" / "productos.csv"
HALVES = (range(1000), range(1000, 2000))


@pytest.fixture
def cli(site, tmp_path):
    environment = {"PRODCTL_URL": site.url, "PRODCTL_TOKEN": site.token()}
    return Cli(tmp_path, environment | {"PRODCTL_ENV_FILE": str(site.cluster.plan.directory / "env" / "operator.env")})


@pytest.fixture
def word():
    """A name that no other test uses."""
    return f"b{uuid4().hex[:12]}"


def counts_by_shard(cli):
    return {item["shard"]: item["products"] for item in cli("shard", "list", "-o", "json").json["items"]}


def test_the_real_catalogue_imports_and_importing_it_again_changes_nothing(cli):
    before = counts_by_shard(cli)
    first = cli("product", "import", str(MERCADONA), "--locale", "es", "-o", "json")
    assert first.status == 2, first.err  # 262 rows say of a product what an earlier row says otherwise
    report = first.json
    assert (report["rows"], report["created"], report["changed"], report["refused"]) == (4749, 4487, 0, 262)
    assert report["refused_rows"][0] == {
        "line": 71,
        "column": "nombre",
        "value": "Sal de ajo Hacendado",
        "code": "duplicate_in_file",
        "reason": "line 31 has this name and variant, with other values",
    }
    with MERCADONA.open("rb") as file, Seen() as seen:
        text = CsvText(file, count_known)
        rows = without_repeats(read_rows(text.records(), map_columns(text.header.cells, {}), "es"), seen)
        routed = Counter(DEFAULT_MAP.shard_for(name_key(r.fields["name"])) for r in rows if isinstance(r, Row))
    after = counts_by_shard(cli)
    assert {shard: after[shard] - before[shard] for shard in after} == routed

    second = cli("product", "import", str(MERCADONA), "--locale", "es")
    assert second.status == 2
    counts = dict(line.split() for line in second.out.split("\n\n")[0].splitlines())
    assert counts == {"created": "0", "changed": "0", "unchanged": "4487", "refused": "262"}
    assert "and 242 more: --report FILE writes them all" in second.err
    assert counts_by_shard(cli) == after


def test_good_rows_are_stored_and_bad_ones_come_back_with_their_reasons(cli, word, tmp_path):
    rows = [
        "Nombre;Presentación;Precio;Existencias;Notas",
        f"{word};1 kg;1,20 €;5;x",
        f"{word};2 kg;gratis;5;",
        f"{word};3 kg;-1;5;",
        f"{word};4 kg;1;2,5;",
        f'{word};"5 kg;1;1;',
        f"{word};6 kg;1;1;;;",
        ";7 kg;1;1;",
        f"{word};=8 kg;1;1;",
        f"{word};=8 kg;2;1;",
        f"{'x' * 201};9 kg;1;1;",
    ]
    report = tmp_path / "refused.csv"
    done = cli(
        "product", "import", "-", "--locale", "es", "--report", str(report),
        stdin="\r\n".join(rows).encode("cp1252"),
    )  # fmt: skip
    assert done.status == 2
    assert done.out.splitlines()[:4] == ["created    3", "changed    0", "unchanged  0", "refused    7"]
    assert "Not imported, as no field is called so: Notas" in done.err
    lines = report.read_text().splitlines()
    assert lines[0] == "line,column,value,code,reason"
    assert [line.split(",")[0] for line in lines[1:]] == ["3", "4", "5", "6", "8", "10", "11"]
    assert lines[1] == '3,Precio,gratis,not_a_price,"is not a price such as 1.234,50"'
    assert lines[2].startswith("4,Precio,'-1,greater_than_equal,")
    again = cli("product", "import", "-", "--locale", "es", stdin="\r\n".join(rows).encode())
    assert again.out.splitlines()[:4] == ["created    0", "changed    0", "unchanged  3", "refused    7"]
    changed = cli("product", "import", "-", stdin=f"name,variant,price\n{word},1 kg,9.99\n".encode())
    assert changed.out.splitlines()[:3] == ["created    0", "changed    1", "unchanged  0"]
    shown = cli("product", "show", word, "--variant", "1 kg", "-o", "json").json
    assert (shown["price"], shown["stock"]) == ("9.99", 5)  # no column, no change


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "the file is empty"),
        (b"\x00\x01\x02", "no column gives the name"),
        (b"nombre;coste\nArroz;1\n", "no column gives the price; the columns are nombre, coste"),
        (b"nombre;precio;pvp\nArroz;1;1\n", "the columns 'precio' and 'pvp' both give the price"),
        (b'"nombre;precio\nArroz;1\n', "the header cannot be read"),
    ],
)
def test_a_file_without_a_usable_header_is_refused_whole(cli, data, says):
    refused = cli("product", "import", "-", stdin=data)
    assert (refused.status, refused.out) == (2, "")
    assert refused.err.startswith(f"Error: {says}")


def test_a_header_alone_is_an_import_of_nothing(cli):
    done = cli("product", "import", "-", "-o", "json", stdin=b"nombre;precio\n")
    assert done.status == 0
    assert done.json["rows"] == 0


def test_options_that_make_no_sense_are_refused(cli, tmp_path):
    for arguments in (
        [str(tmp_path / "none.csv")],
        [str(tmp_path)],
        ["-", "--delimiter", "ab"],
        ["-", "--encoding", "klingon"],
        ["-", "--map", "precio"],
        ["-", "--batch", "0"],
        ["-", "--batch", "501"],
        ["-", "--patience", "-1"],
    ):
        refused = cli("product", "import", *arguments, stdin=b"nombre;precio\n")
        assert (refused.status, refused.out) == (2, "")
        assert "Error: " in refused.err


def test_who_may_not_import_stores_nothing(cli, site, word):
    refused = cli(
        "product", "import", "-", stdin=f"nombre;precio\n{word};1\n".encode(), PRODCTL_TOKEN=site.token("viewer")
    )
    assert (refused.status, refused.out) == (4, "")
    assert cli("product", "show", word).status == 3


def test_a_primary_is_killed_while_an_import_runs_and_every_row_is_in_once(cli, site, word):
    header = b"nombre;precio\n"
    halves = [b"".join(b"%s %d;%d,50\n" % (word.encode(), i, i % 90) for i in part) for part in HALVES]
    before = counts_by_shard(cli)
    sets = cli("cluster", "status", "-o", "json").json["sets"]
    primary = next(entry["primary"] for entry in sets if entry["name"] == "rsA")
    with cli.started("product", "import", "-", "--locale", "es", "--batch", "50", "-o", "json") as running:
        running.stdin.write(header + halves[0])
        running.stdin.flush()
        wait_until_some_are_stored(cli, word)
        with stopped(site, [primary]):
            out, err = running.communicate(halves[1], timeout=100)
            assert running.returncode == 0, err.decode()
    report = json.loads(out)
    assert (report["rows"], report["created"]) == (2000, 2000)
    again = cli("product", "import", "-", "--locale", "es", "-o", "json", stdin=header + b"".join(halves)).json
    assert (again["created"], again["changed"], again["unchanged"]) == (0, 0, 2000)
    assert counts_by_shard(cli) == before | {"rsA": before["rsA"] + 2000}


def wait_until_some_are_stored(cli, word):
    for _ in range(200):
        if cli("product", "list", "--search", word, "--limit", "1", "-o", "json").json["items"]:
            return
    pytest.fail("the import stores nothing")


def test_a_whole_shard_is_out(cli, site, word):
    members = [member.address for member in site.cluster.plan.members_of("rsB")]
    with stopped(site, members):
        found = cli("product", "list", "--limit", "1", "-o", "json")
        assert found.status == 6
        assert found.err.startswith("Error: rsB unavailable: its products are missing\n")
        assert (found.json["partial"], found.json["unavailable"]) == (True, ["rsB"])
        added = cli("product", "add", f"z{word}", "--price", "1")
        assert (added.status, added.out) == (6, "")
        assert "rsB" in added.err
        assert cli("product", "show", f"z{word}").status == 6  # not 3: it may be there
        assert cli("product", "add", word, "--price", "1").status == 0
        listed = cli("shard", "list", "-o", "json")
        assert (listed.status, listed.json["items"][1]["products"]) == (6, None)
        half = cli(
            "product", "import", "-", "--patience", "1", "-o", "json",
            stdin=f"name,price\n{word} 2,1\nz{word},1\n".encode(),
        )  # fmt: skip
        assert half.status == 6
        assert (half.json["created"], half.json["unavailable"]) == (1, 1)
        assert "import the same file again" in half.err
    assert cli("product", "show", f"z{word}").status == 3


def test_ctrl_c_ends_an_import_and_tells_what_is_in(cli, word):
    with cli.started("product", "import", "-", "--batch", "20", "-o", "json") as running:
        running.stdin.write(b"nombre;precio\n" + b"".join(b"%s %d;1\n" % (word.encode(), i) for i in range(500)))
        running.stdin.flush()  # and no end of the file: the import waits for more rows
        wait_until_some_are_stored(cli, word)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert err.decode().endswith("Interrupted.\n")
    assert json.loads(out)["created"] >= 20
