"""The reading process: jobs through the pipeline."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from appliance.inference.registry import choose
from appliance.processes.process import Process, main
from appliance.wiring.reading import (
    LoadedModels,
    build_pipeline,
    build_read,
    build_upgrade,
    load_models,
)
from appliance.wiring.storage import build_decoder
from appliance.worker import Route, Worker

if TYPE_CHECKING:
    from appliance.inference.upgrade import Upgrade


def work(process: Process) -> None:
    """Read until the process shall end."""
    config = process.config
    with build_decoder(config) as decoder:
        decoder.start()
        models = load_models(config, process.data)
        upgrade = build_upgrade(config, process.data, models)
        worker = Worker(
            process.store,
            process.files,
            build_read(build_pipeline(config, decoder, models), process.store, process.data),
            routes=[Route(t.name, t.send_instances, t.send_results) for t in config.target],
            owner=f"worker-{os.getpid()}",
            clock=time.time,
            detail=_detail(models, upgrade),
        )
        worker.take_over()
        process.ready("-")
        upgrade.start(lambda: worker.tell(_detail(models, upgrade)))
        try:
            worker.run(process.stop)
        finally:
            upgrade.close()


def _detail(models: LoadedModels, upgrade: Upgrade) -> str:
    """Say what the sign of life tells: the models' self-tests, and which engine reads."""
    first = choose().name
    return json.dumps(
        {
            "checks": [asdict(check) for check in models.all_checks],
            "backend": upgrade.reads_with or first,
            "backends": {first: "available", upgrade.backend_name: upgrade.summary()},
        }
    )


if __name__ == "__main__":
    main("worker", work)
