"""The six CUDA runtime calls that one inference needs, through ctypes on JetPack's own library.

No pycuda and no cupy: JetPack brings ``libcudart`` itself, and a package of Python bindings would
tie the box to one CUDA version.
"""

from __future__ import annotations

import contextlib
import ctypes
from ctypes.util import find_library
from typing import TYPE_CHECKING, Any, Protocol

from appliance.errors import BackendUnavailableError, InferenceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Cuda", "CudaRuntime", "load_cuda"]

# cudaMemcpyKind of the CUDA Runtime API.
_HOST_TO_DEVICE = 1
_DEVICE_TO_HOST = 2
# JetPack 5 has CUDA 11, JetPack 6 CUDA 12, JetPack 7 CUDA 13.
LIBRARIES = (
    "libcudart.so",
    "libcudart.so.13",
    "libcudart.so.12",
    "libcudart.so.11.0",
    "/usr/local/cuda/lib64/libcudart.so",
)


class Cuda(Protocol):
    """Memory and a stream on one GPU; addresses and streams are plain numbers."""

    def allocate(self, n_bytes: int) -> int:
        """Return the address of `n_bytes` on the GPU."""
        ...

    def free(self, address: int) -> None:
        """Give memory back."""
        ...

    def open_stream(self) -> int:
        """Return a new stream."""
        ...

    def close_stream(self, stream: int) -> None:
        """Give a stream back."""
        ...

    def copy_in(self, address: int, array: NDArray[np.float32], stream: int) -> None:
        """Copy a contiguous array to the GPU."""
        ...

    def copy_out(self, array: NDArray[np.float32], address: int, stream: int) -> None:
        """Copy from the GPU into a contiguous array; it is filled after `wait`."""
        ...

    def wait(self, stream: int) -> None:
        """Wait until all that was asked of the stream is done."""
        ...


class CudaRuntime:
    """``libcudart``; every call raises `InferenceError` where CUDA answers with an error.

    Parameters
    ----------
    library
        What ctypes loaded.
    """

    def __init__(self, library: Any) -> None:
        self._library = library

    def allocate(self, n_bytes: int) -> int:
        """Return the address of `n_bytes` on the GPU (cudaMalloc)."""
        pointer = ctypes.c_void_p()
        self._call("cudaMalloc", ctypes.byref(pointer), ctypes.c_size_t(n_bytes))
        return pointer.value or 0

    def free(self, address: int) -> None:
        """Give memory back (cudaFree)."""
        self._call("cudaFree", ctypes.c_void_p(address))

    def open_stream(self) -> int:
        """Return a new stream (cudaStreamCreate)."""
        stream = ctypes.c_void_p()
        self._call("cudaStreamCreate", ctypes.byref(stream))
        return stream.value or 0

    def close_stream(self, stream: int) -> None:
        """Give a stream back (cudaStreamDestroy)."""
        self._call("cudaStreamDestroy", ctypes.c_void_p(stream))

    def copy_in(self, address: int, array: NDArray[np.float32], stream: int) -> None:
        """Copy a contiguous array to the GPU (cudaMemcpyAsync)."""
        self._copy(address, array.ctypes.data, array.nbytes, _HOST_TO_DEVICE, stream)

    def copy_out(self, array: NDArray[np.float32], address: int, stream: int) -> None:
        """Copy from the GPU into a contiguous array (cudaMemcpyAsync)."""
        self._copy(array.ctypes.data, address, array.nbytes, _DEVICE_TO_HOST, stream)

    def wait(self, stream: int) -> None:
        """Wait until all that was asked of the stream is done (cudaStreamSynchronize)."""
        self._call("cudaStreamSynchronize", ctypes.c_void_p(stream))

    def _copy(self, target: int, source: int, n_bytes: int, kind: int, stream: int) -> None:
        self._call(
            "cudaMemcpyAsync",
            ctypes.c_void_p(target),
            ctypes.c_void_p(source),
            ctypes.c_size_t(n_bytes),
            ctypes.c_int(kind),
            ctypes.c_void_p(stream),
        )

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(*arguments)
        if code != 0:
            raise InferenceError(f"The GPU failed: {name} answered {code}.")


def load_cuda(
    load: Callable[[str], Any] = ctypes.CDLL, names: Sequence[str] = LIBRARIES
) -> CudaRuntime:
    """Find and load the CUDA runtime.

    Raises
    ------
    BackendUnavailableError
        If there is none.
    """
    found = find_library("cudart")
    for name in (*names, *((found,) if found else ())):
        with contextlib.suppress(OSError):
            return CudaRuntime(load(name))
    raise BackendUnavailableError(
        "The CUDA runtime (libcudart) was not found: install JetPack's CUDA packages."
    )
