"""ONNX Runtime on the CPU: the engine that is always there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.errors import BackendUnavailableError, InferenceError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OnnxRuntimeCpu"]


class OnnxRuntimeCpu:
    """The backend; see `appliance.inference.backend.Backend`.

    Parameters
    ----------
    exact
        Run the graph node by node as it is written, in floating point, several times slower: what
        other engines are compared with.
    """

    name = "onnxruntime-cpu"
    requires = "the Python package onnxruntime (a wheel exists for x86-64 and aarch64)"
    graph = "model.cpu.onnx"

    def __init__(self, *, exact: bool = False) -> None:
        self._exact = exact

    def is_available(self) -> str | None:
        """Return None where ONNX Runtime can be imported, else the reason why not."""
        try:
            import onnxruntime  # noqa: F401, PLC0415 - a broken wheel must not stop the appliance
        except (ImportError, OSError) as error:
            return f"onnxruntime cannot be imported: {error}"
        return None

    def load(self, model_path: Path, threads: int) -> OnnxRuntimeSession:
        """Load a graph and run it once on zeros.

        Raises
        ------
        BackendUnavailableError
            If ONNX Runtime is absent or does not take this graph.
        """
        reason = self.is_available()
        if reason is not None:
            raise BackendUnavailableError(f"{reason}: install {self.requires}.")
        try:
            session = OnnxRuntimeSession(_session(model_path, threads, exact=self._exact))
        except Exception as error:
            raise BackendUnavailableError(
                f"ONNX Runtime cannot load {model_path.name} ({error}): install the model package "
                "again, or one that was made for this version of the appliance."
            ) from error
        session.warm_up()
        return session


def _session(model_path: Path, threads: int, *, exact: bool) -> Any:
    import onnxruntime  # noqa: PLC0415 - 60 ms that a command without a model need not pay

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    if exact:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # A box reads one film now and then: threads that wait for the next one by spinning would
    # only heat it and slow the receiver down.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if _saturates():
        options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(
        str(model_path), sess_options=options, providers=["CPUExecutionProvider"]
    )


def _saturates(cpu_info: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this processor's fast 8-bit kernel may give wrong sums.

    x86-64 before VNNI adds U8 x S8 products in 16 bits, which saturates; there ONNX Runtime has an
    exact kernel that must be asked for. With VNNI that kernel would only be slow (2.4 times), so it
    is asked for where the processor says that it is x86 and has no VNNI, and nowhere else.
    """
    try:
        text = cpu_info.read_text(encoding="utf-8")
    except OSError:
        return False
    flags = {
        word for line in text.splitlines() if line.startswith("flags") for word in line.split()
    }
    return "sse2" in flags and not flags & {"avx512_vnni", "avx_vnni"}


class OnnxRuntimeSession:
    """A loaded graph; its runs may come from several threads at once."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._input = session.get_inputs()[0]

    def warm_up(self) -> None:
        """Run once on zeros of the graph's own shape (1 where an axis is free)."""
        shape = [size if isinstance(size, int) else 1 for size in self._input.shape]
        self.run(np.zeros(shape, dtype=np.float32))

    def run(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Run the network once; see `appliance.inference.backend.Session.run`.

        Raises
        ------
        InferenceError
            If ONNX Runtime fails.
        """
        try:
            outputs = self._session.run(None, {self._input.name: batch})
        except Exception as error:
            raise InferenceError(f"ONNX Runtime failed on this image: {error}") from error
        return tuple(np.asarray(output, dtype=np.float32) for output in outputs)
