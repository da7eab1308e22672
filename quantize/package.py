"""Writes a model package: graphs, golden vectors, card and the manifest that pins them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from appliance.manifest import (
    MANIFEST_NAME,
    SCHEMA,
    Abstention,
    Calibration,
    Golden,
    ModelManifest,
    OperatingPointSpec,
    Quantization,
    Split,
    Task,
    TrainingData,
    load_manifest,
)
from quantize.card import CardEvidence, card
from quantize.data import SPLITS, labels, split_sha256
from quantize.decide import PREVALENCE
from quantize.manifest_writer import toml
from quantize.metrics import weighted_share
from quantize.phantoms import GOLDEN_COUNT, golden_phantoms
from quantize.plots import write_plots
from quantize.stages import file_sha256
from quantize.strata import strata

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from appliance.manifest import SiteResult
    from quantize.data import Sample
    from quantize.evaluate import Rules, SplitOutputs
    from quantize.gates import Gate
    from quantize.spec import Recipe

GRAPHS = ("model.cpu.onnx", "model.trt.onnx")
# Logits: below this, engines differ by the order of their sums alone.
_LEAST_TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class Findings:
    """What a run found out."""

    rules: Rules
    results: tuple[SiteResult, ...]
    gates: tuple[Gate, ...]
    outputs: Sequence[SplitOutputs]
    kept_in_float: tuple[str, ...]


def write_package(
    recipe: Recipe, folder: Path, samples: Sequence[Sample], findings: Findings, out: Path
) -> ModelManifest:
    """Write the package into `out` and read it back, every hash verified.

    Parameters
    ----------
    folder
        The run's folder, which holds both graphs.
    samples
        All samples of all sites.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in GRAPHS:
        shutil.copyfile(folder / name, out / name)
    tolerance = _write_golden(recipe, out)
    golden = Golden(cpu_tolerance=tolerance, n=GOLDEN_COUNT)
    manifest = _manifest(recipe, samples, findings, golden)
    drawn = write_plots(findings.outputs, findings.rules, out)
    notes = recipe.path.with_suffix(".notes.md")
    evidence = CardEvidence(
        gates=findings.gates,
        plots=drawn,
        strata=strata(findings.outputs, findings.rules),
        notes=notes.read_text(encoding="utf-8") if notes.is_file() else "",
    )
    (out / "card.md").write_text(card(manifest, evidence), encoding="utf-8")
    files = {name: file_sha256(out / name) for name in ("card.md", "golden.npz", *GRAPHS, *drawn)}
    (out / MANIFEST_NAME).write_text(toml(replace(manifest, files=files)), encoding="utf-8")
    return load_manifest(out)


def _write_golden(recipe: Recipe, out: Path) -> float:
    """Write golden.npz; return the tolerance that another engine is allowed.

    The tolerance is three times what separates ONNX Runtime's integer kernels from its floating
    point run of the same Q/DQ graph: two correct answers that differ by rounding.
    """
    inputs = golden_phantoms(recipe.input.side_px)
    logits = _golden_logits(recipe, out / GRAPHS[0], inputs, optimize=True)
    in_float = _golden_logits(recipe, out / GRAPHS[0], inputs, optimize=False)
    np.savez_compressed(out / "golden.npz", inputs=inputs, logits=logits)
    return round(max(_LEAST_TOLERANCE, 3 * float(np.abs(logits - in_float).max())), 3)


def _golden_logits(
    recipe: Recipe, graph: Path, inputs: NDArray[np.uint8], *, optimize: bool
) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    spec = recipe.input
    batches = (inputs.astype(np.float32) / np.float32(255) - spec.mean) / spec.std
    batches = batches.astype(np.float32)[:, np.newaxis, np.newaxis]
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: batch})[0] for batch in batches])


def _manifest(
    recipe: Recipe, samples: Sequence[Sample], findings: Findings, golden: Golden
) -> ModelManifest:
    validation = [s for s in samples if s.split == "val" and s.site in recipe.trained]
    truth = labels(validation)
    n_positive, n_negative = int(truth.sum()), int((~truth).sum())
    rules, code = findings.rules, recipe.output.code
    where = "validation splits of " + " and ".join(dict.fromkeys(s.site for s in validation))
    even = f"{where}, every site and class weighted the same"
    on_validation = [r for r in findings.results if r.split == "val"]
    return ModelManifest(
        schema=SCHEMA,
        id=recipe.id,
        version=recipe.version,
        title=recipe.title,
        task=Task.CLASSIFICATION,
        licence=recipe.licence,
        files={},
        input=recipe.input,
        outputs=(recipe.output,),
        calibration=(
            Calibration(
                code, rules.platt.slope, rules.platt.intercept, PREVALENCE, even, len(validation)
            ),
        ),
        operating_points=(
            OperatingPointSpec(
                output=code,
                name=recipe.operating_point_name,
                threshold=rules.threshold,
                target_sensitivity=recipe.target_sensitivity,
                chosen_on=even,
                n_positive=n_positive,
                n_negative=n_negative,
                sensitivity=weighted_share([r.sensitivity for r in on_validation]),
                specificity=weighted_share([r.specificity for r in on_validation]),
            ),
        ),
        abstention=(
            Abstention(code, recipe.alpha, rules.lower, rules.upper, n_positive, n_negative),
        ),
        intended_use=recipe.intended_use,
        data=_data(recipe, samples),
        results=findings.results,
        quantization=_quantization(recipe, findings.kept_in_float),
        golden=golden,
        research_only=recipe.research,
    )


def _data(recipe: Recipe, samples: Sequence[Sample]) -> tuple[TrainingData, ...]:
    entries = []
    for site in recipe.sites:
        splits = []
        for name in SPLITS:
            members = [s for s in samples if s.site == site.spec.name and s.split == name]
            if members:
                positive = int(labels(members).sum())
                sha256 = split_sha256(members)
                splits.append(Split(name, positive, len(members) - positive, sha256))
        use = "measured only" if site.spec.measure_only else "trained, calibrated and measured"
        entries.append(
            TrainingData(site.spec.name, site.title, site.licence, site.source, use, tuple(splits))
        )
    return tuple(entries)


def _quantization(recipe: Recipe, kept_in_float: tuple[str, ...]) -> Quantization:
    return Quantization(
        recipe=f"quantize/recipes/{recipe.path.name}",
        tool=f"onnxruntime {onnxruntime.__version__}, static, Q/DQ, per-channel weights",
        range_calibration=(
            "MinMax over training images drawn evenly over sites and classes; head bias corrected"
        ),
        n_images=recipe.int8.range_images,
        fp32_nodes=kept_in_float,
        cpu="activations unsigned 8 bits asymmetric, weights signed 8 bits, biases 32 bits",
        tensorrt="activations and weights signed 8 bits symmetric, zero point 0, biases float",
        pruning=_pruning(recipe),
    )


def _pruning(recipe: Recipe) -> str:
    made = recipe.prune
    if made is None:
        return "none"
    return (
        f"{made.ratio:.0%} of the channels of every group in {made.rounds} cuts (Taylor "
        f"importance), counts rounded to 16, then {made.steps} steps of distillation "
        f"({made.teacher_weight:.0%} teacher)"
    )
