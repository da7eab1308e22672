"""What the adapters of publishers' originals share: films found, tables read, patients split.

Splits follow one rule, that of the sets the shipped models were made with: the patients, sorted,
are shuffled by one seed; the first fifth is the test split, the next tenth validation, the rest
training. A publisher's own test split is kept.
"""

from __future__ import annotations

import csv
import random
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from quantize.data import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

_SEED = 20240601


@dataclass(frozen=True, slots=True)
class Film:
    """One original film, or one cine loop.

    Parameters
    ----------
    source
        The publisher's file.
    stem
        Name of the written file, without folder and suffix.
    known
        Further columns of the table, in order.
    masks
        Files whose union is the drawn region; where the set is `outlined`, its outline.
    mm_per_px
        Millimetres a pixel of the original; the table gets that of the written image.
    cine
        A moving picture, of which frames are taken.
    """

    source: Path
    stem: str
    label: str
    patient: str
    split: str
    known: Mapping[str, str] = field(default_factory=dict)
    masks: tuple[Path, ...] = ()
    mm_per_px: float | None = None
    cine: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What a publisher's folder holds, and in words what was left out of it and why."""

    films: Sequence[Film]
    left_out: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Original:
    """A set by its publisher.

    Parameters
    ----------
    read
        Finds the films below a folder.
    where, unpack, layout
        Address, what to take from there, and what `read` looks for.
    side_px
        Longest side of a written image, as the shipped models' sets have it.
    square
        Squeezed to a square of that side, whatever the film's shape.
    crop
        Shares of the film cut off at its top, bottom, left and right.
    masked, outlined
        It has drawn regions; and those are outlines, to be filled.
    note
        What whoever uses the set must be told.
    """

    read: Callable[[Path], Found]
    where: str
    unpack: str
    layout: str
    side_px: int
    square: bool = False
    crop: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    masked: bool = False
    outlined: bool = False
    note: str = ""


def splits(patients: Iterable[str], test_tenths: int = 2, val_tenths: int = 1) -> dict[str, str]:
    """Give each patient a split; the same patients always get the same ones."""
    order = sorted(set(patients))
    random.Random(_SEED).shuffle(order)  # noqa: S311 - no secret
    tenths = [place * 10 for place in range(len(order))]
    test, val = test_tenths * len(order), (test_tenths + val_tenths) * len(order)
    return {
        patient: "test" if tenth < test else "val" if tenth < val else "train"
        for patient, tenth in zip(order, tenths, strict=True)
    }


def shallowest(root: Path, pattern: str) -> Path:
    """Find the match of a pattern nearest to `root`; macOS leaves shadows of files in archives."""
    matches = [p for p in root.rglob(pattern) if "__MACOSX" not in p.parts and p.name[:2] != "._"]
    if not matches:
        raise DataError(f"There is no {pattern}.")
    return min(matches, key=lambda path: (len(path.parts), path))


def images_in(folder: Path, *suffixes: str) -> list[Path]:
    """List a folder's images in order of name."""
    found = [p for p in folder.iterdir() if p.suffix.lower() in suffixes and p.name[0] != "."]
    if not found:
        raise DataError(f"{folder} holds no {' or '.join(suffixes)}.")
    return sorted(found)


def rows_of(table: Path, *columns: str) -> list[dict[str, str]]:
    """Read a publisher's table.

    Raises
    ------
    DataError
        If it has no rows, or lacks one of the columns.
    """
    with table.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        rows = list(reader)
    if missing:
        raise DataError(f"{table} has no column {', '.join(missing)}.")
    if not rows:
        raise DataError(f"{table} has no rows.")
    return rows


def plain_name(path: Path) -> str:
    """Make a plain name: ``benign (1).png`` is ``benign_1``."""
    return re.sub(r"[^\w-]+", "_", path.stem).strip("_")


def present(films: Sequence[Film], others: int = 0, why: str = "") -> Found:
    """Leave out the rows of a table whose files are not there; `others` were left out before."""
    there = [film for film in films if film.source.is_file()]
    if not there:
        raise DataError("None of the table's images is there.")
    absent = len(films) - len(there)
    said = [f"{others} {why}"] if others else []
    return Found(there, [*said, f"{absent} listed in the table are not there"] if absent else said)
