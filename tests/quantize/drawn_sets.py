"""Small drawn data sets and shrunken recipes for the ways to an outlining model and to the gate."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from quantize.kinds_pictures import drawn
from quantize.phantoms import phantom

SIDE = 96
LUNGS_RECIPE = (Path(__file__).parents[2] / "quantize/recipes/cxr-lungs.toml").read_text("utf-8")


def toy_lungs(text: str) -> str:
    """Shrink the shipped recipe: one site, few and small steps."""
    head, sites = text.split("[[sites]]", 1)
    train = sites[sites.index("[train]") :]
    small = (
        f"{head}[[sites]]\nname = 'ward'\ncolumn = 'mask'\ntitle = 'Ward'\nlicence = 'CC0'\n"
        f"source = 'https://example.org'\n\n{train}"
    )
    phases = small[small.index("phases = ") :].splitlines()[0]
    small = small.replace(phases, "phases = [{ side_px = 64, steps = 6 }]")
    small = small.replace("range_images = 128", "range_images = 8").replace(
        "batch = 16", "batch = 4"
    )
    return small.replace("side_px = 192", "side_px = 64")


@pytest.fixture
def lungs_recipe(tmp_path: Path) -> Path:
    path = tmp_path / "toy-lungs.toml"
    path.write_text(toy_lungs(LUNGS_RECIPE))
    return path


@pytest.fixture
def ward(tmp_path: Path) -> Path:
    """Twelve phantoms; the mask is two ellipses where the phantom's lungs are."""
    folder = tmp_path / "data" / "ward"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(3)
    rows = []
    for number in range(12):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        for middle in (30, 66):
            cv2.ellipse(mask, (middle, 46), (13, 26), 0, 0, 360, 255, -1)
        cv2.imwrite(str(folder / f"{number}.png"), phantom(SIDE, rng))
        cv2.imwrite(str(folder / f"m{number}.png"), mask)
        split = ("train", "train", "val", "test")[number % 4]
        rows.append((f"{number}.png", split, f"p{number}", f"m{number}.png" if number < 11 else ""))
    with (folder / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("file", "split", "patient", "mask"), *rows])
    return tmp_path / "data"


GATE_RECIPE = (Path(__file__).parents[2] / "quantize/recipes/gate.toml").read_text("utf-8")
SITES = {
    "chest": "frontal_chest",
    "breast": "breast_ultrasound",
    "fetal": "fetal_head_ultrasound",
    "lung": "lung_ultrasound",
}


def toy_gate(text: str) -> str:
    """Shrink the shipped recipe: drawn sites, few and small steps."""
    head, train = text[: text.index("[[sites]]")], text[text.index("[train]") :]
    sites = [*((name, kind, "train") for name, kind in SITES.items()), ("junk", "other", "measure")]
    listed = "".join(
        f"[[sites]]\nname = '{name}'\nkind = '{kind}'\nuse = '{use}'\ntitle = '{name}'\n"
        "licence = 'CC0'\nsource = 'https://example.org'\n\n"
        for name, kind, use in sites
    )
    small = head.replace("side_px = 128", "side_px = 64") + listed + train
    small = small.replace("steps = 700", "steps = 4").replace("batch = 32", "batch = 8")
    return small.replace("range_images = 128", "range_images = 8")


@pytest.fixture
def gate_recipe(tmp_path: Path) -> Path:
    path = tmp_path / "toy-gate.toml"
    path.write_text(toy_gate(GATE_RECIPE))
    return path


@pytest.fixture
def kinds_folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(5)
    for name in (*SITES, "junk"):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        rows = []
        for number in range(8):
            picture = phantom(80, rng) if name == "chest" else drawn(80, rng)
            cv2.imwrite(str(folder / f"{number}.png"), picture)
            split = ("train", "train", "val", "test")[number % 4]
            rows.append((f"{number}.png", "x", split, f"{name}{number}"))
        with (folder / "labels.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([("file", "label", "split", "patient"), *rows])
    return tmp_path / "data"
