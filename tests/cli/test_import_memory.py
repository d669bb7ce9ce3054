"""An import of any size takes little memory: measured in a process of its own, by what the system says of it."""

import subprocess
import sys

PROGRAM = """
import resource, sys
from pathlib import Path
from prodcore.tabular.report import ImportReport
from prodcore.tabular.rows import without_repeats
from prodcore.tabular.rows import RowIndex
from prodcore.tabular.source import Reading, open_source
from prodctl.importing.importer import Patience
from prodctl.importing.importer import journal_of
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


def write_rows(path, rows):
    """One in fifty is no product, and one in fifty says what an earlier one says."""
    with path.open("w", encoding="utf-8") as file:
        file.write("nombre;presentacion;precio;existencias;sku\n")
        for i in range(rows):
            bad, again = i % 50 == 7, i % 50 == 8
            number = i - 2 if again else i
            price = "gratis" if bad else f"{number % 90},50 €"
            file.write(f"Café número {number};Paquete {number % 9} kg;{price};{number % 500};S-{number}\n")


def megabytes_of_an_import(directory, rows):
    directory.mkdir()
    write_rows(directory / "rows.csv", rows)
    command = [sys.executable, "-c", PROGRAM, str(directory / "rows.csv"), str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    created, refused, repeated, megabytes = map(int, done.stdout.split())
    assert (created, refused, repeated) == (rows - 2 * rows // 50, rows // 50, rows // 50)
    return megabytes


def test_four_times_the_rows_take_hardly_more_memory(tmp_path):
    few, many = (megabytes_of_an_import(tmp_path / str(rows), rows) for rows in (10_000, 40_000))
    assert many - few < 8
