"""Which column of a file gives which field, by what people call them in Spanish and English."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prodcore.errors import InvalidInput, Problem, UnreadableInput
from prodcore.routing import fold

IGNORE = "ignore"

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "name": ("name", "product", "product name", "nombre", "producto", "nombre del producto", "artículo"),
    "variant": ("variant", "presentation", "format", "size", "presentación", "variante", "formato", "tamaño"),
    "price": ("price", "unit price", "precio", "pvp", "precio unitario", "precio de venta"),
    "currency": ("currency", "moneda", "divisa"),
    "stock": ("stock", "quantity", "qty", "inventory", "existencias", "cantidad", "unidades", "inventario"),
    "sku": ("sku", "code", "product code", "reference", "ref", "código", "referencia", "código de producto"),
    "description": ("description", "details", "descripción", "detalle", "detalles"),
    "category": ("category", "department", "categoría", "familia", "sección"),
    "tags": ("tags", "labels", "etiquetas"),
    "tag": ("tag", "subcategory", "subcategoría", "subfamilia", "etiqueta"),
    "active": ("active", "enabled", "activo", "activa", "a la venta"),
}
"""Names for each target. ``tags`` is a cell with several tags, ``tag`` one tag as it stands, commas and all."""

TARGETS = (*SYNONYMS, IGNORE)
REQUIRED = ("name", "price")
_REPEATABLE = ("tags", "tag", IGNORE)


def _folded(title: str) -> str:
    """A heading without case, accents, punctuation and anything in parentheses: ``Precio (€)`` is ``precio``."""
    return fold(re.sub(r"\([^)]*\)|[_.:*-]", " ", title))


_TARGET_OF = {_folded(name): target for target, names in SYNONYMS.items() for name in names}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the file: where it stands, its heading, the target it gives."""

    index: int
    title: str
    target: str


def count_known(titles: Sequence[str]) -> int:
    """How many headings are known."""
    return sum(_folded(title) in _TARGET_OF for title in titles)


def map_columns(titles: Sequence[str], given: Mapping[str, str]) -> tuple[Column, ...]:
    """The columns with what each gives; unknown ones give ``ignore``.

    ``given`` maps headings to targets and wins over what the headings say. Raises InvalidInput for a ``given`` heading
    or target that does not exist, UnreadableInput when a required field or a clear meaning is missing.
    """
    wanted = {_folded(title): target for title, target in given.items()}
    _refuse_unknown(given, {_folded(title) for title in titles})
    columns = tuple(
        Column(i, title.strip(), wanted.get(_folded(title), _TARGET_OF.get(_folded(title), IGNORE)))
        for i, title in enumerate(titles)
    )
    for target in SYNONYMS:
        titled = [column.title for column in columns if column.target == target]
        if len(titled) > 1 and target not in _REPEATABLE:
            names = " and ".join(repr(title) for title in titled)
            raise UnreadableInput(
                f"the columns {names} both give the {target}", hint=f"choose with --map '{titled[-1]}={IGNORE}'"
            )
        if not titled and target in REQUIRED:
            raise UnreadableInput(
                f"no column gives the {target}; the columns are {', '.join(t.strip() or '(blank)' for t in titles)}",
                hint=f"say which with --map COLUMN={target}; a wrong --delimiter also looks like this",
            )
    return columns


def _refuse_unknown(given: Mapping[str, str], titles: set[str]) -> None:
    problems = [
        Problem("map", "unknown_column", f"the file has no column {title!r}")
        for title in given
        if _folded(title) not in titles
    ]
    problems += [
        Problem("map", "unknown_field", f"{target!r} is none of {', '.join(TARGETS)}")
        for target in given.values()
        if target not in TARGETS
    ]
    if problems:
        raise InvalidInput(problems=problems)
