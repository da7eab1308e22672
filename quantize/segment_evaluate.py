"""How well a graph outlines, film by film, with the device's own preprocessing and outline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from appliance.manifest import Interval, SiteResult
from appliance.measure import doubt_about_lungs, outline
from appliance.preprocess import prepare
from quantize.metrics import share

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from appliance.domain import Outline
    from appliance.manifest import InputSpec, OutputSpec
    from quantize.segment_data import Films

    Figures = NDArray[np.float64]

_RESAMPLES = 2000
_SEED = 20240601


def run_graph(
    graph: Path, images: Sequence[NDArray[np.uint8]], spec: InputSpec, *, optimize: bool = True
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Run a graph over displayed images; each gives its logits (outputs,) and map (outputs, h, w).

    Parameters
    ----------
    optimize
        False runs the graph node by node as it is written: the nearest that ONNX Runtime comes to
        what TensorRT makes of its Q/DQ pairs.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        str(graph), sess_options=options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    answers = (session.run(None, {name: prepare(image, spec)}) for image in images)
    return [(logits[0], cam[0]) for logits, cam in answers]


def outlines_of(
    graph: Path, films: Films, spec: InputSpec, output: OutputSpec, *, optimize: bool = True
) -> list[Outline]:
    """Outline every film as the device does, at the film's own size."""
    answers = run_graph(graph, films.images, spec, optimize=optimize)
    return [
        outline(cam[0], image.shape[0], image.shape[1], output.code, output.label)
        for image, (_, cam) in zip(films.images, answers, strict=True)
    ]


def dice(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Overlap of two masks (0 or 255): twice the common area over the sum of both (0 to 1)."""
    one, other = first > 0, second > 0
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0


def mean_interval(values: Figures, patients: Sequence[str]) -> Interval:
    """Mean with its percentile bootstrap interval; patients are resampled, not films."""
    names, place = np.unique(np.asarray(patients), return_inverse=True)
    totals = np.bincount(place, weights=values)
    counts = np.bincount(place)
    rng = np.random.default_rng(_SEED)
    drawn = rng.integers(0, names.size, (_RESAMPLES, names.size))
    means = totals[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return Interval(float(values.mean()), float(low), float(high))


def measure_outlines(
    films: Films, cpu: list[Outline], fp32: list[Outline] | None, tensorrt: list[Outline] | None
) -> SiteResult:
    """Measure the CPU graph's outlines on one split of one site, and what quantization did.

    Every film counts, also one whose outline the device would not show (`abstained`).
    """
    patients = [sample.patient for sample in films.samples]

    def dices(outlines: list[Outline]) -> Figures:
        pairs = zip(outlines, films.masks, strict=True)
        return np.array([dice(drawn.mask, truth) for drawn, truth in pairs])

    ours = dices(cpu)
    theirs = None if fp32 is None else dices(fp32)
    doubted = sum(doubt_about_lungs(drawn) is not None for drawn in cpu)
    return SiteResult(
        data_set=films.samples[0].site,
        split=films.samples[0].split,
        n_positive=len(films.samples),
        n_negative=0,
        abstained=share(doubted, len(films.samples)),
        dice=mean_interval(ours, patients),
        fp32_dice=None if theirs is None else mean_interval(theirs, patients),
        dice_difference=None if theirs is None else mean_interval(ours - theirs, patients),
        tensorrt_dice_difference=(
            None if tensorrt is None else mean_interval(dices(tensorrt) - ours, patients)
        ),
    )
