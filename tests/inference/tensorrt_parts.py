"""A backend on a fake GPU, and the form of a graph that TensorRT 8 takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from appliance.inference.gpu_probe import Gpu
from appliance.inference.tensorrt_gpu import TensorRtGpu
from tests.inference.fake_tensorrt import v8_5, v10_3, v11_4
from tests.inference.fake_tensorrt.machine import FakeCuda, Machine

GENERATIONS: dict[str, Callable[[Machine], ModuleType]] = {
    "8.5": v8_5.module,
    "10.3": v10_3.module,
    "11.4": v11_4.module,
}


def backend(
    machine: Machine, generation: str = "10.3", engines: Path | None = None, gpu: str = "Orin"
) -> TensorRtGpu:
    module = GENERATIONS[generation](machine)
    return TensorRtGpu(
        engines,
        find=lambda: Gpu(gpu, module.__version__),
        trt=lambda: module,
        cuda=lambda: FakeCuda(machine),
        clock=lambda: machine.now,
        timed_runs=3,
    )


def with_float_weights(source: Path, target: Path) -> Path:
    """Write the graph with float weights behind Q/DQ instead of 8-bit ones behind DQ."""
    model = onnx.load(source)
    values = {entry.name: entry for entry in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        weights = values.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if weights is not None and weights.data_type == TensorProto.INT8:
            nodes.append(_quantize(model, node, values))
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, target)
    return target


def _quantize(
    model: onnx.ModelProto, node: onnx.NodeProto, values: dict[str, TensorProto]
) -> onnx.NodeProto:
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    whole, scale = (numpy_helper.to_array(values[name]) for name in node.input[:2])
    shape = [-1 if index == axis else 1 for index in range(whole.ndim)]
    real = whole.astype(np.float32) * (scale if scale.ndim == 0 else scale.reshape(shape))
    name = node.input[0]
    values[name].CopyFrom(numpy_helper.from_array(real.astype(np.float32), name))
    made = helper.make_node(
        "QuantizeLinear", node.input, [f"{name}_quantized"], f"{name}_quantize", axis=axis
    )
    node.input[0] = made.output[0]
    return made
