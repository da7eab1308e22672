"""The labelled images: read, checked, and held in memory as the device would see them.

A site is a folder with ``labels.csv`` (columns ``file``, ``label``, ``split``, ``patient`` and
more) as its ``SOURCE.md`` describes it. The splits are used as they are given.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SPLITS = ("train", "val", "test")


class DataError(Exception):
    """The data on disk are not what a recipe says; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image: its file below the data folder, and what is known of it."""

    site: str
    file: str
    positive: bool
    split: str
    patient: str
    view: str = ""
    lungmask: str = ""
    sex: str = ""
    age: float | None = None

    @property
    def stratum(self) -> tuple[str, str, bool]:
        """What training samples evenly over: a view must not predict the label."""
        return (self.site, self.view, self.positive)


@dataclass(frozen=True, slots=True)
class SiteSpec:
    """How a recipe reads one folder.

    Parameters
    ----------
    name
        Folder below the data directory.
    positive, negative
        Words of the ``label`` column; a row with another label is left out.
    measure_only
        Never trained on; all its splits are ``test``.
    patients_unknown
        The table names no patients, so nobody can say that none is in two splits. Only research
        may use such a site.
    least_age
        Years; rows of younger people, and of people of no known age, are left out of every split
        where it is above 0.
    """

    name: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    measure_only: bool = False
    patients_unknown: bool = False
    least_age: float = 0.0


def read_site(root: Path, spec: SiteSpec) -> list[Sample]:
    """Read a site's table.

    Rows with a ``qc_flag`` are left out of training and validation (they are cases for the quality
    check), and kept in the test split. A site that is only measured has one split, ``test``.

    Raises
    ------
    DataError
        If the table is missing, has an unknown split, or one patient is in two splits.
    """
    table = root / spec.name / "labels.csv"
    if not table.is_file():
        raise DataError(f"{table} is missing: give the folder that holds the data sets as --data.")
    with table.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    samples = [_sample(spec, row) for row in rows if _is_used(spec, row)]
    if not spec.measure_only and not spec.patients_unknown:
        _check_patients(spec.name, samples)
    return samples


def _is_used(spec: SiteSpec, row: dict[str, str]) -> bool:
    if row["split"] not in SPLITS:
        raise DataError(f"{spec.name}/labels.csv: unknown split {row['split']!r}.")
    flagged = bool(row.get("qc_flag")) and row["split"] != "test"
    labelled = row["label"] in (*spec.positive, *spec.negative)
    return labelled and not flagged and _is_old_enough(spec, row)


def _is_old_enough(spec: SiteSpec, row: dict[str, str]) -> bool:
    age = _age(row.get("age", ""))
    return spec.least_age <= 0 or (age is not None and age >= spec.least_age)


def _sample(spec: SiteSpec, row: dict[str, str]) -> Sample:
    return Sample(
        site=spec.name,
        file=row["file"],
        positive=row["label"] in spec.positive,
        split="test" if spec.measure_only else row["split"],
        patient=row["patient"],
        view=row.get("view", ""),
        lungmask=row.get("lungmask", ""),
        sex=row.get("sex", "").upper(),
        age=_age(row.get("age", "")),
    )


def _age(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _check_patients(site: str, samples: Sequence[Sample]) -> None:
    split_of: dict[str, str] = {}
    for sample in samples:
        if not sample.patient:
            raise DataError(
                f"{site}: {sample.file} has no patient, so its split cannot be checked."
            )
        if split_of.setdefault(sample.patient, sample.split) != sample.split:
            raise DataError(f"{site}: patient {sample.patient} is in two splits; mend labels.csv.")


def split_sha256(samples: Sequence[Sample]) -> str:
    """Hash a split's membership and labels, independent of row order (hex)."""
    lines = sorted(f"{s.site}/{s.file} {int(s.positive)}\n" for s in samples)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_grey(path: Path) -> NDArray[np.uint8]:
    """Decode one image file as grey uint8 (rows, columns).

    Raises
    ------
    DataError
        If OpenCV cannot read it.
    """
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise DataError(f"{path} cannot be decoded.")
    return np.asarray(pixels, dtype=np.uint8)


def load_images(
    root: Path,
    samples: Sequence[Sample],
    transform: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
) -> NDArray[np.uint8]:
    """Decode all samples into one uint8 array (n, side, side), each through `transform`."""
    return np.stack([transform(read_grey(root / s.site / s.file)) for s in samples])


def labels(samples: Sequence[Sample]) -> NDArray[np.bool_]:
    """Ground truth as bool (n,)."""
    return np.array([s.positive for s in samples], dtype=np.bool_)
