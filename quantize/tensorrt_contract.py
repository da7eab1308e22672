"""What a graph must be for TensorRT to take it, checked without TensorRT; and a trial build.

The rules are those of explicit quantization that TensorRT's parser and builder were seen to enforce
(docs/tensorrt.md): a graph that breaks one is refused on the box, where nobody can mend it.
"""

from __future__ import annotations

import functools
import importlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from appliance.inference.tensorrt_gpu import Logger, build_engine, possible_variants

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "NEWEST_OPSET",
    "OPERATORS",
    "BuildReport",
    "Violation",
    "build_ahead",
    "check_graph",
    "rtx_trouble",
]

NEWEST_OPSET = 17  # TensorRT 8.5 of JetPack 5; each later one takes it too
# What our networks are, or may come to be, made of. Before another one is added here, a graph with
# it is built ahead, and NVIDIA's operator table of the parser is looked at.
OPERATORS = frozenset(
    {
        *("Add", "AveragePool", "Clip", "Concat", "Conv", "ConvTranspose", "Flatten", "Gemm"),
        *("GlobalAveragePool", "Identity", "MaxPool", "Mul", "ReduceMean", "Relu", "Reshape"),
        *("Resize", "Sigmoid", "QuantizeLinear", "DequantizeLinear"),
    }
)
OUTPUTS = ("logits", "cam")
_LINEAR = frozenset({"QuantizeLinear", "DequantizeLinear"})
# Which axis of a weight tensor counts the output channels.
_CHANNEL_AXIS = {"Conv": 0, "ConvTranspose": 1}


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that the graph breaks, and where."""

    rule: str
    node: str
    text: str


def check_graph(path: Path, outputs: Sequence[str] = OUTPUTS) -> list[Violation]:
    """Return every rule that the graph breaks; an empty list is a graph that TensorRT takes.

    Parameters
    ----------
    outputs
        Names of the outputs that the graph must have.

    Rules
    -----
    ``opset``, ``operator``
        At most `NEWEST_OPSET`, no foreign domain, only `OPERATORS`.
    ``zero_point``
        Signed 8 bits and zero at every Q and DQ: TensorRT quantizes symmetrically.
    ``bias``
        No 32-bit integer goes through a DQ: biases are float.
    ``weights``
        Quantized convolution weights have one scale an output channel.
    ``scale``
        Every scale is a positive number; an activation has one.
    ``output``
        The named outputs are there.
    """
    graph = _Graph(onnx.load(path))
    return [
        *_check_names(graph, outputs),
        *(found for node in graph.linear() for found in _check_linear(graph, node)),
        *(found for node in graph.nodes() for found in _check_weights(graph, node)),
    ]


class _Graph:
    """A model with its constants and producers by name."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.constants = {entry.name: entry for entry in model.graph.initializer}
        self.producers = {name: node for node in model.graph.node for name in node.output}

    def nodes(self) -> Iterator[onnx.NodeProto]:
        yield from self.model.graph.node

    def linear(self) -> Iterator[onnx.NodeProto]:
        return (node for node in self.nodes() if node.op_type in _LINEAR)

    def constant(self, node: onnx.NodeProto, index: int) -> NDArray[Any] | None:
        entry = self.constants.get(node.input[index]) if len(node.input) > index else None
        return None if entry is None else np.asarray(numpy_helper.to_array(entry))

    def weights(self, dequantize: onnx.NodeProto) -> TensorProto | None:
        """Return the constant that goes through this DQ, by way of a Q or not."""
        source = self.producers.get(dequantize.input[0])
        through = source is not None and source.op_type == "QuantizeLinear"
        name = source.input[0] if source is not None and through else dequantize.input[0]
        return self.constants.get(name)


def _check_names(graph: _Graph, outputs: Sequence[str]) -> Iterator[Violation]:
    for entry in graph.model.opset_import:
        if entry.domain not in {"", "ai.onnx"}:
            yield Violation("opset", "", f"the operator set {entry.domain} is foreign")
        elif entry.version > NEWEST_OPSET:
            yield Violation("opset", "", f"operator set {entry.version}, newest {NEWEST_OPSET}")
    for node in graph.nodes():
        if node.op_type not in OPERATORS:
            yield Violation("operator", node.name, f"{node.op_type} is not in the table")
    there = {entry.name for entry in graph.model.graph.output}
    for name in outputs:
        if name not in there:
            yield Violation("output", name, f"the graph has no output {name}")


def _check_linear(graph: _Graph, node: onnx.NodeProto) -> Iterator[Violation]:
    constant = graph.constants.get(node.input[0])
    if constant is not None and constant.data_type == TensorProto.INT32:
        yield Violation("bias", node.name, "a 32-bit integer constant goes through a DQ")
        return
    zero_point, scale = graph.constant(node, 2), graph.constant(node, 1)
    if zero_point is None or zero_point.dtype != np.int8:
        kind = "absent" if zero_point is None else zero_point.dtype.name
        yield Violation("zero_point", node.name, f"the zero point is {kind}, not int8")
    elif zero_point.any():
        yield Violation("zero_point", node.name, "the zero point is not 0")
    if scale is None or not (np.isfinite(scale).all() and (scale > 0).all()):
        yield Violation("scale", node.name, "a scale is absent or not a positive number")
    elif scale.ndim > 0 and graph.weights(node) is None and constant is None:
        yield Violation("scale", node.name, "an activation has more than one scale")


def _check_weights(graph: _Graph, node: onnx.NodeProto) -> Iterator[Violation]:
    axis = _CHANNEL_AXIS.get(node.op_type)
    source = graph.producers.get(node.input[1]) if axis is not None else None
    if axis is None or source is None or source.op_type != "DequantizeLinear":
        return
    weights, scale = graph.weights(source), graph.constant(source, 1)
    given = next((item.i for item in source.attribute if item.name == "axis"), 1)
    channels = weights.dims[axis] if weights is not None else 0
    if scale is None or scale.shape != (channels,) or given != axis:
        yield Violation("weights", node.name, "not one scale for each output channel")


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What came of a trial build.

    Parameters
    ----------
    built_with
        The product and its version.
    engine_bytes
        0 where nothing was built.
    trouble
        Why not, or None.
    """

    built_with: str
    engine_bytes: int
    took_s: float
    trouble: str | None


def rtx_trouble() -> str | None:
    """Return why TensorRT-RTX cannot be used here, or None."""
    try:
        importlib.import_module("tensorrt_rtx")
    except (ImportError, OSError) as error:
        return f"TensorRT-RTX cannot be imported ({error}): make test-tensorrt-rtx installs it"
    return None


def build_ahead(path: Path) -> BuildReport:
    """Parse the graph and build an engine of it with TensorRT-RTX; no GPU is needed.

    It runs the appliance's own building code. TensorRT-RTX is another product than the TensorRT of
    a Jetson: a pass is a strong sign that the graph is taken, and no proof.

    Raises
    ------
    ImportError
        If TensorRT-RTX is not installed.
    """
    import tensorrt_rtx  # noqa: PLC0415 - 240 MB that only this function needs

    (variant,) = possible_variants(tensorrt_rtx)
    start = time.perf_counter()
    made = build_engine(tensorrt_rtx, _logger(tensorrt_rtx), variant, path)
    took_s = time.perf_counter() - start
    built_with = f"TensorRT-RTX {tensorrt_rtx.__version__}"
    if isinstance(made, str):
        return BuildReport(built_with, 0, took_s, made)
    return BuildReport(built_with, len(made), took_s, None)


@functools.lru_cache(maxsize=1)
def _logger(trt: Any) -> Logger:
    """Return the one logger of this process: TensorRT keeps the first that it was given."""
    return Logger(trt)
