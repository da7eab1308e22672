"""The parent's side: a door to the child, that believes nothing that comes back.

No pickle; every length and type is checked; a deadline ends a child that does not answer.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import select
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from appliance.decoder.protocol import DECODE, FINGERPRINT, PIPE_BYTES, REPLY, REQUEST
from appliance.domain import DecodedImage, Header, Reason
from appliance.errors import (
    DecodeError,
    DecoderCrashError,
    NotAnImageError,
    TooLargeError,
    UnsupportedError,
    WaypostError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

_T = TypeVar("_T")
_START_SECONDS = 60.0
# A broken pipe, a lapsed deadline, or a reply that is not what it must be.
_NOT_AN_ANSWER = (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError)
_HEAD_LIMIT = 256 * 1024
_F_SETPIPE_SZ = 1031
_ERRORS: Mapping[str, type[WaypostError]] = {
    kind.__name__: kind for kind in (NotAnImageError, UnsupportedError, TooLargeError, DecodeError)
}
# The child starts isolated (-I): no environment, no user site, no current folder on its path.
_LAUNCH = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1));"
    " runpy.run_module('appliance.decoder.child', run_name='__main__')"
)


def _crash() -> DecoderCrashError:
    return DecoderCrashError(
        "The image could not be decoded within the time and memory that the box allows. The file"
        " is kept; it is probably damaged. Send it again, uncompressed if the machine can."
    )


@dataclass(frozen=True, slots=True)
class _Child:
    process: subprocess.Popen[bytes]
    requests: int
    replies: int


class Decoder:
    """A door to the child; any thread may use it, one file at a time passes.

    Parameters
    ----------
    memory_bytes
        What a decode may allocate beyond the warm interpreter (RLIMIT_AS).
    seconds
        Wall clock for one file; its processor time is bounded likewise (RLIMIT_CPU).
    pixel_bytes
        The most bytes that one decoded frame may have.

    Notes
    -----
    The child starts at the first use or by `start`, ends when its input ends, and is replaced
    after a crash.
    """

    def __init__(self, *, memory_bytes: int, seconds: float, pixel_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._seconds = seconds
        self._pixel_bytes = pixel_bytes
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._is_ready = False

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is none."""
        child = self._child
        return None if child is None else child.process.pid

    def start(self) -> None:
        """Start the child and wait until it is warm, so that the first image is not late.

        Raises
        ------
        DecoderCrashError
            The child did not come up.
        """
        with self._lock:
            self._ready_child()

    def decode(self, content: bytes) -> DecodedImage:
        """Decode one file in the child; see `appliance.dicom.pixels.decode`.

        Raises
        ------
        RefusedError
            What `pixels.decode` refuses.
        DecodeError
            The pixel data is damaged.
        DecoderCrashError
            The child died or ran over its limits on this file.
        """
        return self._ask(DECODE, content, self._image)

    def fingerprint(self, content: bytes) -> str:
        """Return the fingerprint of one file; see `appliance.dicom.pixels.fingerprint`.

        Raises as `decode`.
        """
        return self._ask(FINGERPRINT, content, _fingerprint)

    def same_content(self, first: bytes, second: bytes) -> bool:
        """Say whether both are encodings of one instance; False when either does not decode."""
        try:
            return self.fingerprint(first) == self.fingerprint(second)
        except WaypostError:
            return False

    def close(self) -> None:
        """End the child. A later use starts another."""
        with self._lock:
            self._drop_child()

    def __enter__(self) -> Decoder:  # noqa: PYI034 - typing.Self came with Python 3.11
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, task: bytes, content: bytes, understand: Callable[[Any, bytearray], _T]) -> _T:
        with self._lock:
            child = self._ready_child()
            deadline = time.monotonic() + self._seconds
            try:
                _send(child, REQUEST.pack(task, len(content)), deadline)
                _send(child, content, deadline)
                head, raw = _receive_reply(child, deadline, 3 * self._pixel_bytes)
                _raise_error_in(head)
                return understand(head, raw)
            except _NOT_AN_ANSWER as error:
                self._drop_child()
                self._child = self._spawn()
                raise _crash() from error

    def _ready_child(self) -> _Child:
        if self._child is not None and self._child.process.poll() is not None:
            self._drop_child()
        if self._child is None:
            self._child = self._spawn()
        if not self._is_ready:
            try:
                _receive_reply(self._child, time.monotonic() + _START_SECONDS, 0)
            except (OSError, ValueError) as error:
                self._drop_child()
                raise DecoderCrashError("The image decoder does not start.") from error
            self._is_ready = True
        return self._child

    def _spawn(self) -> _Child:
        limits = [str(self._memory_bytes), str(self._seconds), str(self._pixel_bytes)]
        folder = str(Path(__file__).resolve().parents[2])
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-c", _LAUNCH, folder, *limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            # One thread each: threads cost address space, and the box has better use for its cores.
            env={"LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        if process.stdin is None or process.stdout is None:
            raise _crash()
        requests, replies = process.stdin.fileno(), process.stdout.fileno()
        for descriptor in (requests, replies):
            os.set_blocking(descriptor, False)
            with contextlib.suppress(OSError):
                fcntl.fcntl(descriptor, _F_SETPIPE_SZ, PIPE_BYTES)
        self._is_ready = False
        return _Child(process, requests, replies)

    def _drop_child(self) -> None:
        child, self._child, self._is_ready = self._child, None, False
        if child is None:
            return
        child.process.kill()
        child.process.wait()
        for stream in (child.process.stdin, child.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _image(self, head: Any, raw: bytearray) -> DecodedImage:
        shape = tuple(head["shape"])
        whole = all(type(side) is int and side > 0 for side in shape)
        if not whole or len(shape) not in {2, 3} or (len(shape) == 3 and shape[2] != 3):
            raise ValueError("shape")
        if math.prod(shape) != len(raw):
            raise ValueError("length")
        notes = tuple(Reason(_text(n["code"]), _text(n["text"])) for n in head["notes"])
        image = np.frombuffer(raw, dtype=np.uint8).reshape(shape)
        return DecodedImage(image, _header(head["header"]), notes, int(head["frame_index"]))


def _send(child: _Child, content: bytes, deadline: float) -> None:
    view = memoryview(content)
    while view:
        _wait(child.requests, select.POLLOUT, deadline)
        view = view[os.write(child.requests, view) :]


def _receive(child: _Child, length: int, deadline: float) -> bytearray:
    content = bytearray(length)
    view = memoryview(content)
    while view:
        _wait(child.replies, select.POLLIN, deadline)
        got = os.readv(child.replies, [view])
        if not got:
            raise BrokenPipeError
        view = view[got:]
    return content


def _wait(descriptor: int, event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise TimeoutError


def _receive_reply(child: _Child, deadline: float, most: int) -> tuple[Any, bytearray]:
    head_bytes, raw_bytes = REPLY.unpack(_receive(child, REPLY.size, deadline))
    if head_bytes > _HEAD_LIMIT or raw_bytes > most:
        raise ValueError("too long")
    head = json.loads(_receive(child, head_bytes, deadline))
    return head, _receive(child, raw_bytes, deadline)


def _raise_error_in(head: Any) -> None:
    if "error" in head:
        raise _ERRORS[head["error"]](_text(head["text"]), code=_text(head["code"]))


def _fingerprint(head: Any, _raw: bytearray) -> str:
    return _text(head["fingerprint"])


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 1000:
        raise TypeError("text")
    return value


_NUMBERS = {"rows", "columns", "number_of_frames", "patient_age_years"}


def _header(body: Any) -> Header:
    if set(body) != {item.name for item in fields(Header)}:
        raise ValueError("header")
    spacing = body.pop("pixel_spacing_mm")
    for name, value in body.items():
        expected = (int, float) if name in _NUMBERS else (str,)
        if value is not None and not isinstance(value, expected):
            raise TypeError(name)
    pair = None if spacing is None else (float(spacing[0]), float(spacing[1]))
    return Header(**body, pixel_spacing_mm=pair)
