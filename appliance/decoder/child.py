"""The child: warms up, gives up what it does not need, decodes until its input ends."""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from appliance.decoder.protocol import FINGERPRINT, PIPE_BYTES, REPLY, REQUEST
from appliance.dicom import pixels
from appliance.dicom.sop_classes import TRANSFER_SYNTAXES
from appliance.errors import WaypostError

if TYPE_CHECKING:
    from collections.abc import Callable


def serve(
    requests: BinaryIO, replies: BinaryIO, pixel_bytes: int, before_each: Callable[[], None]
) -> None:
    """Answer requests until they end.

    Parameters
    ----------
    requests, replies
        The two pipes.
    pixel_bytes
        The most bytes that one decoded frame may have.
    before_each
        Called before each file (it moves the limit of processor time ahead).
    """
    _reply(replies, {"ready": True})
    while len(head := requests.read(REQUEST.size)) == REQUEST.size:
        task, length = REQUEST.unpack(head)
        content = requests.read(length)
        before_each()
        try:
            body, raw = _answer(task, content, pixel_bytes)
        except WaypostError as error:
            body, raw = _error_body(error), b""
        _reply(replies, body, raw)


def _answer(task: bytes, content: bytes, pixel_bytes: int) -> tuple[dict[str, Any], Any]:
    if task == FINGERPRINT:
        return {"fingerprint": pixels.fingerprint(content, pixel_bytes_limit=pixel_bytes)}, b""
    image = pixels.decode(content, pixel_bytes_limit=pixel_bytes)
    body = {
        "shape": image.pixels.shape,
        "header": asdict(image.header),
        "notes": [asdict(note) for note in image.notes],
        "frame_index": image.frame_index,
    }
    return body, image.pixels.data


def _error_body(error: WaypostError) -> dict[str, Any]:
    return {"error": type(error).__name__, "code": error.code, "text": error.text}


def _reply(replies: BinaryIO, body: dict[str, Any], raw: Any = b"") -> None:
    head = json.dumps(body).encode()
    view = memoryview(raw).cast("B") if raw else memoryview(b"")
    replies.write(REPLY.pack(len(head), len(view)) + head)
    replies.write(view)
    replies.flush()


def _limit(memory_bytes: int) -> None:
    """Give up what decoding does not need."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    space = pages * resource.getpagesize() + memory_bytes
    for what, most in (
        (resource.RLIMIT_AS, space),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(what, (most, most))


def _allow_seconds(seconds: float) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    until = math.ceil(usage.ru_utime + usage.ru_stime + seconds) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (until, hard))


def main(arguments: list[str]) -> None:
    """Be the child: warm up, give up rights, serve."""
    memory_bytes, seconds, pixel_bytes = int(arguments[0]), float(arguments[1]), int(arguments[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests = os.fdopen(os.dup(0), "rb", buffering=PIPE_BYTES)
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    # C libraries print to file descriptor 1; it must not be the pipe.
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(nothing, standard)
    pixels.warm_up(TRANSFER_SYNTAXES)
    _limit(memory_bytes)
    # The parent is gone: there is nobody left to answer.
    with contextlib.suppress(BrokenPipeError):
        serve(requests, replies, pixel_bytes, lambda: _allow_seconds(seconds))


if __name__ == "__main__":
    main(sys.argv[1:])
