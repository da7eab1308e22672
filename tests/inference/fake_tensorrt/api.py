"""What all three generations have, and how an engine answers: it really runs the graph."""

from __future__ import annotations

import pickle
from enum import IntEnum
from functools import lru_cache
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from onnx import TensorProto, numpy_helper

from tests.inference.fake_tensorrt.machine import Machine


class DataType(IntEnum):
    FLOAT = 0
    HALF = 1
    INT8 = 2


class TensorIOMode(IntEnum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class MemoryPoolType(IntEnum):
    WORKSPACE = 0


class ILogger:
    INTERNAL_ERROR = 0
    ERROR = 1
    INFO = 3

    def log(self, severity: int, message: str) -> None:
        raise NotImplementedError


class BuilderConfig:
    def __init__(self) -> None:
        self.flags: set[str] = set()
        self.limits: dict[int, int] = {}

    def set_memory_pool_limit(self, pool: int, n_bytes: int) -> None:
        self.limits[pool] = n_bytes

    def set_flag(self, flag: IntEnum) -> None:
        self.flags.add(flag.name)


class Network:
    def __init__(self, *, typed: bool) -> None:
        self.typed = typed
        self.content: bytes | None = None


class Builder:
    """Refuses what each typing refuses; `typed_always` is TensorRT 11."""

    typed_always = False
    flags: type[IntEnum]
    machine: Machine

    def __init__(self, logger: ILogger) -> None:
        assert isinstance(logger, ILogger)
        self._logger = logger

    def create_network(self, flags: int = 0) -> Network:
        def is_set(name: str) -> bool:
            return hasattr(self.flags, name) and bool(flags >> int(getattr(self.flags, name)) & 1)

        if hasattr(self.flags, "EXPLICIT_BATCH"):
            assert is_set("EXPLICIT_BATCH"), "the ONNX parser takes explicit batches only"
        return Network(typed=self.typed_always or is_set("STRONGLY_TYPED"))

    def create_builder_config(self) -> BuilderConfig:
        return BuilderConfig()

    def build_serialized_network(self, network: Network, config: BuilderConfig) -> bytes | None:
        assert network.content is not None
        precisions = config.flags & {"INT8", "FP16"}
        self._logger.log(ILogger.INFO, "building")
        if "build" in self.machine.broken:
            self._logger.log(ILogger.ERROR, "no tactic was found")
            return None
        if network.typed and precisions:
            return None  # a strongly typed network takes no precision flag
        if not network.typed and "INT8" not in precisions and b"QuantizeLinear" in network.content:
            return None  # Q/DQ layers need the INT8 flag
        form = "typed" if network.typed else "+".join(sorted(precisions)).lower()
        self.machine.built.append(form)
        return pickle.dumps((network.content, form))


class OnnxParser:
    """Refuses what the parsers refuse; `refuse` adds what a generation refuses beyond it."""

    def __init__(self, network: Network, logger: ILogger) -> None:
        assert isinstance(logger, ILogger)
        self._network = network
        self._errors: list[str] = []

    def parse(self, content: bytes) -> bool:
        try:
            model = _model(content)
        except (DecodeError, onnx.checker.ValidationError) as error:
            self._errors = [f"ModelImporter: {error}"]
            return False
        self._errors = [*_refused(model), *self.refuse(model)]
        self._network.content = content
        return not self._errors

    def refuse(self, model: onnx.ModelProto) -> list[str]:
        return []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> str:
        return self._errors[index]


@lru_cache(maxsize=4)
def _model(content: bytes) -> onnx.ModelProto:
    model = onnx.load_model_from_string(content)
    onnx.checker.check_model(model)
    return model


def _refused(model: onnx.ModelProto) -> list[str]:
    values = {entry.name: entry for entry in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type not in {"QuantizeLinear", "DequantizeLinear"}:
            continue
        first = values.get(node.input[0])
        if first is not None and first.data_type == TensorProto.INT32:
            return ["input has type Int32 but must have type FP8, FP4, Int4, Int8, or UInt8"]
        if len(node.input) > 2 and np.any(numpy_helper.to_array(values[node.input[2]])):
            return ["shiftIsAllZeros(zeroPoint): Non-zero zero point is not supported"]
    return []


class Runtime:
    machine: Machine

    def __init__(self, logger: ILogger) -> None:
        assert isinstance(logger, ILogger)

    def deserialize_cuda_engine(self, content: bytes) -> Engine | None:
        if "load" in self.machine.broken:
            return None
        try:
            graph, form = pickle.loads(content)
        except pickle.UnpicklingError:
            return None
        return Engine(graph, form, self.machine)


@lru_cache(maxsize=4)
def _session(graph: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, ["CPUExecutionProvider"])


class Engine:
    def __init__(self, graph: bytes, form: str, machine: Machine) -> None:
        self.form = form
        self.machine = machine
        self.session = _session(graph)
        self.inputs = {entry.name: entry for entry in self.session.get_inputs()}
        self.outputs = {entry.name: entry for entry in self.session.get_outputs()}
        self.names = [*self.inputs, *self.outputs]

    @property
    def num_io_tensors(self) -> int:
        return len(self.names)

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple((self.inputs | self.outputs)[name].shape)

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType.FLOAT

    def create_execution_context(self) -> ExecutionContext | None:
        return None if "context" in self.machine.broken else ExecutionContext(self)


class ExecutionContext:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._addresses: dict[str, int] = {}

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert name in self._engine.names
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        machine, engine = self._engine.machine, self._engine
        assert stream_handle in machine.streams
        if "run" in machine.broken:
            return False
        feed = {}
        for name, entry in engine.inputs.items():
            feed[name] = machine.memory[self._addresses[name]].view(np.float32).reshape(entry.shape)
        answers = engine.session.run(list(engine.outputs), feed)
        for name, answer in zip(engine.outputs, answers, strict=True):
            value = answer + np.float32(machine.offset if name == "logits" else 0)
            if "fp16" in engine.form:
                value = value.astype(np.float16).astype(np.float32)
            flat = np.ascontiguousarray(value, np.float32).reshape(-1)
            machine.memory[self._addresses[name]][:] = flat.view(np.uint8)
        machine.now += max(
            (s for p, s in machine.slow_s.items() if p in engine.form), default=0.001
        )
        return True


def make(
    version: str,
    machine: Machine,
    enums: dict[str, list[str]],
    parser: type[OnnxParser],
    *,
    typed_always: bool = False,
) -> ModuleType:
    """Make a module that has these names, on this machine."""
    module = ModuleType("tensorrt")
    creation = "NetworkDefinitionCreationFlag"
    flags = IntEnum(creation, enums[creation], start=0)
    module.__version__ = version
    module.NetworkDefinitionCreationFlag = flags
    module.BuilderFlag = IntEnum("BuilderFlag", enums["BuilderFlag"], start=0)
    module.Builder = type(
        "Builder", (Builder,), {"flags": flags, "machine": machine, "typed_always": typed_always}
    )
    module.Runtime = type("Runtime", (Runtime,), {"machine": machine})
    module.OnnxParser = parser
    for shared in (DataType, TensorIOMode, MemoryPoolType, ILogger):
        setattr(module, shared.__name__, shared)
    return module
