"""What every process does: options, logging, signals, the word that it is ready, heartbeats."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.errors import StorageError, WaypostError
from appliance.logs import set_up_logging
from appliance.store import heartbeats
from appliance.wiring.settings import Options, data_folder, load
from appliance.wiring.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.config import Config
    from appliance.store.database import Store
    from appliance.store.files import FileStore


@dataclass(frozen=True, slots=True)
class Process:
    """What a process works with.

    Parameters
    ----------
    ready
        Called once with the process's address (or ``-``) when it accepts work.
    stop
        Set when the process shall end.
    """

    config: Config
    data: Path
    store: Store
    files: FileStore
    ready: Callable[[str], None]
    stop: threading.Event


def main(name: str, work: Callable[[Process], None]) -> None:
    """Run `work` until SIGTERM or SIGINT; an error of the appliance is printed as a sentence."""
    options, ready_fd = _parse(name)
    set_up_logging(name)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        data = data_folder(options)
        store, files = open_store(data)
        ready = _Ready(ready_fd)
        try:
            work(Process(load(options), data, store, files, ready, stop))
        finally:
            store.close()
    except WaypostError as error:
        sys.exit(f"{name}: {error.text}")


def beat(store: Store, role: str, detail: str) -> bool:
    """Give a sign of life; False when it could not be kept (a full disk)."""
    try:
        with store.transaction() as db:
            heartbeats.beat(db, role, detail, time.time())
    except StorageError:
        return False
    return True


class _Ready:
    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def __call__(self, text: str) -> None:
        if self._descriptor is not None:
            os.write(self._descriptor, f"{text}\n".encode())
            os.close(self._descriptor)
            self._descriptor = None


def _parse(name: str) -> tuple[Options, int | None]:
    parser = argparse.ArgumentParser(prog=f"appliance.processes.{name}")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--dicom", metavar="HOST:PORT")
    parser.add_argument("--ae-title", metavar="AET")
    parser.add_argument("--ready-fd", type=int)
    given = parser.parse_args()
    options = Options(given.data, given.config, None, given.dicom, given.ae_title)
    return options, given.ready_fd
