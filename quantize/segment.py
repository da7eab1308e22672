"""The straight way from films with drawn regions to a model package; its table of contents.

data -> train -> export -> int8 -> evaluate -> package. Each stage leaves files in the run's folder
and is not done twice (`quantize.stages`); training also resumes from its last checkpoint.
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
from quantize.segment_data import Outlined, load_films, outlined_sha256, read_outlined
from quantize.segment_network import Outliner, published_outliner
from quantize.segment_package import outline_card, outline_manifest
from quantize.segment_remeasure import measure_split
from quantize.segment_train import train_outliner
from quantize.stages import Stages, digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.manifest import ModelManifest, SiteResult
    from quantize.segment_spec import OutlineRecipe

    Report = Callable[[int, dict[str, float]], None]

WEIGHTS = "weights.pt"
FP32_GRAPH = "model.fp32.onnx"
RANGE_SEED = 7  # of the draw of the films for the range calibration


@dataclass(frozen=True, slots=True)
class OutlineBench:
    """One run: what is made, from which films, in which folder."""

    recipe: OutlineRecipe
    data: Path
    stages: Stages
    samples: tuple[Outlined, ...]

    def split(self, name: str, site: str | None = None) -> list[Outlined]:
        """Return the samples of a split, of all sites or of one."""
        return [s for s in self.samples if s.split == name and site in (None, s.site)]


def run(recipe: OutlineRecipe, data: Path, out: Path, work: Path, report: Report) -> ModelManifest:
    """Make a model package.

    Parameters
    ----------
    data
        Folder of the data sets.
    out
        Where the package goes, ``models/<id>/<version>``.
    work
        Folder of the run: checkpoints, the FP32 graph, finished stages.
    report
        Called after each training step.
    """
    bench = gather_outlined(recipe, data, work)
    trained = train_stage(bench, report)
    exported = export_stage(bench, trained)
    kept_in_float = int8_stage(bench, exported)
    results = evaluate_stage(bench)
    return package_stage(bench, results, kept_in_float, out)


def gather_outlined(recipe: OutlineRecipe, data: Path, work: Path) -> OutlineBench:
    """Read every site's table; raises `DataError` where a patient is in two splits."""
    samples = [s for site in recipe.sites for s in read_outlined(data, site.name, site.column)]
    return OutlineBench(recipe, data, Stages(work), tuple(samples))


def train_stage(bench: OutlineBench, report: Report) -> str:
    """Train from the published encoder weights; leaves the averaged weights."""
    recipe, folder = bench.recipe, bench.stages.folder
    training = bench.split("train")
    key = (recipe.train, recipe.input, outlined_sha256(training))

    def make() -> None:
        torch.manual_seed(recipe.train.seed)
        films = load_films(bench.data, training)
        checkpoints = folder / f"train-{digest(key)[:12]}"
        checkpoints.mkdir(exist_ok=True)
        average = train_outliner(
            published_outliner(1), films, recipe.train, recipe.input, checkpoints, report
        )
        torch.save(average.state_dict(), folder / WEIGHTS)

    return bench.stages.run("train", key, (WEIGHTS,), make)


def export_stage(bench: OutlineBench, weights: str) -> str:
    """Write the FP32 graph."""
    recipe, folder = bench.recipe, bench.stages.folder

    def make() -> None:
        network = Outliner(1)
        network.load_state_dict(torch.load(folder / WEIGHTS, weights_only=True))
        export(network, recipe.input.side_px, folder / FP32_GRAPH)

    return bench.stages.run("export", (weights, recipe.input), (FP32_GRAPH,), make)


def int8_stage(bench: OutlineBench, exported: str) -> tuple[str, ...]:
    """Write both INT8 graphs; return the names of the nodes kept in floating point."""
    recipe, folder = bench.recipe, bench.stages.folder
    names = "fp32_nodes.json"

    def make() -> None:
        films = load_films(bench.data, _range_films(bench))
        kept = quantize_both(
            folder / FP32_GRAPH,
            (folder / GRAPHS[0], folder / GRAPHS[1]),
            [prepare(image, recipe.input) for image in films.images],
            fp32_convolutions=recipe.int8.fp32_convolutions,
            also=("Resize",),
        )
        (folder / names).write_text(json.dumps(kept))

    bench.stages.run("int8", (exported, recipe.int8), (*GRAPHS, names), make)
    return tuple(json.loads((folder / names).read_text()))


def _range_films(bench: OutlineBench) -> list[Outlined]:
    """Draw training films evenly over the sites."""
    rng = np.random.default_rng(RANGE_SEED)
    sites = [bench.split("train", site.name) for site in bench.recipe.sites]
    return [
        members[int(rng.integers(len(members)))]
        for members in (
            sites[int(rng.integers(len(sites)))] for _ in range(bench.recipe.int8.range_images)
        )
    ]


def evaluate_stage(bench: OutlineBench) -> tuple[SiteResult, ...]:
    """Measure every site's validation and test split with all three graphs."""
    folder = bench.stages.folder
    graphs = (folder / GRAPHS[0], folder / FP32_GRAPH, folder / GRAPHS[1])
    return tuple(
        measure_split(load_films(bench.data, chosen), graphs, bench.recipe)
        for split in ("val", "test")
        for site in bench.recipe.sites
        if (chosen := bench.split(split, site.name))
    )


def package_stage(
    bench: OutlineBench,
    results: tuple[SiteResult, ...],
    kept_in_float: tuple[str, ...],
    out: Path,
) -> ModelManifest:
    """Write the package and read it back as the device does."""
    manifest = outline_manifest(bench.recipe, bench.samples, results, kept_in_float)
    notes = bench.recipe.path.with_suffix(".notes.md")
    text = notes.read_text(encoding="utf-8") if notes.is_file() else ""
    return assemble(manifest, lambda whole: outline_card(whole, text), bench.stages.folder, out)
