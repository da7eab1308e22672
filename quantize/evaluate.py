"""What a graph does on a site, measured with the device's own preprocessing and engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from appliance.manifest import Interval, SiteResult
from appliance.preprocess import prepare
from quantize.data import labels
from quantize.metrics import (
    auroc_difference,
    auroc_interval,
    calibration_error,
    even_weights,
    share,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from appliance.manifest import InputSpec
    from quantize.data import Sample
    from quantize.decide import Platt
    from quantize.metrics import Scores


@dataclass(frozen=True, slots=True)
class Rules:
    """What turns a logit into a decision."""

    platt: Platt
    threshold: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Graphs:
    """Where the graphs of a network lie; None where one is not to be had.

    Parameters
    ----------
    uncut
        The FP32 graph of the network before its channels were cut.
    """

    cpu: Path
    tensorrt: Path | None = None
    fp32: Path | None = None
    uncut: Path | None = None


@dataclass(frozen=True, slots=True)
class GraphLogits:
    """Logits (n,) of the three graphs on the same images; None where a graph was not run."""

    cpu: Scores
    fp32: Scores | None = None
    tensorrt: Scores | None = None


@dataclass(frozen=True, slots=True)
class GraphOutputs:
    """What a graph says of some films: logits float64 (n,), maps float32 (n, rows, columns)."""

    logits: Scores
    cams: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SplitOutputs:
    """What the three graphs say of one split of one site."""

    samples: Sequence[Sample]
    cpu: GraphOutputs
    fp32: GraphOutputs | None = None
    tensorrt: GraphOutputs | None = None

    @property
    def logits(self) -> GraphLogits:
        """The logits alone."""
        fp32 = self.fp32.logits if self.fp32 else None
        return GraphLogits(self.cpu.logits, fp32, self.tensorrt.logits if self.tensorrt else None)


def open_graph(
    graph: Path | str, *, optimize: bool = True, threads: int = 0
) -> onnxruntime.InferenceSession:
    """Open a graph for the CPU.

    Parameters
    ----------
    optimize
        False runs the graph node by node as it is written: the nearest that ONNX Runtime comes to
        what TensorRT makes of its Q/DQ pairs.
    threads
        0 leaves the number to ONNX Runtime.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(
        str(graph), sess_options=options, providers=["CPUExecutionProvider"]
    )


def graph_outputs(
    graph: Path | str,
    images: Sequence[NDArray[np.uint8]],
    spec: InputSpec,
    *,
    optimize: bool = True,
) -> GraphOutputs:
    """Run a graph over displayed images; of its outputs the first finding's."""
    session = open_graph(graph, optimize=optimize)
    name = session.get_inputs()[0].name
    rows = [session.run(["logits", "cam"], {name: prepare(image, spec)}) for image in images]
    logits = np.array([row[0][0, 0] for row in rows], dtype=np.float64)
    return GraphOutputs(logits, np.stack([row[1][0, 0] for row in rows]))


def graph_logits(
    graph: Path, images: Sequence[NDArray[np.uint8]], spec: InputSpec, *, optimize: bool = True
) -> Scores:
    """Run a graph over displayed images and keep the logits (n,) only."""
    return graph_outputs(graph, images, spec, optimize=optimize).logits


def split_outputs(
    samples: Sequence[Sample],
    images: Sequence[NDArray[np.uint8]],
    spec: InputSpec,
    graphs: Graphs,
) -> SplitOutputs:
    """Run all graphs over one split."""
    return SplitOutputs(
        samples=samples,
        cpu=graph_outputs(graphs.cpu, images, spec),
        fp32=graph_outputs(graphs.fp32, images, spec) if graphs.fp32 else None,
        tensorrt=(
            graph_outputs(graphs.tensorrt, images, spec, optimize=False)
            if graphs.tensorrt
            else None
        ),
    )


def measure(samples: Sequence[Sample], logits: GraphLogits, rules: Rules) -> SiteResult:
    """Measure the CPU graph on one split of one site, and what quantization did to it."""
    truth = labels(samples)
    both = bool(truth.any() and not truth.all())
    probabilities = rules.platt(logits.cpu)
    decided = probabilities >= rules.threshold
    unsure = (probabilities > rules.lower) & (probabilities < rules.upper)
    n_positive, n_negative = int(truth.sum()), int((~truth).sum())
    answered_positive, answered_negative = truth & ~unsure, ~truth & ~unsure
    sites = np.array([sample.site for sample in samples])
    return SiteResult(
        data_set=samples[0].site,
        split=samples[0].split,
        n_positive=n_positive,
        n_negative=n_negative,
        abstained=share(int(unsure.sum()), truth.size),
        auroc=auroc_interval(truth, logits.cpu) if both else None,
        sensitivity=_share_within(decided, truth),
        specificity=_share_within(~decided, ~truth),
        answered_sensitivity=_share_within(decided, answered_positive),
        answered_specificity=_share_within(~decided, answered_negative),
        calibration_error=(
            calibration_error(truth, probabilities, even_weights(truth, sites)) if both else None
        ),
        **_against_fp32(truth, logits, rules),
        **_tensorrt_against_cpu(logits, rules),
    )


def _share_within(what: NDArray[np.bool_], group: NDArray[np.bool_]) -> Interval | None:
    n = int(group.sum())
    return share(int((what & group).sum()), n) if n else None


def _against_fp32(truth: NDArray[np.bool_], logits: GraphLogits, rules: Rules) -> dict[str, object]:
    if logits.fp32 is None:
        return {}
    both = bool(truth.any() and not truth.all())
    change = np.abs(rules.platt(logits.cpu) - rules.platt(logits.fp32))
    return {
        "fp32_auroc": auroc_interval(truth, logits.fp32) if both else None,
        "auroc_difference": auroc_difference(truth, logits.cpu, logits.fp32) if both else None,
        "flips": _flips(logits.cpu, logits.fp32, rules),
        "mean_probability_change": float(change.mean()),
        "max_probability_change": float(change.max()),
    }


def _tensorrt_against_cpu(logits: GraphLogits, rules: Rules) -> dict[str, object]:
    if logits.tensorrt is None:
        return {}
    change = np.abs(rules.platt(logits.cpu) - rules.platt(logits.tensorrt))
    return {
        "tensorrt_flips": _flips(logits.cpu, logits.tensorrt, rules),
        "tensorrt_mean_probability_change": float(change.mean()),
    }


def _flips(first: Scores, second: Scores, rules: Rules) -> Interval:
    one, other = (rules.platt(x) >= rules.threshold for x in (first, second))
    return share(int((one != other).sum()), one.size)
