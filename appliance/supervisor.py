"""Starts the processes of the appliance, waits until each accepts work, restarts what dies."""

from __future__ import annotations

import ctypes
import logging
import os
import select
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from appliance.errors import InstallError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FrameType

_LOG = logging.getLogger(__name__)
_READY_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 8.0
_RESTART_MIN_S = 0.2
_RESTART_MAX_S = 10.0
_PR_SET_PDEATHSIG = 1  # prctl(2)


@dataclass(frozen=True, slots=True)
class Role:
    """One process of the appliance.

    Parameters
    ----------
    argv
        Its command; ``--ready-fd N`` is appended, and it writes one line there when it accepts
        work: its address, or ``-``.
    """

    name: str
    argv: tuple[str, ...]


@dataclass(slots=True)
class _Child:
    role: Role
    process: subprocess.Popen[bytes]
    restart_at: float | None = None
    backoff_s: float = _RESTART_MIN_S
    ready: str | None = None
    ready_fd: int = -1
    buffer: bytes = field(default=b"")


class Supervisor:
    """Keeps the processes of `roles` alive until it is told to stop.

    A crash of one stops no other: it is started again, at once when it had accepted work, after a
    growing pause while it dies before that. When the supervisor itself is killed, the kernel ends
    its children (PR_SET_PDEATHSIG).
    """

    def __init__(self, roles: Sequence[Role]) -> None:
        self._roles = tuple(roles)
        self._children: dict[str, _Child] = {}
        self._stop = threading.Event()

    def start(self) -> Mapping[str, str]:
        """Start all and return what each said when it became ready (its address, or ``-``).

        Raises
        ------
        InstallError
            A process ended, or did not become ready in time; all others are stopped first.
        """
        for role in self._roles:
            self._children[role.name] = _spawn(role)
        deadline = time.monotonic() + _READY_TIMEOUT_S
        for child in self._children.values():
            if not self._await_ready(child, deadline):
                self.shut_down()
                raise InstallError(
                    f"The {child.role.name} process did not start; its reason stands above."
                )
        return {name: str(child.ready) for name, child in self._children.items()}

    def _await_ready(self, child: _Child, deadline: float) -> bool:
        while child.ready is None and not self._stop.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if select.select([child.ready_fd], [], [], min(left, 0.2))[0] and not _read(child):
                return False
        return child.ready is not None

    def run(self) -> None:
        """Watch the processes until `stop` is called or a signal asks for the end."""
        while not self._stop.wait(0.1):
            for name in tuple(self._children):
                self._watch(name)

    def _watch(self, name: str) -> None:
        child = self._children[name]
        now = time.monotonic()
        if child.restart_at is not None:
            if now >= child.restart_at:
                again = _spawn(child.role)
                again.backoff_s = child.backoff_s
                self._children[name] = again
            return
        if child.ready is None and select.select([child.ready_fd], [], [], 0)[0]:
            _read(child)
        status = child.process.poll()
        if status is None:
            return
        grown = min(child.backoff_s * 2, _RESTART_MAX_S)
        child.backoff_s = grown if child.ready is None else _RESTART_MIN_S
        child.restart_at = now + child.backoff_s
        _close(child)
        _LOG.warning("%s ended with %s; again in %.1f s", name, status, child.backoff_s)

    def pids(self) -> Mapping[str, int]:
        """Return the process id of each role (tests kill them by it)."""
        return {name: child.process.pid for name, child in self._children.items()}

    def stop_on_signals(self) -> None:
        """Stop on SIGTERM and SIGINT (call it from the main thread)."""

        def handle(_number: int, _frame: FrameType | None) -> None:
            self._stop.set()

        signal.signal(signal.SIGTERM, handle)
        signal.signal(signal.SIGINT, handle)

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stop.set()

    def shut_down(self) -> None:
        """End every process: first by SIGTERM, then by SIGKILL."""
        for child in self._children.values():
            if child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        for child in self._children.values():
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
            _close(child)


def _spawn(role: Role) -> _Child:
    read_fd, write_fd = os.pipe()
    process = subprocess.Popen(  # noqa: S603 - the command is our own
        [*role.argv, "--ready-fd", str(write_fd)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(write_fd,),
        preexec_fn=_die_with_parent,  # noqa: PLW1509 - the supervisor has one thread
    )
    os.close(write_fd)
    return _Child(role, process, ready_fd=read_fd)


def _die_with_parent() -> None:
    os.setpgid(0, 0)  # Ctrl-C in a terminal reaches the supervisor alone, which ends the others
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _read(child: _Child) -> bool:
    part = os.read(child.ready_fd, 4096)
    child.buffer += part
    if b"\n" in child.buffer:
        child.ready = child.buffer.split(b"\n", 1)[0].decode()
    return bool(part)


def _close(child: _Child) -> None:
    if child.ready_fd >= 0:
        os.close(child.ready_fd)
        child.ready_fd = -1
