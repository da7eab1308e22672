"""The CUDA runtime's calls through ctypes, on a library that only has their names."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from appliance.errors import BackendUnavailableError, InferenceError
from appliance.inference.cuda import CudaRuntime, load_cuda


class Library:
    """`libcudart` by name, as ctypes would give it."""

    def __init__(self, code: int = 0) -> None:
        self.calls: list[str] = []
        self._code = code

    def __getattr__(self, name: str):
        def call(*arguments: object) -> int:
            self.calls.append(name)
            if name in {"cudaMalloc", "cudaStreamCreate"}:
                arguments[0]._obj.value = 64
            if name == "cudaMemcpyAsync":
                target, source, size = (argument.value for argument in arguments[:3])
                ctypes.memmove(target, source, size)
            return self._code

        return call


def test_the_calls_are_the_runtimes_own():
    library = Library()
    cuda = CudaRuntime(library)
    device = np.zeros(4, np.float32)
    host, back = np.arange(4, dtype=np.float32), np.zeros(4, np.float32)
    stream, address = cuda.open_stream(), cuda.allocate(16)
    assert (stream, address) == (64, 64)
    cuda.copy_in(device.ctypes.data, host, stream)
    cuda.copy_out(back, device.ctypes.data, stream)
    cuda.wait(stream)
    cuda.free(address)
    cuda.close_stream(stream)
    assert np.array_equal(back, host)
    assert library.calls == [
        "cudaStreamCreate",
        "cudaMalloc",
        "cudaMemcpyAsync",
        "cudaMemcpyAsync",
        "cudaStreamSynchronize",
        "cudaFree",
        "cudaStreamDestroy",
    ]


def test_an_error_of_cuda_is_an_error():
    with pytest.raises(InferenceError, match="cudaMalloc answered 2"):
        CudaRuntime(Library(code=2)).allocate(1)


def test_the_runtime_is_found_by_name_or_said_to_be_missing():
    def load(name: str) -> Library:
        if name != "b":
            raise OSError(name)
        return Library()

    load_cuda(load, ["a", "b"]).wait(0)

    def none(name: str) -> Library:
        raise OSError(name)

    with pytest.raises(BackendUnavailableError, match="libcudart"):
        load_cuda(none, ["a"])
