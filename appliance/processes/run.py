"""The whole appliance in the foreground: four processes and who watches them."""

from __future__ import annotations

import fcntl
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from appliance.errors import InstallError
from appliance.logs import set_up_logging
from appliance.store.database import Store
from appliance.supervisor import Role, Supervisor
from appliance.wiring.settings import Options, data_folder, join_address, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.config import Config


def run_appliance(options: Options, started: Callable[[str, str], None]) -> None:
    """Run the whole appliance until SIGINT or SIGTERM.

    Parameters
    ----------
    started
        Called once, with the page's address and the DICOM address, when work is accepted.

    Raises
    ------
    InstallError
        Another appliance uses the data folder, or a process did not start.
    """
    set_up_logging("waypost")
    data = data_folder(options)
    config = load(options)
    with _data_lock(data):
        Store(data / "waypost.db").close()
        supervisor = Supervisor(_roles(options, config, data))
        supervisor.stop_on_signals()
        try:
            addresses = supervisor.start()
            started(f"http://{addresses['web']}", addresses["receive"])
            supervisor.run()
        finally:
            supervisor.shut_down()


def _roles(options: Options, config: Config, data: Path) -> list[Role]:
    common = ["--data", str(data)]
    if options.config is not None:
        common += ["--config", str(options.config)]
    station = config.station
    dicom = ["--dicom", _settled(station.dicom_host, station.dicom_port)]
    dicom += ["--ae-title", station.ae_title]
    web = ["--web", _settled(station.web_host, station.web_port)]
    python = [sys.executable, "-m"]
    return [
        Role("web", (*python, "web", *common, *web)),
        Role("receive", (*python, "appliance.processes.receive", *common, *dicom)),
        Role("worker", (*python, "appliance.processes.worker", *common)),
        Role("courier", (*python, "appliance.processes.courier", *common)),
    ]


def _settled(host: str, port: int) -> str:
    """Return the address; for port 0 one that is free now and stays the same after a restart."""
    if port == 0:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.bind((host, 0))
            port = probe.getsockname()[1]
    return join_address(host, port)


@contextmanager
def _data_lock(data: Path) -> Iterator[None]:
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / "run.lock").open("w")
    except OSError as error:
        raise InstallError(f"The data folder {data} cannot be used: {error.strerror}.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InstallError(
                f"Another appliance already runs on {data}. Stop it first, or give --data."
            ) from error
        yield
