"""TensorRT 11.4 (JetPack 7.2): every network is strongly typed, no precision flags."""

from __future__ import annotations

from types import ModuleType

from tests.inference.fake_tensorrt import api
from tests.inference.fake_tensorrt.machine import Machine

ENUMS = {
    "NetworkDefinitionCreationFlag": ["STRONGLY_TYPED"],
    "BuilderFlag": ["VERSION_COMPATIBLE", "STRIP_PLAN"],
}


class Parser(api.OnnxParser):
    def supports_model_v2(self, content: bytes) -> bool:
        return self.parse(content)


def module(machine: Machine) -> ModuleType:
    return api.make("11.4.1", machine, ENUMS, Parser, typed_always=True)
