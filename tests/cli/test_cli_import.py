"""``prodctl product import`` against the whole system: the real catalogue, broken files, dying primaries."""

import csv
import json
import signal
from collections import Counter
from uuid import uuid4

import openpyxl
import pytest

from prodcore.routing import DEFAULT_MAP, name_key
from prodcore.tabular.columns import count_known, map_columns
from prodcore.tabular.csv import CsvText
from prodcore.tabular.rows import Row, RowIndex, read_rows, without_repeats
from tests.support.catalogue import CATALOGUE, CONTRADICTED, PRODUCTS, ROWS
from tests.support.cli import Cli
from tests.support.faults import stopped
from tests.support.waiting import wait_until

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


def test_a_whole_catalogue_imports_and_importing_it_again_changes_nothing(cli):
    before = counts_by_shard(cli)
    first = cli("product", "import", str(CATALOGUE), "--locale", "es", "-o", "json")
    assert first.status == 2, first.err  # some rows contradict an earlier one
    report = first.json
    assert (report["rows"], report["created"], report["changed"], report["refused"]) == (
        ROWS,
        PRODUCTS,
        0,
        CONTRADICTED,
    )
    assert report["refused_rows"][0] == {
        "line": 271,
        "column": "nombre",
        "value": "Arroz redondo integral Doña Elvira",
        "code": "duplicate_in_file",
        "reason": "line 31 has this name and variant, with another price",
    }
    with CATALOGUE.open("rb") as file, RowIndex() as seen:
        text = CsvText(file, count_known)
        rows = without_repeats(read_rows(text.records(), map_columns(text.header.cells, {}), "es"), seen)
        routed = Counter(DEFAULT_MAP.shard_for(name_key(r.fields["name"])) for r in rows if isinstance(r, Row))
    after = counts_by_shard(cli)
    assert {shard: after[shard] - before[shard] for shard in after} == routed

    second = cli("product", "import", str(CATALOGUE), "--locale", "es")
    assert second.status == 2
    counts = dict(line.split() for line in second.out.split("\n\n")[0].splitlines())
    # A row that says what an earlier one says is unchanged as that is; so the four numbers add up to the file's rows.
    unchanged = str(ROWS - CONTRADICTED)
    assert counts == {"created": "0", "changed": "0", "unchanged": unchanged, "refused": str(CONTRADICTED)}
    assert "… and more: --refused FILE writes them all" in second.err
    assert counts_by_shard(cli) == after


def test_good_rows_are_stored_and_bad_ones_come_back_to_be_corrected_and_imported(cli, word, tmp_path):
    rows = [
        "Nombre;Presentación;Precio;Existencias;Notas",
        f"{word};1 kg;1,20 €;5;x",
        f"{word};2 kg;gratis;5;mañana",
        f"{word};3 kg;-1;5;",
        f"{word};4 kg;1;2,5;",
        f'{word};"5 kg;1;1;',
        f"{word};6 kg;1;1;;;",
        ";7 kg;1;1;",
        f"{word};=8 kg;1;1;",
        f"{word};=8 kg;2;1;",
        f"{'x' * 201};9 kg;1;1;",
        f"{word};sin precio;;1;",
    ]
    refused = tmp_path / "refused.csv"
    options = ("--locale", "es", "--refused", str(refused))
    done = cli("product", "import", "-", *options, stdin="\r\n".join(rows).encode("cp1252"))
    assert done.status == 2
    assert done.out.splitlines()[:4] == ["created    3", "changed    0", "unchanged  0", "refused    8"]
    assert "Not imported, as no field has that name: Notas" in done.err
    assert "Read as Windows-1252" in done.err
    with refused.open(encoding="utf-8-sig", newline="") as file:
        told = list(csv.DictReader(file, delimiter=";"))
    assert [row["refused line"] for row in told] == ["3", "4", "5", "6", "8", "10", "11", "12"]
    assert told[0] == {
        "refused line": "3",
        "refused column": "Precio",
        "refused value": "gratis",
        "refused code": "not_a_price",
        "refused message": "is not a price such as 1.234,50",
        "Nombre": word,
        "Presentación": "2 kg",
        "Precio": "gratis",
        "Existencias": "5",
        "Notas": "mañana",
    }
    assert (told[1]["refused code"], told[1]["Precio"]) == ("greater_than_equal", "'-1")
    assert (told[7]["refused column"], told[7]["refused code"]) == ("Precio", "missing")
    corrected = refused.read_text("utf-8-sig").replace(";gratis;5;mañana", ";2,50;5;").replace(";2,5;", ";2;")
    again = cli("product", "import", "-", "--locale", "es", stdin=corrected.encode("utf-8-sig"))
    assert again.out.splitlines()[:4] == ["created    2", "changed    1", "unchanged  0", "refused    5"]
    assert "Not imported, as no field has that name: Notas (" in again.err
    changed = cli("product", "import", "-", stdin=f"name,variant,price\n{word},1 kg,9.99\n".encode())
    assert changed.out.splitlines()[:3] == ["created    0", "changed    1", "unchanged  0"]
    shown = cli("product", "show", word, "--variant", "1 kg", "-o", "json").json
    assert (shown["price"], shown["stock"]) == ("9.99", 5)  # no column, no change


def test_a_dry_run_tells_what_would_happen_and_stores_nothing(cli, word):
    cli("product", "import", "-", stdin=f"name,price,stock\n{word} a,1.20,5\n{word} b,1,1\n".encode())
    data = f"name,price,stock\n{word} a,1.25,5\n{word} b,1,1\n{word} c,3,3\n{word} d,x,3\n".encode()
    tried = cli("product", "import", "-", "--dry-run", stdin=data)
    assert tried.status == 2
    assert tried.out.splitlines()[:4] == ["created    1", "changed    1", "unchanged  1", "refused    1"]
    assert ["2", "price", "1.20", "1.25"] in [line.split() for line in tried.out.splitlines()]
    assert "Nothing was stored" in tried.err
    report = cli("product", "import", "-", "--dry-run", "-o", "json", stdin=data).json
    assert (report["dry_run"], report["created"], report["changed"]) == (True, 1, 1)
    assert report["differences"] == [{"line": 2, "field": "price", "old": "1.20", "new": "1.25"}]
    assert "import_id" not in report
    assert cli("product", "show", f"{word} a", "-o", "json").json["price"] == "1.20"
    assert cli("product", "show", f"{word} c").status == 3


def test_a_sheet_by_sku_changes_stock_and_renames_and_leaves_all_else(cli, word, tmp_path):
    rows = f"name,price,sku,category\n{word} a,1.20,{word}-A,Pan\n{word} b,1,{word}-B,Sal\n"
    assert cli("product", "import", "-", stdin=rows.encode()).status == 0
    book = openpyxl.Workbook()
    for row in (["SKU", "Existencias", "Nombre"], [f"{word}-A", 7, None], [f"{word}-B", 1200, f"{word} c"], ["Z", 1]):
        book.active.append(row)
    book.save(tmp_path / "stock.xlsx")
    refused = tmp_path / "refused.csv"
    done = cli("product", "import", str(tmp_path / "stock.xlsx"), "--by", "sku", "--refused", str(refused))
    assert done.out.splitlines()[:4] == ["created    0", "changed    2", "unchanged  0", "refused    1"], done.err
    shown = cli("product", "show", f"{word} a", "-o", "json").json
    assert (shown["stock"], shown["price"], shown["category"]) == (7, "1.20", "Pan")
    renamed = cli("product", "show", f"{word} c", "-o", "json").json
    assert (renamed["stock"], renamed["sku"], renamed["category"]) == (1200, f"{word}-B", "Sal")
    assert cli("product", "show", f"{word} b").status == 3
    assert refused.read_text("utf-8-sig").splitlines()[1].endswith(",Z,1,")


def test_objects_from_a_pipe_are_stored_and_refused_ones_come_back_as_csv(cli, word, tmp_path):
    lines = [
        {"name": word, "price": "1.20", "tags": ["a", "b, c"], "active": False},
        {"name": f"{word} 2", "price": 2, "stock": -1, "tags": ["a", "b"]},
        {"name": f"{word} 3"},
    ]
    refused = tmp_path / "refused.csv"
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    done = cli("product", "import", "-", "--refused", str(refused), "-o", "json", stdin=data)
    assert (done.json["created"], done.json["refused"]) == (1, 2)
    assert [row["column"] for row in done.json["refused_rows"]] == ["stock", "price"]
    shown = cli("product", "show", word, "-o", "json").json
    assert (shown["tags"], shown["active"]) == (["a", "b, c"], False)
    corrected = refused.read_text("utf-8-sig").replace("'-1", "1")
    again = cli("product", "import", "-", "-o", "json", stdin=corrected.encode())
    assert (again.json["created"], again.json["refused"]) == (1, 1)
    assert cli("product", "show", f"{word} 2", "-o", "json").json["tags"] == ["a", "b"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "the file is empty"),
        (b"\x00\x01\x02", "this is neither text nor a workbook"),
        (b"nombre;coste\nArroz;1\n", "no column contains anything but the name; the columns are nombre, coste"),
        (b'[{"name": "Arroz"}]', "this is one JSON list"),
        (b"PK\x03\x04 nothing", "the workbook is damaged: it is a ZIP archive without an end"),
        (b"nombre;precio;pvp\nArroz;1;1\n", "the columns 'precio' (#2) and 'pvp' (#3) both contain the price"),
        (b'"nombre;precio\nArroz;1\n', "the header cannot be read"),
    ],
)
def test_a_file_without_a_usable_header_is_refused_whole(cli, data, says):
    refused = cli.inside("product", "import", "-", stdin=data)
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
        ["-", "--batch", "1001"],
        ["-", "--patience", "-1"],
    ):
        refused = cli.inside("product", "import", *arguments, stdin=b"nombre;precio\n")
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


def test_an_import_that_is_killed_goes_on_where_it_was_under_the_same_id(cli, word, tmp_path):
    path = tmp_path / "rows.csv"
    bad = [f"{word} bad;x", f"{'x' * 201};1"]
    rows = [f"{word} {i};{i % 90},50" for i in range(3000)]
    path.write_text("\n".join(["nombre;precio", *bad, *rows]))
    arguments = ("product", "import", str(path), "--locale", "es", "--batch", "20", "-o", "json")
    with cli.started(*arguments) as running:
        wait_until(lambda: journal_lines(tmp_path) > 3, "some batches in the journal", 30)
        running.send_signal(signal.SIGKILL)
        running.wait()
    first = json.loads(next((tmp_path / "imports").iterdir()).read_text().splitlines()[0])["import"]
    again = cli(*arguments)
    assert f"Continuing import {first} after line " in again.err
    report = again.json
    assert (report["import_id"], report["rows"], report["created"]) == (first, 3002, 3000)
    assert [row["line"] for row in report["refused_rows"]] == [2, 3]
    assert not list((tmp_path / "imports").iterdir())
    third = cli(*arguments).json
    assert third["import_id"] != first
    assert (third["created"], third["unchanged"]) == (0, 3000)


def journal_lines(folder):
    return sum(len(path.read_bytes().splitlines()) for path in (folder / "imports").glob("*.ndjson"))


def wait_until_some_are_stored(cli, word):
    for _ in range(200):
        if cli("product", "list", "--search", word, "--limit", "1", "-o", "json").json["items"]:
            return
    pytest.fail("the import stores nothing")


def live_products(cli):
    """All products by id: what people set, and the shard."""
    left_out = ("version", "updated_at", "updated_by")
    items = cli("product", "list", "--all", "-o", "json").json["items"]
    return {item["id"]: {k: v for k, v in item.items() if k not in left_out} for item in items}


def test_a_catalogue_is_imported_over_others_exported_imported_again_and_undone(cli, word, tmp_path):
    catalogue = tmp_path / "productos.csv"
    catalogue.write_bytes(b"".join(CATALOGUE.read_bytes().splitlines(keepends=True)[:801]))
    with catalogue.open(encoding="utf-8-sig") as file:
        some = [row for i, row in enumerate(csv.DictReader(file, delimiter=";")) if i % 40 == 0]
    overlapping = [
        {"name": row["nombre"].upper(), "variant": row["presentacion"], "price": "0.01", "stock": 3, "tags": [word]}
        for row in some
    ]
    others = [{"name": f"{letter}{word}", "price": "1", "sku": f"{letter}-{word}"} for letter in "az"]
    lines = "".join(json.dumps(item) + "\n" for item in overlapping + others)
    cli("product", "import", "-", stdin=lines.encode())
    before = live_products(cli)

    done = cli("product", "import", str(catalogue), "--locale", "es", "-o", "json").json
    assert done["changed"] >= len({(o["name"], o["variant"]) for o in overlapping}) - 20
    after = live_products(cli)
    for name in ("all.csv", "all.ndjson", "all.xlsx"):
        assert cli("product", "export", str(tmp_path / name)).status == 0
        again = cli("product", "import", str(tmp_path / name), "-o", "json").json
        assert (again["created"], again["changed"], again["refused"]) == (0, 0, 0), name
        assert again["unchanged"] == len(after)
    assert live_products(cli) == after

    undone = cli("product", "import", "undo", done["import_id"], "--yes", "-o", "json")
    assert undone.status == 0, undone.err
    assert (undone.json["deleted"], undone.json["restored"]) == (done["created"], done["changed"])
    assert live_products(cli) == before
    once_more = cli("product", "import", "undo", done["import_id"], "--yes", "-o", "json").json
    assert (once_more["deleted"], once_more["restored"]) == (0, 0)
    assert once_more["already"] == done["created"] + done["changed"]
    listed = cli("product", "import", "list", "-o", "json").json["items"]
    entry = next(item for item in listed if item["id"] == done["import_id"])
    assert (entry["source"], entry["by"]) == ("productos.csv", "Ana")
    assert entry["counts"]["created"] == done["created"]
    assert entry["undone_at"]


def test_what_was_changed_after_an_import_is_listed_and_left(cli, word):
    rows = f"name,price\n{word} a,1\n{word} b,1\n{word} c,1\n"
    done = cli("product", "import", "-", "-o", "json", stdin=rows.encode()).json
    cli("product", "edit", f"{word} b", "--stock", "7")
    assert cli("product", "import", "undo", done["import_id"]).status == 2  # nobody is there to be asked
    undone = cli("product", "import", "undo", done["import_id"], "--yes")
    assert undone.status == 5
    assert undone.out.splitlines()[:4] == ["deleted   2", "restored  0", "already   0", "refused   1"]
    assert f"{word} b" in undone.out
    assert "was edited since, by Ana" in undone.out
    assert cli("product", "show", f"{word} a").status == 3
    assert cli("product", "show", f"{word} b", "-o", "json").json["stock"] == 7


def test_an_undo_reaches_what_it_can_while_a_shard_is_out_and_the_rest_later(cli, site, word):
    rows = f"name,price\na{word},1\nz{word},1\n"
    done = cli("product", "import", "-", "-o", "json", stdin=rows.encode()).json
    members = [member.address for member in site.cluster.plan.members_of("rsB")]
    arguments = ("product", "import", "undo", done["import_id"], "--yes", "--patience", "1", "-o", "json")
    with stopped(site, members):
        half = cli(*arguments)
        assert half.status == 6
        assert (half.json["deleted"], half.json["partial"], half.json["unavailable"]) == (1, True, ["rsB"])
        assert "rsB did not answer" in half.err
    rest = cli(*arguments)
    assert rest.status == 0, rest.err
    assert (rest.json["deleted"], rest.json["already"]) == (1, 1)


def test_an_import_that_there_was_not_cannot_be_undone(cli, site):
    unknown = cli("product", "import", "undo", str(uuid4()), "--yes")
    assert (unknown.status, unknown.out) == (3, "")
    assert cli("product", "import", "undo", "x", "--yes").status == 3
    assert cli("product", "import", "undo", "--yes").status == 2  # neither an id nor --last
    forbidden = cli("product", "import", "undo", str(uuid4()), "--yes", PRODCTL_TOKEN=site.token("viewer"))
    assert forbidden.status == 4


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
    with cli.started("product", "import", "-", "--locale", "es", "--batch", "20", "-o", "json") as running:
        running.stdin.write(b"nombre;precio\n" + b"".join(b"%s %d;1\n" % (word.encode(), i) for i in range(500)))
        running.stdin.flush()  # and no end of the file: the import waits for more rows
        wait_until_some_are_stored(cli, word)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    assert running.returncode == 130
    report = json.loads(out)
    assert report["created"] >= 20
    assert "unknown" not in report  # what was sent was waited for
    said = err.decode()
    assert "are stored, 0 were sent and not answered.\n" in said
    assert said.endswith(f"To undo it: prodctl product import undo {report['import_id']}\n")


def test_a_supplier_s_file_is_read_by_its_mapping(cli, word, tmp_path):
    name = f"Mayorista {word}"
    file = tmp_path / "supplier.csv"
    file.write_text(f"Cosa|Cuesta|Raro\n{word}|1.234|x\n", "utf-8")
    options = ("--locale", "es", "--delimiter", "|", "--map", "Cosa=name", "--map", "Cuesta=price", "--map", "Ref=sku")
    saved = cli("product", "import", "mapping", "save", name, *options, "-o", "json")
    assert (saved.status, saved.json["columns"]) == (0, {"Cosa": "name", "Cuesta": "price", "Ref": "sku"}), saved.err
    done = cli("product", "import", str(file), "--mapping", name.upper(), "-o", "json")
    assert (done.status, done.json["created"]) == (0, 1), done.err
    assert "The file has no column Ref" in done.err
    assert cli("product", "show", word, "-o", "json").json["price"] == "1234"
    other = cli("product", "import", str(file), "--mapping", name, "--locale", "en", "--dry-run", "-o", "json")
    assert [(d["old"], d["new"]) for d in other.json["differences"]] == [("1234", "1.234")]
    assert cli("product", "import", "mapping", "rename", name, f"{word} sur").status == 0
    listed = cli("product", "import", "mapping", "list", "-o", "json").json["items"]
    assert [item["name"] for item in listed if word in item["name"]] == [f"{word} sur"]
    assert "Cuesta" in cli("product", "import", "mapping", "show", f"{word} sur").out
    assert cli("product", "import", "mapping", "rm", f"{word} sur", "--yes").status == 0
    gone = cli("product", "import", str(file), "--mapping", f"{word} sur")
    assert gone.status == 3
    assert "prodctl product import mapping list" in gone.err
