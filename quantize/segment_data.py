"""Films with the region that a person drew on them."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quantize.data import SPLITS, DataError, read_grey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Outlined:
    """One film and its mask: files below the data folder, and what is known of them."""

    site: str
    file: str
    mask: str
    split: str
    patient: str


@dataclass(frozen=True, slots=True)
class Films:
    """Outlined films in memory: images and masks (0 or 255) of their own sizes, uint8."""

    samples: Sequence[Outlined]
    images: Sequence[NDArray[np.uint8]]
    masks: Sequence[NDArray[np.uint8]]


def read_outlined(root: Path, site: str, column: str) -> list[Outlined]:
    """Read the rows of a site's table that name a mask in `column`.

    Raises
    ------
    DataError
        If the table is missing, has an unknown split, or one patient is in two splits.
    """
    table = root / site / "labels.csv"
    if not table.is_file():
        raise DataError(f"{table} is missing: give the folder that holds the data sets as --data.")
    with table.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row.get(column)]
    split_of: dict[str, str] = {}
    for row in rows:
        if row["split"] not in SPLITS:
            raise DataError(f"{site}/labels.csv: unknown split {row['split']!r}.")
        if split_of.setdefault(row["patient"], row["split"]) != row["split"]:
            raise DataError(f"{site}: patient {row['patient']} is in two splits; mend labels.csv.")
    return [Outlined(site, r["file"], r[column], r["split"], r["patient"]) for r in rows]


def load_films(root: Path, samples: Sequence[Outlined]) -> Films:
    """Decode the films and their masks.

    Raises
    ------
    DataError
        If a file cannot be decoded, or a mask has another size than its film.
    """
    images = [read_grey(root / s.site / s.file) for s in samples]
    masks = [_mask(root / s.site / s.mask) for s in samples]
    for sample, image, mask in zip(samples, images, masks, strict=True):
        if image.shape != mask.shape:
            raise DataError(f"{sample.site}/{sample.mask} has another size than its film.")
    return Films(samples, images, masks)


def _mask(path: Path) -> NDArray[np.uint8]:
    return np.where(read_grey(path) > 127, np.uint8(255), np.uint8(0))


def outlined_sha256(samples: Sequence[Outlined]) -> str:
    """Hash a split's films and masks by name, independent of row order (hex)."""
    lines = sorted(f"{s.site}/{s.file} {s.mask}\n" for s in samples)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
