"""An import of any size takes little memory: measured in a process of its own, by what the system says of it."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from pathlib import Path
from prodcore.tabular.report import ImportReport
from prodcore.tabular.rows import without_repeats
from prodcore.tabular.rows import RowIndex
from prodcore.tabular.source import Reading, open_source
from prodctl.importing.importer import Patience
from prodctl.importing.journal import journal_of
from prodctl.importing.importer import Importer

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

def post(items):
    return [{"status": "created", "id": item["id"]} for item in items]

how, report, before = Reading(locale="es"), ImportReport(), peak()
with open(sys.argv[1], "rb") as file, RowIndex() as seen, journal_of(Path(sys.argv[2]), file, how, "x") as journal:
    rows = open_source(file, how).rows
    importer = Importer(post, Patience(60, print), seen, report, 1000, journal, lambda _rows: None)
    importer.run(without_repeats(rows, seen))
print(report.created, report.refused, report.unchanged, peak() - before)
"""


@pytest.mark.timeout(600)
def test_two_hundred_thousand_rows_take_less_than_fifty_megabytes(tmp_path):
    rows = 200_000
    path = tmp_path / "rows.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write("nombre;presentacion;precio;existencias;sku\n")
        for i in range(rows):
            bad, again = i % 50 == 7, i % 50 == 8
            number = i - 2 if again else i
            price = "gratis" if bad else f"{number % 90},50 €"
            file.write(f"Café número {number};Paquete {number % 9} kg;{price};{number % 500};S-{number}\n")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), str(tmp_path)], capture_output=True, text=True, check=True
    )
    created, refused, repeated, megabytes = map(int, done.stdout.split())
    assert (created, refused, repeated) == (rows - 2 * rows // 50, rows // 50, rows // 50)
    assert megabytes < 50
