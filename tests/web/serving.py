"""The pages' real server in a process of its own, over a data folder."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def start(data: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start ``python -m web`` and return it with its HOST:PORT, once it accepts."""
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "web", "--data", str(data), "--web", "127.0.0.1:0"]
    process = subprocess.Popen([*command, "--ready-fd", str(writer)], pass_fds=[writer])
    os.close(writer)
    try:
        ready, _, _ = select.select([reader], [], [], 60)
        line = os.read(reader, 100).decode() if ready else ""
    finally:
        os.close(reader)
    if not line:
        process.kill()
        process.wait()
        raise RuntimeError("the pages did not start")
    return process, line.strip()


def stop(process: subprocess.Popen[bytes]) -> float:
    """End the server with SIGTERM and return how long it took, in seconds."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    return time.monotonic() - began


@contextmanager
def serving(data: Path) -> Iterator[str]:
    """Lend a running server's address."""
    process, address = start(data)
    try:
        yield address
    finally:
        stop(process)
