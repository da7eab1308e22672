"""Looks for a GPU that TensorRT can use, in a process of its own.

TensorRT's runtime ends the interpreter where there is no usable GPU (measured: SIGSEGV). So a
child process tries first; how it ends is the answer. Run as a module, this file is that child.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Gpu", "find_gpu", "probe"]

# A Jetson's first import of TensorRT after a cold start reads some 200 MB from an SD card.
_TIMEOUT_S = 60.0
_NAME_BYTES = 256


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU that TensorRT can use."""

    name: str
    tensorrt: str


@functools.lru_cache(maxsize=1)
def find_gpu() -> Gpu | str:
    """Return the GPU of this machine, or a sentence why there is none; found out once a process."""
    if importlib.util.find_spec("tensorrt") is None:
        return "the Python package tensorrt is not installed; on a Jetson, JetPack brings it"
    return probe((sys.executable, "-m", "appliance.inference.gpu_probe"))


def probe(command: tuple[str, ...], timeout_s: float = _TIMEOUT_S) -> Gpu | str:
    """Run the child and read how it ended.

    Parameters
    ----------
    command
        Prints ``{"name": …, "tensorrt": …}`` where all is well; else it ends with another status,
        the reason last on its standard error, or is ended by a signal.
    """
    try:
        ended = subprocess.run(  # noqa: S603 - the command is ours
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no usable GPU: looking for one took more than {timeout_s:g} seconds"
    except OSError as error:
        return f"no usable GPU: it could not be looked for ({error.strerror})"
    if ended.returncode < 0:
        name = signal.Signals(-ended.returncode).name
        return f"no usable GPU: TensorRT crashed when it was tried ({name})"
    if ended.returncode != 0:
        said = ended.stderr.strip().splitlines() or [f"status {ended.returncode}"]
        return f"no usable GPU: {said[-1]}"
    try:
        told = json.loads(ended.stdout.strip().splitlines()[-1])
        return Gpu(name=str(told["name"]), tensorrt=str(told["tensorrt"]))
    except (ValueError, KeyError, IndexError, TypeError):
        return "no usable GPU: looking for one gave no answer"


def _main() -> None:
    name = _gpu_name()
    import tensorrt  # noqa: PLC0415 - the driver is asked first: without one this may crash

    runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR))
    if runtime is None:
        sys.exit("TensorRT gave no runtime")
    print(json.dumps({"name": name, "tensorrt": tensorrt.__version__}))  # noqa: T201 - the answer


def _gpu_name(load: Callable[[str], Any] = ctypes.CDLL) -> str:
    """Ask the driver: its structures do not change with the CUDA version, unlike the runtime's."""
    try:
        driver = load("libcuda.so.1")
    except OSError:
        sys.exit("there is no NVIDIA driver (libcuda.so.1)")
    count, device = ctypes.c_int(0), ctypes.c_int(0)
    name = ctypes.create_string_buffer(_NAME_BYTES)
    for function, arguments in (
        ("cuInit", (ctypes.c_uint(0),)),
        ("cuDeviceGetCount", (ctypes.byref(count),)),
        ("cuDeviceGet", (ctypes.byref(device), ctypes.c_int(0))),
        ("cuDeviceGetName", (name, ctypes.c_int(_NAME_BYTES), device)),
    ):
        code = getattr(driver, function)(*arguments)
        if code != 0:
            sys.exit(f"the NVIDIA driver says no ({function} answered {code})")
    return name.value.decode("ascii", "replace")


if __name__ == "__main__":
    _main()
