"""TensorRT on an NVIDIA GPU: the engine of a Jetson, built on the box from the package's graph.

One way through TensorRT 8.5 to 11: explicit Q/DQ, addresses by tensor name, no range calibration
(that happened in the workbench). What differs between the generations is the table `VARIANTS`;
whether a version has a name is asked of the module itself, never of its version number.
"""

from __future__ import annotations

import hashlib
import logging
import statistics
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.errors import BackendUnavailableError, InferenceError
from appliance.inference.cuda import load_cuda
from appliance.inference.engine_cache import EngineCache, EngineKey, KeptEngine
from appliance.inference.gpu_probe import Gpu, find_gpu

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from appliance.inference.backend import Prove
    from appliance.inference.cuda import Cuda

__all__ = [
    "VARIANTS",
    "Logger",
    "TensorRtGpu",
    "TensorRtSession",
    "Variant",
    "build_engine",
    "possible_variants",
]

_LOG = logging.getLogger(__name__)
_WORKSPACE_BYTES = 256 << 20
_WARM_UPS = 3


@dataclass(frozen=True, slots=True)
class Variant:
    """A form in which an engine can be built.

    Parameters
    ----------
    network, builder
        Names of NetworkDefinitionCreationFlag and BuilderFlag that it needs; a version without one
        of them cannot build it.
    where_lacks
        A NetworkDefinitionCreationFlag that makes this form needless.
    """

    name: str
    network: tuple[str, ...]
    builder: tuple[str, ...]
    where_lacks: str = ""


# The differences between the versions, all of them:
#   8.5, 8.6  no strong typing: a Q/DQ graph needs INT8 set, FP16 is a matter of taste
#   10.x      both; strongly typed the graph's own types rule, weakly typed FP16 may be faster
#   11.x      all networks are strongly typed, the two precision flags are gone
VARIANTS = (
    Variant("int8 as the graph says", ("STRONGLY_TYPED",), ()),
    Variant("int8 and fp32", (), ("INT8",), where_lacks="STRONGLY_TYPED"),
    Variant("int8 and fp16", (), ("INT8", "FP16")),
)


def possible_variants(trt: Any) -> tuple[Variant, ...]:
    """Return the forms that this version of TensorRT can build."""
    network, builder = trt.NetworkDefinitionCreationFlag, trt.BuilderFlag
    return tuple(
        variant
        for variant in VARIANTS
        if all(hasattr(network, name) for name in variant.network)
        and all(hasattr(builder, name) for name in variant.builder)
        and not (variant.where_lacks and hasattr(network, variant.where_lacks))
    )


def _import_tensorrt() -> Any:
    import tensorrt  # noqa: PLC0415 - JetPack's own, never a requirement; slow to load

    return tensorrt


class TensorRtGpu:
    """The backend; see `appliance.inference.backend.Accelerator`.

    Parameters
    ----------
    engines
        Folder where engines are kept, or None to keep none.
    find, trt, cuda
        Find the GPU, import TensorRT and load the CUDA runtime.
    clock
        Seconds on a clock that only goes forward.
    timed_runs
        Runs whose median decides which form of an engine is the fastest.
    """

    name = "tensorrt-gpu"
    requires = (
        "an NVIDIA GPU with TensorRT 8.5 or later (on a Jetson: JetPack's python3-libnvinfer)"
    )
    graph = "model.trt.onnx"

    def __init__(
        self,
        engines: Path | None = None,
        *,
        find: Callable[[], Gpu | str] = find_gpu,
        trt: Callable[[], Any] = _import_tensorrt,
        cuda: Callable[[], Cuda] = load_cuda,
        clock: Callable[[], float] = time.perf_counter,
        timed_runs: int = 30,
    ) -> None:
        self.cache = EngineCache(engines)
        self._find = find
        self._trt = trt
        self._cuda = cuda
        self._clock = clock
        self._timed_runs = timed_runs
        self._logger: Logger | None = None

    def is_available(self) -> str | None:
        """Return None where there is a GPU that TensorRT can use, else the reason why not."""
        found = self._find()
        return found if isinstance(found, str) else None

    def key(self, model_path: Path) -> EngineKey | None:
        """Return what an engine for this graph belongs to here, or None where there is no GPU."""
        found = self._find()
        if isinstance(found, str):
            return None
        digest = hashlib.sha256(model_path.read_bytes()).hexdigest()
        return EngineKey(digest, found.tensorrt, found.name)

    def failure(self, model_path: Path) -> str | None:
        """Return why the last try to make this graph's engine failed, or None."""
        key = self.key(model_path)
        return None if key is None else self.cache.failure(key)

    def give_up(self, model_path: Path) -> None:
        """Note that a try that is under way ends with the process, in good order."""
        key = self.key(model_path)
        if key is not None:
            self.cache.end(key, None)

    def load(
        self, model_path: Path, threads: int, *, prove: Prove | None = None
    ) -> TensorRtSession:
        """Load the kept engine of a graph, or build one: this takes minutes on a small box.

        Parameters
        ----------
        threads
            Not used: the work is the GPU's.
        prove
            Says why a loaded engine must not answer, or None; only an engine that it passes is
            kept and returned, the fastest one where several forms can be built.

        Raises
        ------
        BackendUnavailableError
            If there is no GPU, the graph is not taken, or no engine proves itself.
        """
        del threads
        reason = self.is_available()
        key = None if reason is not None else self.key(model_path)
        if key is None:
            raise BackendUnavailableError(f"{reason}. It requires {self.requires}.")
        if (reason := self.cache.begin(key)) is not None:
            raise BackendUnavailableError(f"No engine for {model_path.name}: {reason}.")
        try:
            maker = self._maker(prove or _anything)
            session = self._kept(maker, key) or self._built(maker, key, model_path)
        except Exception as error:
            text = error.text if isinstance(error, BackendUnavailableError) else f"{error!r}"
            self.cache.end(key, text)
            if isinstance(error, BackendUnavailableError):
                raise
            raise BackendUnavailableError(f"TensorRT failed: {text}.") from error
        self.cache.end(key, None)
        return session

    def _maker(self, prove: Prove) -> _Maker:
        trt = self._trt()
        if self._logger is None:
            self._logger = Logger(trt)
        return _Maker(trt, self._cuda(), self._logger, prove)

    def _kept(self, maker: _Maker, key: EngineKey) -> TensorRtSession | None:
        kept = self.cache.find(key)
        if kept is None:
            return None
        tried = maker.try_engine(kept.content)
        if isinstance(tried, TensorRtSession):
            return tried
        _LOG.warning("the kept engine is built anew: %s", tried)
        self.cache.remove(key)
        return None

    def _built(self, maker: _Maker, key: EngineKey, model_path: Path) -> TensorRtSession:
        """Build every possible form, keep the fastest that proves itself."""
        best: tuple[float, TensorRtSession, KeptEngine] | None = None
        latencies: dict[str, float] = {}
        reasons = []
        for variant in possible_variants(maker.trt):
            made = build_engine(maker.trt, maker.logger, variant, model_path)
            session = maker.try_engine(made) if isinstance(made, bytes) else made
            if isinstance(session, str) or isinstance(made, str):
                reasons.append(f"{variant.name}: {session}")
                continue
            latencies[variant.name] = took_ms = session.median_ms(self._timed_runs, self._clock)
            if best is None or took_ms < best[0]:
                if best is not None:
                    best[1].close()
                best = took_ms, session, KeptEngine(made, variant.name, latencies)
            else:
                session.close()
        if best is None:
            raise BackendUnavailableError(
                f"TensorRT {key.tensorrt} made no engine of {model_path.name} that may answer. "
                + "; ".join(reasons)
            )
        try:
            self.cache.keep(key, best[2])
        except OSError as error:
            _LOG.warning("the engine is not kept: %s", error)
        return best[1]


def _anything(_session: object) -> None:
    """Pass every engine."""


class Logger:
    """TensorRT's logger: one a process, since TensorRT keeps the first that it is given.

    Parameters
    ----------
    trt
        The module; `errors` collects what it says is wrong.
    """

    def __init__(self, trt: Any) -> None:
        self.errors: list[str] = []
        base = trt.ILogger
        severe = (base.INTERNAL_ERROR, base.ERROR)

        def log(_self: object, severity: Any, message: str) -> None:
            if severity in severe:
                self.errors.append(message)

        self.tensorrts = type("Logger", (base,), {"log": log})()


def build_engine(trt: Any, logger: Logger, variant: Variant, model_path: Path) -> bytes | str:
    """Return the serialized engine of a graph, or a sentence why there is none.

    Parameters
    ----------
    trt
        The module: ``tensorrt``, or ``tensorrt_rtx``, which has the same names.
    """
    logger.errors.clear()
    builder = trt.Builder(logger.tensorrts)
    flags = trt.NetworkDefinitionCreationFlag
    names = [name for name in ("EXPLICIT_BATCH", *variant.network) if hasattr(flags, name)]
    network = builder.create_network(sum(1 << int(getattr(flags, name)) for name in names))
    parser = trt.OnnxParser(network, logger.tensorrts)
    if not parser.parse(model_path.read_bytes()):
        return "; ".join(_parser_errors(parser)) or "the graph is not taken"
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
    for name in variant.builder:
        config.set_flag(getattr(trt.BuilderFlag, name))
    made = builder.build_serialized_network(network, config)
    if made is None:
        return " ".join(["the engine could not be built:", *logger.errors[:3]])
    return bytes(made)


class _Maker:
    """Loads engines with one TensorRT module, one CUDA runtime and one logger."""

    def __init__(self, trt: Any, cuda: Cuda, logger: Logger, prove: Prove) -> None:
        self.trt = trt
        self.logger = logger
        self._cuda = cuda
        self._prove = prove

    def try_engine(self, content: bytes) -> TensorRtSession | str:
        """Return a session that proved itself, or a sentence why there is none."""
        runtime = self.trt.Runtime(self.logger.tensorrts)
        engine = runtime.deserialize_cuda_engine(content)
        if engine is None:
            return "the engine cannot be loaded"
        try:
            session = TensorRtSession(self.trt, engine, self._cuda, keep=runtime)
        except InferenceError as error:
            return error.text
        reason = self._why_not(session)
        if reason is None:
            return session
        session.close()
        return reason

    def _why_not(self, session: TensorRtSession) -> str | None:
        try:
            session.warm_up()
            return self._prove(session)
        except InferenceError as error:
            return error.text


def _parser_errors(parser: Any) -> Iterator[str]:
    for index in range(parser.num_errors):
        yield str(parser.get_error(index)).strip()


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    array: NDArray[np.float32]
    address: int
    is_input: bool


class TensorRtSession:
    """A loaded engine; one run at a time, from whichever thread.

    Parameters
    ----------
    keep
        What must live as long as the engine.
    """

    def __init__(self, trt: Any, engine: Any, cuda: Cuda, *, keep: object = None) -> None:
        self._alive = (keep, engine)
        self._cuda = cuda
        self._lock = threading.Lock()
        self._context = engine.create_execution_context()
        if self._context is None:
            raise InferenceError("The GPU has no room for this engine.")
        self._stream = cuda.open_stream()
        self._tensors: list[_Tensor] = []
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            if engine.get_tensor_dtype(name) != trt.DataType.FLOAT:
                raise InferenceError(f"The engine's tensor {name} is not float32.")
            array = np.zeros(tuple(engine.get_tensor_shape(name)), dtype=np.float32)
            is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            tensor = _Tensor(name, array, cuda.allocate(array.nbytes), is_input)
            self._tensors.append(tensor)
            self._context.set_tensor_address(name, tensor.address)

    def warm_up(self) -> None:
        """Run a few times on zeros."""
        zeros = next(t.array for t in self._tensors if t.is_input)
        for _ in range(_WARM_UPS):
            self.run(np.zeros_like(zeros))

    def median_ms(self, runs: int, clock: Callable[[], float] = time.perf_counter) -> float:
        """Return how long one run takes, copies included: the median of some runs on zeros."""
        zeros = np.zeros_like(next(t.array for t in self._tensors if t.is_input))
        took = []
        for _ in range(runs):
            start = clock()
            self.run(zeros)
            took.append((clock() - start) * 1000.0)
        return round(statistics.median(took), 3)

    def run(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Run the network once; see `appliance.inference.backend.Session.run`.

        Raises
        ------
        InferenceError
            If the batch has another shape than the engine, or the GPU fails.
        """
        with self._lock:
            if self._context is None:
                raise InferenceError("The engine was closed.")
            for tensor in self._tensors:
                if tensor.is_input:
                    _fill(tensor.array, batch)
                    self._cuda.copy_in(tensor.address, tensor.array, self._stream)
            if not self._context.execute_async_v3(self._stream):
                raise InferenceError("TensorRT failed on this image.")
            outputs = [tensor for tensor in self._tensors if not tensor.is_input]
            for tensor in outputs:
                self._cuda.copy_out(tensor.array, tensor.address, self._stream)
            self._cuda.wait(self._stream)
            return tuple(tensor.array.copy() for tensor in outputs)

    def close(self) -> None:
        """Give the GPU's memory back; the session does not run again."""
        with self._lock:
            if self._context is None:
                return
            self._context = None
            for tensor in self._tensors:
                self._cuda.free(tensor.address)
            self._cuda.close_stream(self._stream)
            self._alive = (None, None)


def _fill(target: NDArray[np.float32], batch: NDArray[np.float32]) -> None:
    if batch.shape != target.shape or batch.dtype != np.float32:
        raise InferenceError(
            f"TensorRT failed on this image: the engine takes {target.shape}, not {batch.shape}."
        )
    np.copyto(target, batch)
