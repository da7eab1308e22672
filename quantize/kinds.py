"""The straight way to the gate: what an image is, which way up; its table of contents.

data -> train -> export -> int8 -> operating point -> evaluate -> package. Each stage leaves files
in the run's folder and is not done twice (`quantize.stages`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from appliance.preprocess import prepare
from quantize.assemble import GRAPHS, assemble
from quantize.export import export
from quantize.int8 import quantize_both
from quantize.kinds_data import Kinded, kinds_sha256, load_kinds, read_kinds
from quantize.kinds_evaluate import Asked, images_of, threshold_of
from quantize.kinds_network import KindNet, published_kind_net
from quantize.kinds_package import kind_card, kind_manifest
from quantize.kinds_pictures import CHEST, drawn
from quantize.kinds_remeasure import measure_kinds
from quantize.kinds_train import Painter, train_kinds
from quantize.stages import Stages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.manifest import ModelManifest, SiteResult
    from quantize.kinds_spec import KindRecipe

    Report = Callable[[int, dict[str, float]], None]

WEIGHTS = "weights.pt"
FP32_GRAPH = "model.fp32.onnx"
RANGE_SEED = 7  # of the draw of the images for the range calibration


@dataclass(frozen=True, slots=True)
class KindBench:
    """One run: what is made, from which images, in which folder."""

    recipe: KindRecipe
    data: Path
    stages: Stages
    samples: tuple[Kinded, ...]

    def split(self, name: str, site: str | None = None) -> list[Kinded]:
        """Return the samples of a split, of all sites or of one."""
        return [s for s in self.samples if s.split == name and site in (None, s.site)]


def run(recipe: KindRecipe, data: Path, out: Path, work: Path, report: Report) -> ModelManifest:
    """Make a model package; see `quantize.segment.run` for the parameters."""
    bench = gather_kinds(recipe, data, work)
    trained = train_stage(bench, report)
    exported = export_stage(bench, trained)
    kept_in_float = int8_stage(bench, exported)
    threshold = decide_stage(bench)
    results = evaluate_stage(bench, threshold)
    return package_stage(bench, threshold, results, kept_in_float, out)


def gather_kinds(recipe: KindRecipe, data: Path, work: Path) -> KindBench:
    """Read every site's table."""
    samples = [s for site in recipe.sites for s in read_kinds(data, site)]
    return KindBench(recipe, data, Stages(work), tuple(samples))


def train_stage(bench: KindBench, report: Report) -> str:
    """Train from the published weights; leaves the averaged weights."""
    recipe, folder = bench.recipe, bench.stages.folder
    training = bench.split("train")
    key = (recipe.train, recipe.outputs, recipe.input, kinds_sha256(training))

    def make() -> None:
        torch.manual_seed(recipe.train.seed)
        painter = Painter(recipe, load_kinds(bench.data, training))
        network = published_kind_net(len(recipe.outputs), recipe.train.dropout)
        average = train_kinds(network, painter, recipe, folder, report)
        torch.save(average.state_dict(), folder / WEIGHTS)

    return bench.stages.run("train", key, (WEIGHTS,), make)


def export_stage(bench: KindBench, weights: str) -> str:
    """Write the FP32 graph."""
    recipe, folder = bench.recipe, bench.stages.folder

    def make() -> None:
        network = KindNet(len(recipe.outputs))
        network.load_state_dict(torch.load(folder / WEIGHTS, weights_only=True))
        export(network, recipe.input.side_px, folder / FP32_GRAPH)

    return bench.stages.run("export", (weights, recipe.input), (FP32_GRAPH,), make)


def int8_stage(bench: KindBench, exported: str) -> tuple[str, ...]:
    """Write both INT8 graphs; return the names of the nodes kept in floating point."""
    recipe, folder = bench.recipe, bench.stages.folder
    names = "fp32_nodes.json"

    def make() -> None:
        images = images_of(bench.data, _range_images(bench))
        rng = np.random.default_rng(RANGE_SEED)
        images += [drawn(recipe.input.side_px, rng) for _ in range(len(images) // 3)]
        kept = quantize_both(
            folder / FP32_GRAPH,
            (folder / GRAPHS[0], folder / GRAPHS[1]),
            [prepare(image, recipe.input) for image in images],
            fp32_convolutions=recipe.int8.fp32_convolutions,
        )
        (folder / names).write_text(json.dumps(kept))

    bench.stages.run("int8", (exported, recipe.int8), (*GRAPHS, names), make)
    return tuple(json.loads((folder / names).read_text()))


def _range_images(bench: KindBench) -> list[Kinded]:
    """Draw training images evenly over the sites."""
    rng = np.random.default_rng(RANGE_SEED)
    sites = [bench.split("train", s.name) for s in bench.recipe.sites if s.use == "train"]
    places = rng.integers(0, len(sites), bench.recipe.int8.range_images)
    return [sites[place][int(rng.integers(len(sites[place])))] for place in places.tolist()]


def decide_stage(bench: KindBench) -> float:
    """Choose the operating point on the validation films of the chest, with the INT8 graph."""
    films = [s for s in bench.split("val") if s.kind == CHEST]
    asked = Asked(bench.stages.folder / GRAPHS[0], bench.recipe)
    return threshold_of(asked, films, images_of(bench.data, films))


def evaluate_stage(bench: KindBench, threshold: float) -> tuple[SiteResult, ...]:
    """Measure every site's validation and test split with all three graphs."""
    folder = bench.stages.folder
    graphs = (folder / GRAPHS[0], folder / FP32_GRAPH, folder / GRAPHS[1])
    return measure_kinds(bench.recipe, bench.data, bench.samples, graphs, threshold)


def package_stage(
    bench: KindBench,
    threshold: float,
    results: tuple[SiteResult, ...],
    kept_in_float: tuple[str, ...],
    out: Path,
) -> ModelManifest:
    """Write the package and read it back as the device does."""
    manifest = kind_manifest(bench.recipe, bench.samples, threshold, results, kept_in_float)
    notes = bench.recipe.path.with_suffix(".notes.md")
    text = notes.read_text(encoding="utf-8") if notes.is_file() else ""
    return assemble(manifest, lambda whole: kind_card(whole, text), bench.stages.folder, out)
