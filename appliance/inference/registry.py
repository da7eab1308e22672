"""The engines that this appliance knows. To add one: its module, and its line here.

The order is the one in which a box comes to use them: the first that can run answers at once; one
that must be built here first (`Accelerator`) stands behind it and takes over when it is proven.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.errors import BackendUnavailableError
from appliance.inference.onnxruntime_cpu import OnnxRuntimeCpu
from appliance.inference.tensorrt_gpu import TensorRtGpu

if TYPE_CHECKING:
    from appliance.inference.backend import Backend

__all__ = ["BACKENDS", "choose"]

BACKENDS: tuple[Backend, ...] = (OnnxRuntimeCpu(), TensorRtGpu())


def choose(backends: tuple[Backend, ...] = BACKENDS) -> Backend:
    """Return the first engine that can run here.

    Raises
    ------
    BackendUnavailableError
        If none can; the text gives each one's reason.
    """
    reasons = []
    for backend in backends:
        reason = backend.is_available()
        if reason is None:
            return backend
        reasons.append(f"{backend.name}: {reason}")
    raise BackendUnavailableError("No inference engine can run here. " + "; ".join(reasons))
