"""TensorRT 10.3 (JetPack 6.1 and 6.2): weak and strong typing."""

from __future__ import annotations

from types import ModuleType

from tests.inference.fake_tensorrt import api
from tests.inference.fake_tensorrt.machine import Machine

ENUMS = {
    "NetworkDefinitionCreationFlag": ["EXPLICIT_BATCH", "STRONGLY_TYPED"],
    "BuilderFlag": [
        *("FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS", "VERSION_COMPATIBLE", "STRIP_PLAN"),
    ],
}


class Parser(api.OnnxParser):
    def supports_model(self, content: bytes) -> tuple[bool, list[tuple[list[int], bool]]]:
        return self.parse(content), []

    def supports_model_v2(self, content: bytes) -> bool:
        return self.parse(content)


def module(machine: Machine) -> ModuleType:
    return api.make("10.3.0", machine, ENUMS, Parser)
