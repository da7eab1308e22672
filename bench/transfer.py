"""What transfer learning is worth: the same training from ImageNet's weights and from nothing.

Both see the same films in the same order; after every fifty steps the averaged weights are measured
on the validation films. The result is ``bench/out/transfer.json``; docs/transfer.md is written of
it: how long each start took to the same validation AUROC.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from machine import describe, save

from quantize import recipe as straight_way
from quantize.data import labels
from quantize.metrics import auroc
from quantize.network import Lite0, load_published, published_weights_path
from quantize.spec import Phase, read_recipe
from quantize.train import Labelled, logits_of, train

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "transfer.md"
RECIPE = ROOT / "quantize" / "recipes" / "cxr-pneumonia.toml"
SITE = "cxr_ped_pneumonia"
SIDE_PX, EVERY, SEED = 96, 25, 20240601
STARTS = {"transfer": "ImageNet's weights", "scratch": "random weights"}


def main() -> None:
    """Train from both starts, or write the page of an earlier run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--page", action="store_true", help="only write docs/transfer.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not arguments.page:
        save("transfer", measured(arguments.data, arguments.steps))
    found = ROOT / "bench" / "out" / "transfer.json"
    if not found.is_file():
        sys.exit("not measured yet: run make bench-transfer")
    PAGE.write_text(page(json.loads(found.read_text(encoding="utf-8"))), encoding="utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}")


def measured(data: Path, steps: int) -> dict[str, Any]:
    """Train the children's set of the recipe from both starts; the recipe's other settings hold."""
    recipe = read_recipe(RECIPE)
    sites = tuple(site for site in recipe.sites if site.spec.name == SITE)
    spec = replace(
        recipe.train,
        phases=(Phase(SIDE_PX, steps),),
        checkpoint_steps=EVERY,
        unfreeze=(0, 0),
        plant=0.0,
        stray_weight=0.0,
        mirror_weight=0.0,
        seed=SEED,
    )
    shown = replace(recipe.input, side_px=SIDE_PX)
    recipe = replace(recipe, sites=sites, train=spec, input=shown)
    curves: dict[str, list[dict[str, float]]] = {}
    tests: dict[str, float] = {}
    with TemporaryDirectory() as scratch:
        bench = straight_way.gather(recipe, data, Path(scratch))
        training, validation, test = (bench.split(name) for name in ("train", "val", "test"))
        sets = (
            Labelled(training, bench.images(training)),
            Labelled(validation, bench.images(validation)),
        )
        for start in STARTS:
            torch.manual_seed(SEED)
            network = Lite0(1, dropout=spec.dropout)
            if start == "transfer":
                load_published(network, published_weights_path())
            folder = Path(scratch) / start
            folder.mkdir()
            network = train(network, sets, spec, shown, folder, lambda *_: None)
            lines = (folder / "history.jsonl").read_text().splitlines()
            curves[start] = [json.loads(line) for line in lines]
            tests[start] = auroc(labels(test), logits_of(network, bench.images(test), shown)[:, 0])
        films = len(training)
    return {
        "machine": describe(),
        "site": SITE,
        "side_px": SIDE_PX,
        "batch": spec.batch,
        "films": films,
        "curves": curves,
        "test_auroc": tests,
    }


def first_at(curve: list[dict[str, float]], wanted: float, key: str) -> dict[str, float] | None:
    """Return the first measurement from which on every later one reaches `wanted`, or None."""
    found = None
    for point in reversed(curve):
        if point[key] < wanted:
            break
        found = point
    return found


def page(result: dict[str, Any]) -> str:
    """Return docs/transfer.md."""
    key = f"auroc {result['site']}"
    curves, each = result["curves"], result["films"] / result["batch"]
    best = min(max(point[key] for point in curve) for curve in curves.values())
    rows = []
    for wanted in (0.95, 0.97, 0.98, round(best, 4)):
        points = {start: first_at(curve, wanted, key) for start, curve in curves.items()}
        cells = [_cell(points[start], each) for start in STARTS]
        one, other = points["transfer"], points["scratch"]
        saved = "-" if not one or not other else f"{1 - one['step'] / other['step']:.0%}"
        rows.append(f"| {wanted:g} | {cells[0]} | {cells[1]} | {saved} |")
    found = result["machine"]
    tests = ", ".join(f"{STARTS[s]} {result['test_auroc'][s]:.3f}" for s in STARTS)
    return f"""# What transfer learning is worth

Written by `make bench-transfer`; nothing here is typed by hand. The same network, films
(`{result["site"]}`, {result["films"]} for training), order, augmentation and schedule, at
{result["side_px"]} px in batches of {result["batch"]}, from two starts; one seed. A time counts
from which on every later measurement reaches the AUROC on the validation films.

| validation AUROC | from {STARTS["transfer"]} | from {STARTS["scratch"]} | steps saved |
| --- | --- | --- | --- |
{chr(10).join(rows)}

AUROC on the official test split at the end: {tests}.
Machine: {found["cpu"]}, one thread, Python {found["python"]}, {found["date"]}; load average before:
{found["load_before"]:.1f}. Minutes drift with the load; the ratio of steps does not.
"""


def _cell(point: dict[str, float] | None, steps_an_epoch: float) -> str:
    if point is None:
        return "not reached"
    epochs = point["step"] / steps_an_epoch
    return f"{point['step']:.0f} steps, {epochs:.1f} epochs, {point['seconds'] / 60:.1f} min"


if __name__ == "__main__":
    main()
