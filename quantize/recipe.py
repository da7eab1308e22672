"""The straight way from labelled images to a model package; this module is its table of contents.

data (leaks, shortcuts) -> train -> prune -> export -> int8 (-> aware -> export -> int8, where
eight bits cost too much) -> decide (calibration, operating point,
abstention) -> evaluate -> gates -> package. Each stage leaves files in the run's folder and is not
done twice (`quantize.stages`); training also resumes from its last checkpoint.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from appliance.preprocess import prepare
from quantize.aware import fine_tune
from quantize.data import Sample, labels, read_grey, read_site, split_sha256
from quantize.decide import abstention_band, fit_platt, threshold_for
from quantize.evaluate import Graphs, Rules, SplitOutputs, graph_logits, measure, split_outputs
from quantize.export import export
from quantize.films import frame_of, outliner, read_shown
from quantize.gates import Gate, require
from quantize.int8 import quantize_both
from quantize.judge import Subject, judge, judge_data, judge_eight_bits
from quantize.leaks import check_leaks
from quantize.lungs import SIDE_PX, read_lungs
from quantize.network import Lite0, load_published, published_weights_path
from quantize.package import Findings, write_package
from quantize.phantoms import golden_phantoms
from quantize.prune import Films, load_network, prune
from quantize.shortcuts import Shortcut, shortcuts
from quantize.smoke import a_few, in_miniature
from quantize.stages import Stages, digest
from quantize.train import Labelled, draw, logits_of, train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from appliance.manifest import ModelManifest, SiteResult
    from quantize.lungs import Lungs
    from quantize.spec import Recipe

    Report = Callable[[int, dict[str, float]], None]

FP32_GRAPH = "model.fp32.onnx"
UNCUT_GRAPH = "model.uncut.onnx"  # of the network before pruning, where the recipe prunes
CPU_GRAPH = "model.cpu.onnx"
TENSORRT_GRAPH = "model.trt.onnx"
WEIGHTS = "weights.pt"
PRUNED_WEIGHTS = "pruned.pt"
AWARE_WEIGHTS = "aware.pt"
RANGE_SEED = 7  # of the draw of the images for the range calibration


class Weights(NamedTuple):
    """What a stage made of the network: a file in the run's folder, and the stage's hash."""

    file: str
    hashed: str


@dataclass(frozen=True, slots=True)
class Bench:
    """One run: what is made, from which samples, in which folder."""

    recipe: Recipe
    data: Path
    stages: Stages
    samples: tuple[Sample, ...]
    smoke: bool = False

    @property
    def graphs(self) -> Graphs:
        """Where the graphs of the run lie."""
        folder = self.stages.folder
        return Graphs(
            cpu=folder / CPU_GRAPH,
            tensorrt=folder / TENSORRT_GRAPH,
            fp32=folder / FP32_GRAPH,
            uncut=folder / UNCUT_GRAPH if self.recipe.prune else None,
        )

    def split(self, *splits: str) -> list[Sample]:
        """Return the samples of these splits, of the sites that are trained on."""
        trained = self.recipe.trained
        return [s for s in self.samples if s.split in splits and s.site in trained]

    def images(self, samples: list[Sample]) -> list[NDArray[np.uint8]]:
        """Decode what of the samples' films the network is shown, grey uint8 of their own sizes."""
        return read_shown(self.data, samples, self.recipe.input)

    def labelled(self, samples: list[Sample]) -> Labelled:
        """Read films to train on: whole, with what of each is shown, and lungs where of use."""
        films = [read_grey(self.data / s.site / s.file) for s in samples]
        rule = self.recipe.input.frame
        return Labelled(
            samples,
            films,
            self._lungs(samples, films) if self.recipe.train.needs_lungs else None,
            None if rule is None else [frame_of(film, rule) for film in films],
        )

    def _lungs(self, samples: list[Sample], films: list[NDArray[np.uint8]]) -> Lungs | None:
        model = self.recipe.train.outliner
        if not model:
            return read_lungs(self.data, samples)
        by_sample = dict(zip(samples, films, strict=True))
        lungs = outliner(model)
        return read_lungs(self.data, samples, lambda s: lungs.mask(by_sample[s], SIDE_PX))


def run(
    recipe: Recipe, data: Path, out: Path, work: Path, report: Report, *, smoke: bool = False
) -> ModelManifest:
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
    smoke
        In miniature (`quantize.smoke`): every stage runs, the gates are only reported.

    Raises
    ------
    DataError
        If the data are not what the recipe says, or leak.
    GateError
        If a gate refuses; nothing is packaged then.
    """
    bench = gather(in_miniature(recipe) if smoke else recipe, data, work, smoke=smoke)
    found = data_stage(bench)
    trained = train_stage(bench, report)
    pruned = prune_stage(bench, trained, report)
    shipped = pruned
    kept_in_float = int8_stage(bench, export_stage(bench, shipped))
    if recipe.aware is not None and damaged(bench):
        shipped = aware_stage(bench, pruned, report)
        kept_in_float = int8_stage(bench, export_stage(bench, shipped))
    rules = decide_stage(bench)
    outputs, results = evaluate_stage(bench, rules)
    verdicts = gates_stage(bench, shipped, rules, outputs, found)
    return package_stage(bench, Findings(rules, results, verdicts, outputs, kept_in_float), out)


def gather(recipe: Recipe, data: Path, work: Path, *, smoke: bool = False) -> Bench:
    """Read every site's table; raises `DataError` where a patient is in two splits."""
    samples = [s for site in recipe.sites for s in read_site(data, site.spec)]
    return Bench(recipe, data, Stages(work), tuple(a_few(samples) if smoke else samples), smoke)


def data_stage(bench: Bench) -> list[Shortcut]:
    """Refuse leaking films, and classes that can be told without the chest, before any training.

    Raises
    ------
    DataError
        If films of different splits show the same.
    GateError
        If a model without anatomy does too well.
    """
    recipe, kept = bench.recipe, "shortcuts.json"

    def make() -> None:
        check_leaks(bench.data, bench.samples)
        found = shortcuts(bench.data, bench.split("train", "test"), recipe.input)
        (bench.stages.folder / kept).write_text(json.dumps([asdict(s) for s in found], indent=1))

    key = (recipe.input, split_sha256(bench.samples), [s.split for s in bench.samples])
    bench.stages.run("data", key, (kept,), make)
    found = json.loads((bench.stages.folder / kept).read_text())
    shortcuts_found = [Shortcut(**entry) for entry in found]
    if not bench.smoke:
        require(judge_data(shortcuts_found))
    return shortcuts_found


def train_stage(bench: Bench, report: Report) -> Weights:
    """Train from the published weights; leaves the averaged weights."""
    recipe, folder = bench.recipe, bench.stages.folder
    training, validation = bench.split("train"), bench.split("val")
    key = (recipe.train, recipe.input, split_sha256(training), split_sha256(validation))

    def make() -> None:
        torch.manual_seed(recipe.train.seed)
        network = Lite0(1, dropout=recipe.train.dropout)
        load_published(network, published_weights_path())
        sets = (
            bench.labelled(training),
            Labelled(validation, bench.images(validation)),
        )
        checkpoints = folder / f"train-{digest(key)[:12]}"
        checkpoints.mkdir(exist_ok=True)
        average = train(network, sets, recipe.train, recipe.input, checkpoints, report)
        torch.save(average.state_dict(), folder / WEIGHTS)

    return Weights(WEIGHTS, bench.stages.run("train", key, (WEIGHTS,), make))


def prune_stage(bench: Bench, trained: Weights, report: Report) -> Weights:
    """Cut channels and distil; nothing is done where the recipe has no ``[prune]``."""
    recipe, folder = bench.recipe, bench.stages.folder
    if recipe.prune is None:
        return trained
    training = bench.split("train")
    key = (trained.hashed, recipe.prune, recipe.input)

    def after(step: int, measured: dict[str, float]) -> None:
        report(recipe.train.steps + step, measured)

    def make() -> None:
        films = Films(bench.labelled(training), recipe.train, recipe.input)
        checkpoints = folder / f"prune-{digest(key)[:12]}"
        thin = prune(load_network(folder / WEIGHTS), films, recipe.prune, checkpoints, after)
        torch.save(thin.state_dict(), folder / PRUNED_WEIGHTS)

    return Weights(PRUNED_WEIGHTS, bench.stages.run("prune", key, (PRUNED_WEIGHTS,), make))


def damaged(bench: Bench) -> bool:
    """Whether eight bits cost, on the validation films, more than half of what the gates allow.

    Half, because the gates look at other films, and so few of them turn that chance decides.
    """
    samples, rules = bench.split("val"), decide_stage(bench)
    said = split_outputs(samples, bench.images(samples), bench.recipe.input, bench.graphs)
    return not all(verdict.passed for verdict in judge_eight_bits(said, rules, room=0.5))


def aware_stage(bench: Bench, begun: Weights, report: Report) -> Weights:
    """Fine-tune the network under rounding; its weights stand beside those it began from."""
    recipe, folder = bench.recipe, bench.stages.folder
    aware, kept = recipe.aware, recipe.int8.fp32_convolutions
    if aware is None:
        return begun
    key = (begun.hashed, aware, recipe.input, kept)

    def make() -> None:
        films = Films(bench.labelled(bench.split("train")), recipe.train, recipe.input)
        checkpoints = folder / f"aware-{digest(key)[:12]}"
        networks = load_network(folder / begun.file), load_network(folder / WEIGHTS)
        tuned = fine_tune(networks, films, aware, kept, checkpoints, report)
        torch.save(tuned.state_dict(), folder / AWARE_WEIGHTS)

    return Weights(AWARE_WEIGHTS, bench.stages.run("aware", key, (AWARE_WEIGHTS,), make))


def export_stage(bench: Bench, weights: Weights) -> str:
    """Write the FP32 graph; where the recipe prunes, that of the uncut network beside it."""
    recipe, folder = bench.recipe, bench.stages.folder
    graphs = {FP32_GRAPH: weights.file}
    if recipe.prune is not None:
        graphs[UNCUT_GRAPH] = WEIGHTS

    def make() -> None:
        for graph, source in graphs.items():
            export(load_network(folder / source), recipe.input.side_px, folder / graph)

    return bench.stages.run("export", (weights.hashed, recipe.input), tuple(graphs), make)


def int8_stage(bench: Bench, exported: str) -> tuple[str, ...]:
    """Write both INT8 graphs; return the names of the nodes kept in floating point."""
    recipe, folder = bench.recipe, bench.stages.folder
    names = "fp32_nodes.json"

    def make() -> None:
        training = bench.split("train")
        drawn = draw(training, np.random.default_rng(RANGE_SEED), recipe.int8.range_images)
        chosen = bench.images([training[i] for i in drawn])
        kept = quantize_both(
            folder / FP32_GRAPH,
            (folder / CPU_GRAPH, folder / TENSORRT_GRAPH),
            [prepare(image, recipe.input) for image in chosen],
            fp32_convolutions=recipe.int8.fp32_convolutions,
        )
        (folder / names).write_text(json.dumps(kept))

    files = (CPU_GRAPH, TENSORRT_GRAPH, names)
    bench.stages.run("int8", (exported, recipe.int8), files, make)
    return tuple(json.loads((folder / names).read_text()))


def decide_stage(bench: Bench) -> Rules:
    """Calibrate and choose the operating point and the abstention band, on validation only.

    The INT8 graph is what answers on the box, so its logits are what is calibrated.
    """
    recipe, samples = bench.recipe, bench.split("val")
    logits = graph_logits(bench.stages.folder / CPU_GRAPH, bench.images(samples), recipe.input)
    truth = labels(samples)
    sites = np.array([s.site for s in samples])
    platt = fit_platt(logits, truth, sites)
    probabilities = platt(logits)
    threshold = threshold_for(probabilities, truth, sites, recipe.target_sensitivity)
    lower, upper = abstention_band(probabilities, truth, sites, recipe.alpha)
    return Rules(platt, threshold, lower, upper)


def evaluate_stage(bench: Bench, rules: Rules) -> tuple[list[SplitOutputs], tuple[SiteResult, ...]]:
    """Measure every site's validation and test split with all three graphs."""
    outputs, results = [], []
    for split in ("val", "test"):
        for site in bench.recipe.sites:
            chosen = [s for s in bench.samples if s.site == site.spec.name and s.split == split]
            if not chosen:
                continue
            images = bench.images(chosen)
            said = split_outputs(chosen, images, bench.recipe.input, bench.graphs)
            outputs.append(said)
            results.append(measure(chosen, said.logits, rules))
    report = json.dumps([asdict(result) for result in results], indent=1)
    (bench.stages.folder / "results.json").write_text(report)
    return outputs, tuple(results)


def gates_stage(
    bench: Bench,
    shipped: Weights,
    rules: Rules,
    outputs: list[SplitOutputs],
    found: list[Shortcut],
) -> tuple[Gate, ...]:
    """Hold the model against the gates; what they say is kept in ``gates.json``.

    Raises
    ------
    GateError
        If any gate refuses (a smoke run goes on, and its package says that it is one).
    """
    recipe, folder = bench.recipe, bench.stages.folder
    network = load_network(folder / shipped.file)
    golden = list(golden_phantoms(recipe.input.side_px))
    subject = Subject(
        graphs=bench.graphs,
        input=recipe.input,
        rules=rules,
        data=bench.data,
        trained=recipe.trained,
        outputs=outputs,
        torch_logits=logits_of(network, golden, recipe.input)[:, 0],
    )
    verdicts = (*judge_data(found), *judge(subject, found))
    report = json.dumps([asdict(verdict) for verdict in verdicts], indent=1)
    (folder / "gates.json").write_text(report)
    if not bench.smoke:
        require(verdicts)
    return verdicts


def package_stage(bench: Bench, findings: Findings, out: Path) -> ModelManifest:
    """Write the package and read it back as the device does."""
    return write_package(bench.recipe, bench.stages.folder, bench.samples, findings, out)
