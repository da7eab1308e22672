"""The chest sets that the quality check is fitted and measured on, and the two models it asks."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from appliance.inference.predict import load_predictor
from appliance.manifest import load_manifest
from appliance.measure import doubt_about_lungs, outline
from appliance.preprocess import prepare, prepare_coarse
from appliance.quality import small_size

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from appliance.domain import Outline
    from appliance.inference.predict import Prediction

    Picture = NDArray[np.uint8]

FITTED_ON = ("cxr_ped_pneumonia", "cxr_nih_adult", "cxr_tb_shenzhen", "cxr_covid_hannover")
# Never trained, tuned or chosen on; its normals are direct digital films.
UNSEEN = "cxr_tb_pakistan"


@dataclass(frozen=True, slots=True)
class Row:
    """One film of a set: where it lies, and its hand-drawn lung mask where it has one."""

    path: Path
    split: str
    mask: Path | None

    def grey(self) -> Picture:
        """Decode it, uint8 (rows, columns)."""
        return _read(self.path)

    def drawn_mask(self) -> Picture | None:
        """Return the mask, 255 inside, or None."""
        return None if self.mask is None else _read(self.mask)


def rows_of(data: Path, site: str, splits: tuple[str, ...], most: int | None = None) -> list[Row]:
    """Return films of the splits in an order that no column of the table decides.

    Rows with a ``qc_flag`` are left out: they are no good films. Of the unseen set, whose splits
    are of no use here, every normal film counts as ``test``.
    """
    folder = data / site
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as stream:
        table = [row for row in csv.DictReader(stream) if not row.get("qc_flag")]
    if site == UNSEEN:
        table = [{**row, "split": "test"} for row in table if row["label"] == "normal"]
    rows = [
        Row(
            folder / row["file"],
            row["split"],
            folder / row["lungmask"] if row.get("lungmask") else None,
        )
        for row in table
        if row["split"] in splits
    ]
    rows.sort(key=lambda row: hashlib.sha256(row.path.name.encode()).digest())
    return rows[:most]


def _read(path: Path) -> Picture:
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise SystemExit(f"{path} cannot be decoded")
    return np.asarray(pixels, dtype=np.uint8)


class Models:
    """The gate and the model that outlines, as the device runs them on the CPU."""

    def __init__(self, models: Path) -> None:
        self.gate = load_manifest(models / "gate" / "1.0.0")
        self.lungs = load_manifest(models / "cxr-lungs" / "1.0.0")
        self._gate = load_predictor(self.gate, threads=1)
        self._lungs = load_predictor(self.lungs, threads=1)

    def kind(self, grey: Picture) -> Prediction:
        """Ask the gate."""
        return self._gate.predict(prepare(grey, self.gate.input))

    def outline(self, grey: Picture) -> Outline | None:
        """Outline the lungs on the copy that the check measures; None where it makes no sense."""
        places = self._lungs.predict(prepare_coarse(grey, self.lungs.input)).cam[0]
        drawn = outline(places, *small_size(*grey.shape), "lungs", "lungs")
        return None if doubt_about_lungs(drawn) is not None else drawn
