"""TensorRT 8.5 (JetPack 5): weak typing, no INT8 initializers, operator sets up to 17."""

from __future__ import annotations

from types import ModuleType

import onnx
from onnx import TensorProto

from tests.inference.fake_tensorrt import api
from tests.inference.fake_tensorrt.machine import Machine

ENUMS = {
    "NetworkDefinitionCreationFlag": ["EXPLICIT_BATCH"],
    "BuilderFlag": ["FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"],
}


class Parser(api.OnnxParser):
    def supports_model(self, content: bytes) -> tuple[bool, list[tuple[list[int], bool]]]:
        return self.parse(content), []

    def refuse(self, model: onnx.ModelProto) -> list[str]:
        newest = max(entry.version for entry in model.opset_import)
        if newest > 17:
            return [f"operator set {newest} is not supported"]
        if any(entry.data_type == TensorProto.INT8 and entry.dims for entry in _weights(model)):
            return ["invalid weights type of Int8"]
        return []


def _weights(model: onnx.ModelProto) -> list[TensorProto]:
    return [entry for entry in model.graph.initializer if len(entry.dims) > 1]


def module(machine: Machine) -> ModuleType:
    return api.make("8.5.2", machine, ENUMS, Parser)
