from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

SITES = ("site_a", "site_b")
RECIPE = """
id = "toy"
version = "0.0.1"
title = "A toy"
licence = "Apache-2.0"
[output]
code = "bright"
label = "Bright spot"
[input]
side_px = 64
mean = 0.5
std = 0.25
exposure = { low_percentile = 1.0, high_percentile = 99.0 }
[[sites]]
name = "site_a"
title = "Site A"
licence = "CC0"
source = "https://example.org/a"
positive = ["spot"]
negative = ["none"]
measure_only = false
[[sites]]
name = "site_b"
title = "Site B"
licence = "CC0"
source = "https://example.org/b"
positive = ["spot"]
negative = []
measure_only = true
[train]
seed = 1
batch = 8
phases = [{ side_px = 32, steps = 3 }, { side_px = 64, steps = 3 }]
learning_rate = 1e-3
head_learning_rate = 1e-2
weight_decay = 0.01
label_smoothing = 0.05
dropout = 0.1
average_decay = 0.9
checkpoint_steps = 2
[int8]
range_images = 8
fp32_convolutions = 2
[operating_point]
name = "screening"
target_sensitivity = 0.9
[abstention]
alpha = 0.1
[intended_use]
modalities = ["CR"]
body_parts = ["CHEST"]
views = ["PA"]
age_years = [1, 100]
min_side_px = 32
text = "A toy."
limits = ["Not for people."]
"""


def draw_site(folder: Path, *, per_class: int = 12) -> None:
    """Write a site whose positives have a bright spot."""
    rng = np.random.default_rng(list(folder.name.encode()))
    (folder / "images").mkdir(parents=True)
    rows = []
    for index in range(2 * per_class):
        spot = index % 2 == 0
        image = rng.normal(90, 25, (70, 80)).clip(0, 255).astype(np.uint8)
        if spot:
            cv2.circle(image, (int(rng.integers(20, 60)), 35), 12, 250, -1)
        file = f"images/{index}.png"
        cv2.imwrite(str(folder / file), image)
        split = ("train", "train", "train", "train", "val", "val", "test", "test")[index % 8]
        label = "spot" if spot else "none"
        rows.append({"file": file, "label": label, "patient": f"p{index}", "split": split})
    with (folder / "labels.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for site in SITES:
        draw_site(tmp_path / "data" / site)
    return tmp_path / "data"


@pytest.fixture
def recipe_path(tmp_path: Path) -> Path:
    path = tmp_path / "toy.toml"
    path.write_text(RECIPE)
    return path
