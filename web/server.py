"""The pages' server: one gunicorn worker with threads, on a socket that is bound here."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication

from appliance.errors import ConfigError
from web.app import create_app, live_of
from web.guard import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

    from appliance.wiring.web import WebServices

THREADS = 32
BACKLOG = 128
# A stopping worker may finish what it does for this long; the streams end at once.
GRACE_S = 1
_PR_SET_PDEATHSIG = 1  # prctl(2)
NOT_LOOPBACK = (
    "The pages open to the clinic's network only with login and TLS, which this version does not"
    " have yet. Use 127.0.0.1."
)


def bind(address: str) -> socket.socket:
    """Return a listening socket on ``HOST:PORT`` (``[::1]:PORT`` for IPv6; port 0: any free one).

    Raises
    ------
    ConfigError
        The address cannot be understood, is not this machine's own, or is taken.
    """
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"“{address}” is no HOST:PORT. Write it like 127.0.0.1:8080.")
    if not is_loopback(host):
        raise ConfigError(NOT_LOOPBACK)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, int(port)))
    except OSError as error:
        listener.close()
        text = f"The pages cannot open at {address} ({error.strerror}). Choose another port."
        raise ConfigError(text) from error
    listener.listen(BACKLOG)
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the address that a listening socket is reached at, as ``HOST:PORT``."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """Gunicorn, told everything by this program: no settings file, no command line.

    Parameters
    ----------
    make_services
        Called in the worker, after the fork: a database connection does not survive one.
    listener
        The bound socket; gunicorn takes it over.
    ready_fd
        Where to write the address once the worker accepts, or None.
    """

    def __init__(
        self,
        make_services: Callable[[], WebServices],
        listener: socket.socket,
        ready_fd: int | None,
    ) -> None:
        self._make_services = make_services
        self._address = address_of(listener)
        self._descriptor = listener.detach()
        self._ready_fd = ready_fd
        self._app: Flask | None = None
        super().__init__()

    def load_config(self) -> None:
        """Set what differs from gunicorn's defaults."""
        settings: dict[str, Any] = {
            "bind": f"fd://{self._descriptor}",
            "worker_class": "gthread",
            "workers": 1,
            "threads": THREADS,
            "graceful_timeout": GRACE_S,
            "loglevel": "warning",
            "accesslog": None,
            "proc_name": "waypost-web",
            "control_socket_disable": True,
            "post_fork": _end_with_arbiter,
            "post_worker_init": self._started,
        }
        if Path("/dev/shm").is_dir():  # noqa: S108  # gunicorn's heartbeat file, not on the disk
            settings["worker_tmp_dir"] = "/dev/shm"  # noqa: S108
        for name, value in settings.items():
            if name in self.cfg.settings:  # older gunicorn has no control socket to switch off
                self.cfg.set(name, value)

    def load(self) -> Flask:
        """Make the app, in the worker."""
        self._app = create_app(self._make_services())
        return self._app

    def _started(self, worker: Any) -> None:
        """Let the streams end with the worker, and say that it accepts."""
        if self._app is not None:
            live = live_of(self._app)
            for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT):
                _stop_before(number, live.stop)
        # A worker that replaces one that died has nothing to announce.
        if self._ready_fd is not None and worker.age == 1:
            with suppress(OSError):  # nobody waits any more
                os.write(self._ready_fd, f"{self._address}\n".encode())
                os.close(self._ready_fd)


def _end_with_arbiter(_arbiter: Any, _worker: Any) -> None:
    """Let the kernel end the worker when the arbiter is killed: it must not keep the port."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _stop_before(number: signal.Signals, stop: Callable[[], None]) -> None:
    """Call `stop` when the signal comes, and then whatever handled it until now."""
    before = signal.getsignal(number)

    def handle(received: int, frame: Any) -> None:
        stop()
        if callable(before):
            before(received, frame)

    signal.signal(number, handle)


def serve(
    make_services: Callable[[], WebServices],
    listener: socket.socket,
    ready_fd: int | None = None,
) -> None:
    """Serve the pages on `listener` until SIGTERM or SIGINT; it ends the process."""
    _Server(make_services, listener, ready_fd).run()
