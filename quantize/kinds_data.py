"""Images of every kind, squeezed small and held in memory."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from appliance.preprocess import squeeze
from quantize.data import SPLITS, DataError, read_grey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from quantize.kinds_spec import KindSite

# Larger than the network's side, so that augmentation may cut; a film keeps what a gate can see.
_HELD_PX = 224


@dataclass(frozen=True, slots=True)
class Kinded:
    """One image and the kind that it is."""

    site: str
    file: str
    kind: str
    split: str
    label: str


@dataclass(frozen=True, slots=True)
class KindedImages:
    """Images in memory: uint8 (n, 224, 224), in the order of the samples."""

    samples: Sequence[Kinded]
    images: NDArray[np.uint8]


def read_kinds(root: Path, site: KindSite) -> list[Kinded]:
    """Read a site's table; a site that is only measured has one split, ``test``.

    Rows with a ``qc_flag`` (a film that lies upside down) are left out of training.

    Raises
    ------
    DataError
        If the table is missing, has an unknown split, or one patient is in two splits.
    """
    table = root / site.name / "labels.csv"
    if not table.is_file():
        raise DataError(f"{table} is missing: give the folder that holds the data sets as --data.")
    with table.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if not row.get("qc_flag")]
    if site.use == "measure":
        return [Kinded(site.name, r["file"], site.kind, "test", r["label"]) for r in rows]
    split_of: dict[str, str] = {}
    for row in rows:
        if row["split"] not in SPLITS:
            raise DataError(f"{site.name}/labels.csv: unknown split {row['split']!r}.")
        if split_of.setdefault(row["patient"], row["split"]) != row["split"]:
            raise DataError(f"{site.name}: patient {row['patient']} is in two splits.")
    return [Kinded(site.name, r["file"], site.kind, r["split"], r["label"]) for r in rows]


def load_kinds(root: Path, samples: Sequence[Kinded]) -> KindedImages:
    """Decode and squeeze the images."""
    images = np.stack([squeeze(read_grey(root / s.site / s.file), _HELD_PX) for s in samples])
    return KindedImages(samples, images)


def kinds_sha256(samples: Sequence[Kinded]) -> str:
    """Hash a split's members and kinds, independent of row order (hex)."""
    lines = sorted(f"{s.site}/{s.file} {s.kind}\n" for s in samples)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
