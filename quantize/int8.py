"""One range calibration, two INT8 graphs: one graph cannot serve both engines.

TensorRT takes signed symmetric activations with zero point 0 and float biases only; ONNX Runtime
runs that form slower than FP32 and wants unsigned asymmetric activations with int32 biases. The
first convolutions and the classifier with its pooling stay in floating point in both: it costs no
time and keeps decisions from flipping.
"""

from __future__ import annotations

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from quantize.export import HEAD_BIAS, INPUT_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

_OPERATORS = ("Conv", "Add", "Clip")


class _Reader(CalibrationDataReader):
    """Feeds network inputs one by one."""

    def __init__(self, inputs: Iterable[NDArray[np.float32]]) -> None:
        self._inputs: Iterator[NDArray[np.float32]] = iter(inputs)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        batch = next(self._inputs, None)
        return None if batch is None else {INPUT_NAME: batch}


def quantize_both(
    fp32: Path,
    targets: tuple[Path, Path],
    inputs: list[NDArray[np.float32]],
    *,
    fp32_convolutions: int,
    also: tuple[str, ...] = (),
    leave_out: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """Write the CPU and the TensorRT graph.

    Parameters
    ----------
    fp32
        The exported graph.
    targets
        Where the CPU graph and the TensorRT graph go.
    inputs
        Prepared training images, float32 (1, 1, side, side), for the activation ranges (MinMax:
        percentile and entropy ranges did twice the damage on this network).
    fp32_convolutions
        So many convolutions from the input on stay in floating point.
    also
        Operators to quantize besides convolutions, sums and activations.
    leave_out
        Operators of these that stay in floating point.

    Returns
    -------
    tuple[str, ...]
        Names of the nodes that stay in floating point.
    """
    logging.getLogger().setLevel(logging.ERROR)  # the tool warns once for each node
    cpu, tensorrt = targets
    operators = [name for name in (*_OPERATORS, *also) if name not in leave_out]
    with TemporaryDirectory() as scratch:
        prepared = Path(scratch) / "prepared.onnx"
        quant_pre_process(str(fp32), str(prepared), skip_symbolic_shape=True)
        kept = _kept_in_float(onnx.load(prepared), fp32_convolutions, operators)
        shared = {
            "quant_format": QuantFormat.QDQ,
            "per_channel": True,
            "weight_type": QuantType.QInt8,
            "calibrate_method": CalibrationMethod.MinMax,
            "op_types_to_quantize": operators,
            "nodes_to_exclude": list(kept),
        }
        quantize_static(
            str(prepared),
            str(cpu),
            _Reader(inputs),
            activation_type=QuantType.QUInt8,
            extra_options={"ActivationSymmetric": False, "WeightSymmetric": True},
            **shared,
        )
        quantize_static(
            str(prepared),
            str(tensorrt),
            _Reader(inputs),
            activation_type=QuantType.QInt8,
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "QuantizeBias": False,
            },
            **shared,
        )
    for path in targets:
        _strip(path)
        centre(path, fp32, inputs)
    return kept


def _kept_in_float(
    model: onnx.ModelProto, convolutions: int, operators: Sequence[str]
) -> tuple[str, ...]:
    """Name the first convolutions, their activations, and all from the classifier on."""
    nodes = list(model.graph.node)
    order = [index for index, node in enumerate(nodes) if node.op_type == "Conv"]
    first = nodes[: order[convolutions]]
    head = nodes[order[-1] :]
    return tuple(node.name for node in (*first, *head) if node.op_type in operators)


def centre(path: Path, fp32: Path, inputs: list[NDArray[np.float32]]) -> None:
    """Move the head's bias so that the graph's mean logits are the FP32 graph's (bias correction).

    Rounding shifts all logits a little, and each graph its own way; one calibration and one
    threshold serve both graphs, so both are brought back to where the network was. (Nagel and
    others, ICCV 2019, do this for every layer; here only the last one matters.)
    """
    shift = _mean_logits(fp32, inputs) - _mean_logits(path, inputs)
    model = onnx.load(path)
    bias = next(entry for entry in model.graph.initializer if entry.name == HEAD_BIAS)
    old = onnx.numpy_helper.to_array(bias)
    moved = (old + shift.reshape(old.shape)).astype(np.float32)
    bias.CopyFrom(onnx.numpy_helper.from_array(moved, HEAD_BIAS))
    onnx.save(model, path)


def _mean_logits(graph: Path, inputs: list[NDArray[np.float32]]) -> NDArray[np.float64]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    logits = [session.run(["logits"], {INPUT_NAME: batch})[0][0] for batch in inputs]
    return np.asarray(np.mean(logits, axis=0, dtype=np.float64))


def _strip(path: Path) -> None:
    """Drop the operator sets that the tool declares and the graph does not use."""
    model = onnx.load(path)
    used = {node.domain for node in model.graph.node}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    onnx.checker.check_model(model)
    onnx.save(model, path)
