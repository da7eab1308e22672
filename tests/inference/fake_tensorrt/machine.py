"""A GPU for tests: memory by address, and the CUDA calls on it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from appliance.errors import InferenceError


@dataclass
class Machine:
    """What a test can set, and what it can look at afterwards.

    Parameters
    ----------
    offset
        Added to every logit: a GPU that computes wrongly.
    slow_s
        Seconds by its own clock that a run takes, for each form that an engine may have.
    broken
        What fails: "run", "load", "build", "context", "memory".
    """

    offset: float = 0.0
    slow_s: dict[str, float] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    built: list[str] = field(default_factory=list)
    memory: dict[int, np.ndarray] = field(default_factory=dict)
    streams: set[int] = field(default_factory=set)
    now: float = 0.0


class FakeCuda:
    """`appliance.inference.cuda.Cuda` on a `Machine`."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._next = 4096

    def allocate(self, n_bytes: int) -> int:
        if "memory" in self._machine.broken:
            raise InferenceError("The GPU failed: cudaMalloc answered 2.")
        self._next += 4096
        self._machine.memory[self._next] = np.zeros(n_bytes, np.uint8)
        return self._next

    def free(self, address: int) -> None:
        del self._machine.memory[address]

    def open_stream(self) -> int:
        self._next += 1
        self._machine.streams.add(self._next)
        return self._next

    def close_stream(self, stream: int) -> None:
        self._machine.streams.remove(stream)

    def copy_in(self, address: int, array: np.ndarray, stream: int) -> None:
        assert stream in self._machine.streams
        assert array.flags.c_contiguous
        self._machine.memory[address][:] = array.reshape(-1).view(np.uint8)

    def copy_out(self, array: np.ndarray, address: int, stream: int) -> None:
        assert stream in self._machine.streams
        array.reshape(-1).view(np.uint8)[:] = self._machine.memory[address]

    def wait(self, stream: int) -> None:
        assert stream in self._machine.streams
