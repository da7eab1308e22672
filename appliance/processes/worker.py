"""The reading process: jobs through the pipeline."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict

from appliance.inference.registry import choose
from appliance.processes.process import Process, main
from appliance.wiring.reading import backend_troubles, build_pipeline, load_models
from appliance.wiring.storage import build_decoder
from appliance.worker import Route, Worker


def work(process: Process) -> None:
    """Read until the process shall end."""
    config = process.config
    with build_decoder(config) as decoder:
        decoder.start()
        models = load_models(config, process.data)
        backends = {name: why or "available" for name, why in backend_troubles().items()}
        backend = choose().name
        checks = [asdict(check) for check in models.checks]
        worker = Worker(
            process.store,
            process.files,
            build_pipeline(config, decoder, models).read,
            routes=[Route(t.name, t.send_instances, t.send_results) for t in config.target],
            owner=f"worker-{os.getpid()}",
            clock=time.time,
            detail=json.dumps({"checks": checks, "backend": backend, "backends": backends}),
        )
        worker.take_over()
        process.ready("-")
        worker.run(process.stop)


if __name__ == "__main__":
    main("worker", work)
