"""The receiving process: C-STORE and C-ECHO to the one door."""

from __future__ import annotations

import time

from appliance.ingest.scp import Receiver
from appliance.processes.process import Process, beat, main
from appliance.wiring.settings import join_address
from appliance.wiring.storage import build_admitter

_LEFTOVER_AGE_S = 3600.0
_BEAT_S = 5.0


def work(process: Process) -> None:
    """Receive until the process shall end."""
    process.files.remove_leftovers(_LEFTOVER_AGE_S, time.time())
    config, store = process.config, process.store
    receiver = Receiver(
        build_admitter(config, process.data, store, process.files).admit,
        ae_title=config.station.ae_title,
        host=config.station.dicom_host,
        port=config.station.dicom_port,
        associations=config.limits.associations,
    )
    address = join_address(*receiver.start())
    process.ready(address)
    try:
        while not process.stop.is_set():
            beat(store, "receive", f"{config.station.ae_title} {address}")
            process.stop.wait(_BEAT_S)
    finally:
        receiver.stop()


if __name__ == "__main__":
    main("receive", work)
