"""Which column of a file gives which field, by what people call them in Spanish and English."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prodcore.errors import InvalidInput, Problem, UnreadableInput
from prodcore.product.fields import FIELDS
from prodcore.routing import fold

IGNORE = "ignore"

_TAG_HEADINGS = ("tag", "subcategory", "subcategoría", "subfamilia", "etiqueta")

SYNONYMS: Mapping[str, tuple[str, ...]] = {row.name: row.headings for row in FIELDS} | {"tag": _TAG_HEADINGS}
"""Headings for each target. ``tags`` is a cell with several tags, ``tag`` one tag as it stands, commas and all."""

READ_ONLY = ("id", "shard", "version", "created_at", "updated_at", "updated_by")
"""What exports say of a product and nobody can set: ignored without a word."""

REFUSED_PREFIX = "refused "
"""Headings of the columns that say why a row was refused: ignored when the corrected file is imported."""

TARGETS = (*SYNONYMS, IGNORE)
REQUIRED = ("name",)
"""What a file must give where products are found by their names."""
_REPEATABLE = ("tags", "tag", IGNORE)


def folded_title(title: str) -> str:
    """A heading without case, accents, punctuation and anything in parentheses: ``Precio (€)`` is ``precio``."""
    return fold(re.sub(r"\([^)]*\)|[_.:*-]", " ", title))


_KNOWN_USELESS = frozenset(folded_title(title) for title in READ_ONLY)
_TARGET_OF = {folded_title(name): target for target, names in SYNONYMS.items() for name in names}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the file: where it stands, its heading, the target it gives."""

    index: int
    title: str
    target: str


def target_of(title: str) -> str | None:
    """The target that a heading is known to give; None for an unknown one."""
    folded = folded_title(title)
    useless = folded in _KNOWN_USELESS or title.startswith(REFUSED_PREFIX)
    return IGNORE if useless else _TARGET_OF.get(folded)


def count_known(titles: Sequence[str]) -> int:
    """How many headings are known."""
    return sum(target_of(title) is not None for title in titles)


def is_export(titles: Sequence[str]) -> bool:
    """Whether a file has the columns that only our exports have."""
    return {"id", "version"} <= set(titles)


def unknown_titles(columns: Sequence[Column], given: Mapping[str, str]) -> list[str]:
    """The headings of columns that nobody knows and nobody spoke of; columns without one need no word."""
    said = {folded_title(title) for title in given}
    unknown = [c for c in columns if target_of(c.title) is None and c.title]
    return [c.title for c in unknown if folded_title(c.title) not in said and numbered(c.index) not in given]


def numbered(index: int) -> str:
    """How a column is named by its place, the first being ``#1``."""
    return f"#{index + 1}"


def map_columns(
    titles: Sequence[str], given: Mapping[str, str], required: Sequence[str] = REQUIRED
) -> tuple[Column, ...]:
    """The columns with what each gives; unknown ones give ``ignore``.

    ``given`` maps headings, or places such as ``#3``, to targets and wins over what the headings say.
    Raises InvalidInput for a ``given`` heading
    or target that does not exist, UnreadableInput when a required field or a clear meaning is missing.
    """
    wanted = {folded_title(title): target for title, target in given.items()}
    _refuse_unknown(given, titles)
    columns = tuple(
        Column(
            i,
            _one_line(title),
            given.get(numbered(i)) or wanted.get(folded_title(title)) or target_of(title) or IGNORE,
        )
        for i, title in enumerate(titles)
    )
    for target in SYNONYMS:
        giving = [column for column in columns if column.target == target]
        if len(giving) > 1 and target not in _REPEATABLE:
            names = " and ".join(f"{column.title!r} ({numbered(column.index)})" for column in giving)
            raise UnreadableInput(
                f"the columns {names} {'both' if len(giving) == 2 else 'all'} contain the {target}",
                hint=f"leave one out with --map '{numbered(giving[-1].index)}={IGNORE}'",
            )
        if not giving and target in required:
            raise _missing(target, f"the {target}", titles)
    key = {"sku"} if "sku" in required else {"name", "variant"}
    if not {column.target for column in columns} - {IGNORE, *key}:
        raise _missing("price", f"anything but the {required[0]}", titles)
    return columns


def _missing(target: str, what: str, titles: Sequence[str]) -> UnreadableInput:
    hint = f"say which with --map COLUMN={target}; a wrong --delimiter also looks like this"
    if len(titles) > 1 and sum(bool(t.strip()) for t in titles) == 1:
        hint = "the first row must contain the headings: delete everything above them"
    return UnreadableInput(
        f"no column contains {what}; the columns are {', '.join(_one_line(t) or '(blank)' for t in titles)}", hint=hint
    )


def _one_line(title: str) -> str:
    return " ".join(title.split())


def _refuse_unknown(given: Mapping[str, str], titles: Sequence[str]) -> None:
    known = {folded_title(title) for title in titles} | {numbered(i) for i in range(len(titles))}
    problems = [
        Problem("map", "unknown_column", f"the file has no column {title!r}")
        for title in given
        if title not in known and folded_title(title) not in known
    ]
    for title, target in given.items():
        places = [numbered(i) for i, other in enumerate(titles) if folded_title(other) == folded_title(title)]
        alike = target in _REPEATABLE and target_of(title) in (None, *_REPEATABLE)
        if len(places) > 1 and not alike:
            reason = f"{len(places)} columns are called {title!r}: say which, {' or '.join(places)}"
            problems.append(Problem("map", "ambiguous_column", reason))
    if problems:
        raise InvalidInput(problems=problems)
    refuse_unknown_targets(given)


def refuse_unknown_targets(given: Mapping[str, str]) -> None:
    """Raises InvalidInput for a target that there is not."""
    problems = [
        Problem("map", "unknown_field", f"{target!r} is none of {', '.join(TARGETS)}")
        for target in given.values()
        if target not in TARGETS
    ]
    if problems:
        raise InvalidInput(problems=problems)
