"""MedMNIST's array files become a data set like any other: a folder with images and a table.

The official splits stay as they are, but for one thing: a training picture that is, bit for bit,
also in the validation or the test split is flagged, and so left out of training. (The copy of
PneumoniaMNIST that this was written with has ten such pictures, all of the validation split.)
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import cv2
import numpy as np

from quantize.data import SPLITS, DataError

if TYPE_CHECKING:
    from pathlib import Path

LABELS = {"pneumoniamnist": ("normal", "pneumonia")}
_COLUMNS = ("file", "label", "split", "patient", "qc_flag")


def unpack(name: str, data: Path, out: Path) -> Path:
    """Write ``out/<name>/labels.csv`` and its pictures from ``data/<name>/<name>.npz``.

    Returns
    -------
    Path
        The table.

    Raises
    ------
    DataError
        If the set is not known, or its arrays are not there.
    """
    if name not in LABELS:
        raise DataError(f"{name} is none of the known sets: {', '.join(LABELS)}.")
    source = data / name / f"{name}.npz"
    if not source.is_file():
        raise DataError(f"{source} is missing: give the folder that holds the data sets as --data.")
    folder = out / name
    with np.load(source) as arrays:
        rows = [row for split in SPLITS for row in _unpack_split(name, arrays, split, folder)]
    table = folder / "labels.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(_COLUMNS)
        writer.writerows(rows)
    return table


def _unpack_split(
    name: str, arrays: np.lib.npyio.NpzFile, split: str, folder: Path
) -> list[tuple[str, ...]]:
    (folder / split).mkdir(parents=True, exist_ok=True)
    kept_apart = {
        picture.tobytes() for other in ("val", "test") for picture in arrays[f"{other}_images"]
    }
    truth = arrays[f"{split}_labels"].ravel()
    rows = []
    for number, picture in enumerate(arrays[f"{split}_images"]):
        file = f"{split}/{number:05d}.png"
        cv2.imwrite(str(folder / file), picture)
        copied = split == "train" and picture.tobytes() in kept_apart
        flag = "copied into another split" if copied else ""
        rows.append((file, LABELS[name][int(truth[number])], split, "", flag))
    return rows
