"""A catalogue as a shop's till exports it, the same one every time: ``tests/data/catalogue.csv``.

    python -m tests.support.catalogue          write it again

It has what real ones have: a byte order mark, semicolons, prices with comma and euro sign, accents, names with quotes,
semicolons and capitals, long ones, blank cells, rows that come twice, and rows that contradict an earlier one.
"""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

CATALOGUE = Path(__file__).parents[1] / "data" / "catalogue.csv"
PRODUCTS, CONTRADICTED, REPEATED = 3_700, 200, 100
ROWS = PRODUCTS + CONTRADICTED + REPEATED

_HEADER = ["nombre", "presentacion", "precio", "categoria", "subcategoria"]
_BRANDS = ["", "", "La Ermita", "Río Claro", "Doña Elvira", 'La "Buena" Mesa', "Hnos. Íñiguez", "Zaragüeta", "Ñandú"]
_QUALITIES = [
    "",
    "clásico",
    "integral",
    "ecológico",
    "bajo en sal",
    "sin azúcar",
    "0 %",
    "EXTRA",
    "del país; selección",
]
_SHELVES = {
    ("Aceite, especias y salsas", "Aceite, vinagre y sal"): ["Aceite de oliva", "Vinagre de Jerez", "Sal gruesa"],
    ("Aceite, especias y salsas", "Especias"): ["Pimentón dulce", "Orégano", "Azafrán", "Comino"],
    ("Arroz, legumbres y pasta", "Arroz"): ["Arroz redondo", "Arroz bomba", "Zurrón de arroz"],
    ("Arroz, legumbres y pasta", "Legumbres"): ["Alubia blanca", "Garbanzo pedrosillano", "Lenteja pardina"],
    ("Arroz, legumbres y pasta", "Pasta y fideos"): ["Macarrón", "Fideo n.º 2", "Ñoquis de patata"],
    ("Bodega", "Vino tinto"): ["Tinto joven", "Crianza", "Reserva"],
    ("Bodega", ""): ["Vermú", "Sidra natural"],
    ("Cuidado del cabello", "Champú"): ["Champú anticaspa", "Champú de huevo"],
    ("Fruta y verdura", "Fruta"): ["Plátano de Canarias", "Limón", "Manzana reineta", "Uva"],
    ("Fruta y verdura", "Verdura"): ["Tomate rama", "Zanahoria", "Pimiento de Padrón", "Cebolla"],
    ("Limpieza y hogar", "Menaje y conservación de alimentos en frigorífico"): ["Papel de aluminio", "Tártera"],
    ("Mascotas", "Gato"): ["Comida húmeda para gato", "Arena aglomerante"],
    ("Panadería y pastelería", "Pan de molde y otras especialidades"): ["Pan de molde", "Ensaimada", "Tostada"],
    ("Queso y lácteos", "Queso curado"): ["Queso de oveja", "Queso de tetilla", "Cuña de mezcla"],
    ("", ""): ["Surtido de temporada", "Cesta variada"],
}
_PACKS = ["", "Unidad", "Bolsa 1 kg", "Paquete 500 g", "Pack 6 x 33 cl", "Garrafa 5 L", "Caja; 12 unidades", "Bote 1/2"]


def rows() -> list[list[str]]:
    """Header and rows, as cells."""
    chance = random.Random(20)  # noqa: S311  the same rows every time
    made: dict[tuple[str, str], list[str]] = {}
    shelves = list(_SHELVES.items())
    while len(made) < PRODUCTS:
        (category, tag), nouns = chance.choice(shelves)
        words = chance.choice(nouns), chance.choice(_QUALITIES), chance.choice(_BRANDS)
        name = " ".join(word for word in words if word)
        if chance.random() < 0.01:
            name = f"{name} {'de la cosecha de los viejos huertos de la ribera ' * 3}".strip()[:190]
        pack = chance.choice(_PACKS)
        if pack.endswith(("kg", "L")):
            pack += f" | {_price(chance)}/{pack.split()[-1]}"
        identity = (name.casefold(), pack.split(" | ")[0].casefold())
        made.setdefault(identity, [name, pack, _price(chance), category, tag])
    products = list(made.values())
    again = chance.sample(products, CONTRADICTED + REPEATED)
    later = [[n, p, f"{price[:-3]}9 €", c, t] for n, p, price, c, t in again[:CONTRADICTED]] + again[CONTRADICTED:]
    result = list(products)
    for row in later:
        first = next(i for i, known in enumerate(result) if known[:2] == row[:2])
        result.insert(chance.randrange(first + 1, len(result) + 1), row)
    return [_HEADER, *result]


def _price(chance: random.Random) -> str:
    cents = chance.randrange(10, 4_000) if chance.random() < 0.98 else chance.randrange(100_000, 200_000)
    return f"{cents // 100:,}".replace(",", ".") + f",{cents % 100 // 10}{5 if cents % 2 else 0} €"


def written() -> bytes:
    """The file."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=";", lineterminator="\r\n").writerows(rows())
    return b"\xef\xbb\xbf" + text.getvalue().encode()


if __name__ == "__main__":
    CATALOGUE.write_bytes(written())
