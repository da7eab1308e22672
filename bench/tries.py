"""What short trainings gave on films of a hospital left out: how 2.0.0's recipe was chosen.

Each try trains on some of the recipe's sites at 128 px and is measured on validation films, on the
adults' patients that were held out of training (a quarter), and on all films of a site left out. No
test split of a trained site and no site that is only measured is looked at. The result is
``bench/out/tries.json``, one line a try on the terminal.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from machine import describe, save

from appliance.manifest import FrameRule
from quantize import recipe as straight_way
from quantize.data import labels
from quantize.metrics import auroc
from quantize.network import Lite0, load_published, published_weights_path
from quantize.spec import Phase, read_recipe
from quantize.train import Labelled, logits_of, train

if TYPE_CHECKING:
    from quantize.data import Sample

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "quantize" / "recipes" / "cxr-pneumonia.toml"
CHILDREN, ADULTS, SHENZHEN = "cxr_ped_pneumonia", "cxr_nih_adult", "cxr_tb_shenzhen"
SIDE_PX, HELD_OUT, HELD_OUT_SEED = 128, 0.25, 5


@dataclass(frozen=True, slots=True)
class Try:
    """One short training."""

    name: str
    sites: tuple[str, ...]
    framed: bool
    plant: float
    steps: int
    seed: int


TRIES = (
    Try("whole films", (CHILDREN, ADULTS), framed=False, plant=0.0, steps=400, seed=1),
    Try(
        "whole films, another seed", (CHILDREN, ADULTS), framed=False, plant=0.0, steps=400, seed=2
    ),
    Try("planted opacities", (CHILDREN, ADULTS), framed=False, plant=0.25, steps=400, seed=1),
    Try("planted, another seed", (CHILDREN, ADULTS), framed=False, plant=0.2, steps=400, seed=2),
    Try("lungs' rectangle", (CHILDREN, ADULTS), framed=True, plant=0.0, steps=400, seed=1),
    Try("rectangle, planted", (CHILDREN, ADULTS), framed=True, plant=0.25, steps=400, seed=1),
    Try("without adults of NIH", (CHILDREN, SHENZHEN), framed=False, plant=0.2, steps=300, seed=1),
    Try("the same, rectangle", (CHILDREN, SHENZHEN), framed=True, plant=0.2, steps=300, seed=1),
)


def main() -> None:
    """Train and measure each try."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--only", help="a try's name")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for each in TRIES:
        if arguments.only in (None, each.name):
            found.append({"try": each.name, "seed": each.seed} | measured(each, arguments.data))
            print(found[-1], flush=True)
    save("tries", {"machine": describe(), "tries": found})


def measured(each: Try, data: Path) -> dict[str, Any]:
    """Return the AUROC on what was held out of each site, and of adults within a view."""
    recipe = read_recipe(RECIPE)
    frame = FrameRule(model="cxr-lungs", margin=0.05) if each.framed else None
    shown = replace(recipe.input, side_px=SIDE_PX, frame=frame)
    spec = replace(
        recipe.train,
        seed=each.seed,
        phases=(Phase(SIDE_PX, each.steps),),
        average_decay=0.99,
        unfreeze=(0, 0),
        plant=each.plant,
        checkpoint_steps=each.steps,
    )
    with TemporaryDirectory() as scratch:
        bench = straight_way.gather(replace(recipe, train=spec, input=shown), data, Path(scratch))
        training, held_out = _parts(bench.split("train", "val", "test"), each)
        torch.manual_seed(each.seed)
        network = Lite0(1, dropout=spec.dropout)
        load_published(network, published_weights_path())
        validation = Labelled(held_out, bench.images(held_out))
        sets = (bench.labelled(training), validation)
        network = train(network, sets, spec, shown, Path(scratch), lambda *_: None)
        scores = logits_of(network, validation.images, shown)[:, 0]
    truth, sites = labels(held_out), np.array([s.site for s in held_out])
    views = np.array([s.view for s in held_out])
    result: dict[str, Any] = {}
    for site in dict.fromkeys(sites.tolist()):
        here = sites == site
        seen = "held out" if site in each.sites else "left out"
        result[f"{site}, {seen}"] = round(auroc(truth[here], scores[here]), 3)
    for view in ("AP", "PA"):
        here = (sites == ADULTS) & (views == view)
        result[f"{ADULTS}, {view}"] = round(auroc(truth[here], scores[here]), 3)
    return result


def _parts(samples: list[Sample], each: Try) -> tuple[list[Sample], list[Sample]]:
    """Part what is trained on from what is measured; trained sites' test films go unused."""
    adults = sorted({s.patient for s in samples if s.site == ADULTS and s.split != "test"})
    order = np.random.default_rng(HELD_OUT_SEED).permutation(adults)
    hidden = set(order[: round(HELD_OUT * len(adults))].tolist())
    training, held_out = [], []
    for sample in samples:
        left_out = sample.site not in each.sites
        if sample.split == "test" and not (left_out and sample.site == SHENZHEN):
            continue
        kept = sample.patient in hidden if sample.site == ADULTS else sample.split == "val"
        (held_out if left_out or kept else training).append(sample)
    return training, held_out


if __name__ == "__main__":
    main()
