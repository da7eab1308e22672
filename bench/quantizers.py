"""One network quantized with three tools, on the same images: what it costs, what it breaks.

ONNX Runtime (what the workbench uses), NVIDIA's Model Optimizer and NNCF each work in an
environment of their own (`bench/quantize_with.py`), once as they come and once with the workbench's
settings: the same nodes in floating point, ranges from minimum and maximum, the head's bias
corrected. The result is ``bench/out/quantizers.json``; `bench/quantizers_report.py` writes
docs/quantizers.md of it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from machine import describe, save

from appliance.manifest import Interval
from appliance.preprocess import prepare
from quantize.data import SPLITS, labels, read_grey, read_site
from quantize.decide import fit_platt, threshold_for
from quantize.evaluate import Rules, open_graph
from quantize.metrics import auroc
from quantize.spec import read_recipe
from quantize.stages import Stages, file_sha256
from quantize.tensorrt_contract import build_ahead, check_graph, rtx_trouble

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from quantize.data import Sample
    from quantize.metrics import Scores, Truth
    from quantize.spec import Recipe

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / ".cache" / "quantize"
PREFERRED = ("cxr-pneumonia-1.0.0", RUNS / "cxr-pneumonia" / "1.0.0")
SHORT = ("pneumoniamnist", RUNS / "pneumoniamnist" / "0.2.0")  # ten minutes of training
FP32_GRAPH = "model.fp32.onnx"
KEPT = "kept.json"  # names of the nodes that our way keeps in floating point
ENVIRONMENTS = {"onnxruntime": ".venv-bench", "modelopt": ".venv-modelopt", "nncf": ".venv-nncf"}
RESAMPLES = 2000
ROUNDS, RUNS_A_ROUND = 60, 5


@dataclass(frozen=True, slots=True)
class Way:
    """One tool with one group of settings.

    Parameters
    ----------
    form
        ``cpu`` or ``tensorrt``: the engine that the graph is for.
    ours
        With the workbench's settings; False is the tool as it comes.
    """

    key: str
    title: str
    tool: str
    form: str
    ours: bool


WAYS = (
    Way("waypost_cpu", "ONNX Runtime, our settings, CPU", "waypost", "cpu", ours=True),
    Way("waypost_trt", "ONNX Runtime, our settings, TensorRT", "waypost", "tensorrt", ours=True),
    Way("onnxruntime", "ONNX Runtime as it comes", "onnxruntime", "cpu", ours=False),
    Way("modelopt_ours", "Model Optimizer, our settings", "modelopt", "tensorrt", ours=True),
    Way("modelopt", "Model Optimizer as it comes", "modelopt", "tensorrt", ours=False),
    Way("nncf_cpu", "NNCF, our settings, CPU", "nncf", "cpu", ours=True),
    Way("nncf_trt", "NNCF, our settings, TensorRT", "nncf", "tensorrt", ours=True),
    Way("nncf", "NNCF as it comes", "nncf", "cpu", ours=False),
)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a tool's process used: wall and CPU seconds, and what it says of itself at its end."""

    wall_s: float
    cpu_s: float
    peak_mb: int
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Damage:
    """What eight bits did to one split.

    Parameters
    ----------
    auroc_loss
        FP32's AUROC minus the graph's, with the paired bootstrap's 95 % interval.
    flips
        Decisions at the threshold that are not FP32's, of `n`.
    mean_change, max_change
        Of the probability, absolute.
    """

    auroc: float
    auroc_loss: Interval
    flips: int
    n: int
    mean_change: float
    max_change: float


def paired_bootstrap(
    truth: Truth,
    scores: Scores,
    reference: Scores,
    groups: Sequence[str],
    *,
    resamples: int = RESAMPLES,
) -> Interval:
    """AUROC of `reference` minus that of `scores`, with its 95 % percentile interval.

    Parameters
    ----------
    truth, scores, reference
        bool and float64 (n,), of the same images: each resample scores both on the same ones.
    groups
        Patients (n,); they are resampled, not their films. An empty name is a patient of its own.
    """
    names = [name or f"image {index}" for index, name in enumerate(groups)]
    _, place = np.unique(np.asarray(names), return_inverse=True)
    count = int(place.max()) + 1
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), resamples)
    weights = drawn[:, place].astype(np.float64)
    positive, negative = weights[:, truth], weights[:, ~truth]
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    lost = _won(truth, reference) - _won(truth, scores)
    sums = ((positive @ lost) * negative).sum(axis=1)
    low, high = np.percentile(sums[pairs > 0] / pairs[pairs > 0], (2.5, 97.5))
    return Interval(auroc(truth, reference) - auroc(truth, scores), float(low), float(high))


def _won(truth: Truth, scores: Scores) -> NDArray[np.float64]:
    """Say of each positive (row) whether it scores above each negative (column); ties are 1/2."""
    apart = scores[truth][:, np.newaxis] - scores[~truth]
    return np.asarray((np.sign(apart) + 1) / 2, dtype=np.float64)


def damage(
    truth: Truth, scores: Scores, reference: Scores, rules: Rules, groups: Sequence[str]
) -> Damage:
    """Compare a graph's logits float64 (n,) with FP32's on the same images."""
    probabilities, before = rules.platt(scores), rules.platt(reference)
    change = np.abs(probabilities - before)
    turned = (probabilities >= rules.threshold) != (before >= rules.threshold)
    return Damage(
        auroc=auroc(truth, scores),
        auroc_loss=paired_bootstrap(truth, scores, reference, groups),
        flips=int(turned.sum()),
        n=int(truth.size),
        mean_change=float(change.mean()),
        max_change=float(change.max()),
    )


def logits_of(graph: Path, batches: Sequence[NDArray[np.float32]], *, optimize: bool) -> Scores:
    """Run a graph over network inputs (1, 1, side, side), one thread; logits float64 (n,).

    Of several outputs of the network the first one's.
    """
    session = open_graph(graph, optimize=optimize, threads=1)
    name = session.get_inputs()[0].name
    rows = [session.run(["logits"], {name: batch})[0][0, 0] for batch in batches]
    return np.array(rows, dtype=np.float64)


def broken_rules(graph: Path) -> dict[str, int]:
    """Count, by rule, where the graph breaks `quantize.tensorrt_contract`."""
    return dict(Counter(found.rule for found in check_graph(graph)))


def times_ms(graphs: dict[str, Path], batch: NDArray[np.float32], rounds: int) -> dict[str, float]:
    """Time graphs in turn on one thread; return each one's fastest run, in ms.

    Other work on the machine slows all of them alike, and a minimum forgets it.
    """
    sessions = {name: open_graph(path, threads=1) for name, path in graphs.items()}
    best = dict.fromkeys(sessions, float("inf"))
    for _ in range(rounds):
        for name, session in sessions.items():
            feed = {session.get_inputs()[0].name: batch}
            for _ in range(RUNS_A_ROUND):
                start = time.perf_counter()
                session.run(None, feed)
                best[name] = min(best[name], 1000 * (time.perf_counter() - start))
    return best


def folder_mb(folder: Path) -> int:
    """Return what a folder takes on the disk, in MB (10^6 bytes); links are not followed."""
    blocks = (path.lstat().st_blocks for path in folder.rglob("*"))
    return round(512 * sum(blocks) / 1e6)


def spend(command: Sequence[str], log: Path) -> Spent:
    """Run a command on one OpenMP thread; what it prints goes into `log`.

    Raises
    ------
    RuntimeError
        If it fails.
    """
    start = time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=subprocess.STDOUT, env=environment, cwd=ROOT
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    lines = log.read_text(encoding="utf-8").splitlines()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:3])} failed: {' '.join(lines[-3:])}")
    return Spent(
        wall_s=time.perf_counter() - start,
        cpu_s=usage.ru_utime + usage.ru_stime,
        **json.loads(lines[-1]),
    )


@dataclass(frozen=True, slots=True)
class Subject:
    """The network that is quantized, with its images."""

    recipe: Recipe
    fp32: Path
    inputs: list[NDArray[np.float32]]
    validation: list[Sample]
    test: list[Sample]
    data: Path

    def batches(self, samples: Sequence[Sample]) -> list[NDArray[np.float32]]:
        """Decode images and prepare them as the device does, (1, 1, side, side) each."""
        images = (read_grey(self.data / s.site / s.file) for s in samples)
        return [prepare(image, self.recipe.input) for image in images]


def gather(recipe_path: Path, fp32: Path, data: Path) -> Subject:
    """Read the splits of the trained sites; draw the range images as the workbench draws them."""
    from quantize.recipe import RANGE_SEED  # noqa: PLC0415 - needs torch
    from quantize.train import draw  # noqa: PLC0415

    recipe = read_recipe(recipe_path)
    sites = [site.spec for site in recipe.sites if site.spec.name in recipe.trained]
    samples = [sample for spec in sites for sample in read_site(data, spec)]
    train, val, test = ([s for s in samples if s.split == split] for split in SPLITS)
    drawn = draw(train, np.random.default_rng(RANGE_SEED), recipe.int8.range_images)
    chosen = [read_grey(data / train[i].site / train[i].file) for i in drawn]
    inputs = [prepare(image, recipe.input) for image in chosen]
    return Subject(recipe, fp32, inputs, val, test, data)


def make_all(subject: Subject, folder: Path) -> tuple[dict[str, Path], dict[str, Spent]]:
    """Let each tool make its graphs in `folder`; return where they lie and what was spent.

    What was made of the same network by the same settings is not made again.
    """
    stages = Stages(folder)
    np.save(folder / "inputs.npy", np.stack(subject.inputs))
    _folded(subject.fp32, folder / "folded.onnx")
    graphs: dict[str, Path] = {}
    spent: dict[str, Spent] = {}
    key = (file_sha256(subject.fp32), file_sha256(folder / "inputs.npy"), subject.recipe.int8)
    for way in WAYS:
        graphs[way.key] = folder / f"{way.key}.onnx"
        if way.key == "waypost_trt":  # one run makes both
            graphs[way.key] = folder / "waypost_cpu.trt.onnx"
            spent[way.key] = spent["waypost_cpu"]
            continue
        print(f"{way.title} …", flush=True)
        note = f"{way.key}.json"

        def make(way: Way = way, note: str = note) -> None:
            used = _make(way, subject, folder)
            (folder / note).write_text(json.dumps(asdict(used)), encoding="utf-8")

        extra = (KEPT, "waypost_cpu.trt.onnx") if way.tool == "waypost" else ()
        stages.run(way.key, (key, way), (f"{way.key}.onnx", note, *extra), make)
        spent[way.key] = Spent(**json.loads((folder / note).read_text(encoding="utf-8")))
    return graphs, spent


def _make(way: Way, subject: Subject, folder: Path) -> Spent:
    python = ROOT / ENVIRONMENTS.get(way.tool, ENVIRONMENTS["onnxruntime"]) / "bin" / "python"
    others, out = way.ours and way.tool != "waypost", folder / f"{way.key}.onnx"
    source = folder / "folded.onnx" if others else subject.fp32
    command = [str(python), "bench/quantize_with.py", way.tool, str(source)]
    command += [str(folder / "inputs.npy"), str(out), "--form", way.form]
    if way.ours:
        kept_convolutions = str(subject.recipe.int8.fp32_convolutions)
        command += ["--keep", str(folder / KEPT), "--fp32-convolutions", kept_convolutions]
    spent = spend(command, out.with_suffix(".log"))
    if others:
        from quantize.int8 import centre  # noqa: PLC0415 - needs torch

        centre(out, subject.fp32, subject.inputs)
    return spent


def _folded(fp32: Path, target: Path) -> None:
    """Write the graph with its constants folded, as our own way quantizes it."""
    from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415

    quant_pre_process(str(fp32), str(target), skip_symbolic_shape=True)
    model = onnx.load(target)
    used = {node.domain for node in model.graph.node}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    onnx.save(model, target)


def compare(subject: Subject, graphs: dict[str, Path]) -> dict[str, Damage]:
    """Hold every graph against FP32 on the test split.

    Calibration and threshold are FP32's own, from the validation split, and serve all graphs.
    """
    rules = _rules(subject)
    batches, truth = subject.batches(subject.test), labels(subject.test)
    patients = [sample.patient for sample in subject.test]
    reference = logits_of(subject.fp32, batches, optimize=True)
    found = {"fp32": damage(truth, reference, reference, rules, patients)}
    for way in WAYS:
        logits = logits_of(graphs[way.key], batches, optimize=way.form == "cpu")
        found[way.key] = damage(truth, logits, reference, rules, patients)
    return found


def _rules(subject: Subject) -> Rules:
    batches, truth = subject.batches(subject.validation), labels(subject.validation)
    sites = np.array([sample.site for sample in subject.validation])
    logits = logits_of(subject.fp32, batches, optimize=True)
    platt = fit_platt(logits, truth, sites)
    threshold = threshold_for(platt(logits), truth, sites, subject.recipe.target_sensitivity)
    return Rules(platt, threshold, threshold, threshold)


def built(graph: Path) -> dict[str, Any]:
    """Return what TensorRT-RTX says of the graph; its own word where it refuses or is not here."""
    trouble = rtx_trouble()
    return {"trouble": trouble, "engine_bytes": 0} if trouble else asdict(build_ahead(graph))


def measure(subject: Subject, folder: Path) -> dict[str, Any]:
    """Make, compare, time and build all graphs; return what bench/out/quantizers.json holds."""
    machine = describe()
    graphs, spent = make_all(subject, folder)
    damages = compare(subject, graphs)
    everything = {"fp32": subject.fp32, **graphs}
    fastest = times_ms(everything, subject.inputs[0], ROUNDS)
    rows = {}
    for key, path in everything.items():
        rows[key] = {
            "damage": asdict(damages[key]),
            "bytes": path.stat().st_size,
            "fastest_ms": fastest[key],
            "broken_rules": broken_rules(path),
            "built": built(path),
            "spent": asdict(spent[key]) if key in spent else None,
        }
    return {
        "machine": machine,
        "network": f"{subject.recipe.id} {subject.recipe.version}",
        "side_px": subject.recipe.input.side_px,
        "range_images": len(subject.inputs),
        "n_positive": int(labels(subject.test).sum()),
        "n": len(subject.test),
        "fp32_convolutions": subject.recipe.int8.fp32_convolutions,
        "resamples": RESAMPLES,
        "environments_mb": {name: folder_mb(ROOT / at) for name, at in ENVIRONMENTS.items()},
        "rows": rows,
    }


def train_short(data: Path) -> Path:
    """Unpack PneumoniaMNIST, train its recipe; return the folder of the unpacked set.

    The gates refuse that model (a benchmark of 28 pixels); its FP32 graph is there all the same.
    """
    unpacked = ROOT / ".cache" / "data"
    command = [sys.executable, "-m", "quantize"]
    where = ["--data", str(data), "--out", str(unpacked)]
    if not (unpacked / "pneumoniamnist" / "labels.csv").is_file():
        subprocess.run([*command, "unpack", "pneumoniamnist", *where], check=True, cwd=ROOT)
    if not (SHORT[1] / FP32_GRAPH).is_file():
        recipe = ["quantize/recipes/pneumoniamnist.toml", "--data", str(unpacked)]
        out = ["--out", ".cache/pneumoniamnist", "--threads", "1"]
        subprocess.run([*command, "run", *recipe, *out], check=False, cwd=ROOT)
    return unpacked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    given = parser.parse_args()
    (name, run), data = PREFERRED, given.data
    if not (run / FP32_GRAPH).is_file():
        (name, run), data = SHORT, train_short(given.data)
    subject = gather(ROOT / "quantize" / "recipes" / f"{name}.toml", run / FP32_GRAPH, data)
    save("quantizers", measure(subject, run / "quantizers"))


if __name__ == "__main__":
    main()
