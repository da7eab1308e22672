"""The receiving process: C-STORE and C-ECHO to the one door."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from appliance.errors import InstallError
from appliance.ingest.scp import Receiver
from appliance.processes.process import Process, beat, main
from appliance.wiring.settings import join_address
from appliance.wiring.storage import build_admitter, build_decoder

if TYPE_CHECKING:
    from appliance.config import Station

_LEFTOVER_AGE_S = 3600.0
_BEAT_S = 5.0


def work(process: Process) -> None:
    """Receive until the process shall end."""
    process.files.remove_leftovers(_LEFTOVER_AGE_S, time.time())
    config, store = process.config, process.store
    station = config.station
    with build_decoder(config) as decoder:
        admitter = build_admitter(config, process.data, (store, process.files), decoder)
        receiver = Receiver(
            admitter.admit,
            ae_title=station.ae_title,
            host=station.dicom_host,
            port=station.dicom_port,
            associations=config.limits.associations,
        )
        address = _start(receiver, station)
        process.ready(address)
        try:
            while not process.stop.is_set():
                beat(store, "receive", f"{station.ae_title} {address}")
                process.stop.wait(_BEAT_S)
        finally:
            receiver.stop()


def _start(receiver: Receiver, station: Station) -> str:
    try:
        return join_address(*receiver.start())
    except OSError as error:
        asked = join_address(station.dicom_host, station.dicom_port)
        raise InstallError(
            f"DICOM cannot be received at {asked}: {error.strerror}. Stop the program that uses "
            "this port, or give --dicom HOST:PORT."
        ) from error


if __name__ == "__main__":
    main("receive", work)
