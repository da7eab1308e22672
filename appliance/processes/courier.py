"""The sending process: the outbox to every configured target."""

from __future__ import annotations

from appliance.processes.process import Process, main
from appliance.wiring.carrying import build_courier


def work(process: Process) -> None:
    """Carry until the process shall end."""
    courier = build_courier(process.config, process.data, process.store, process.files)
    process.ready("-")
    courier.run(process.stop)


if __name__ == "__main__":
    main("courier", work)
