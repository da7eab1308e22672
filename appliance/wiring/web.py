"""What the pages may use, built over the store; nothing here needs an inference engine."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance import health
from appliance.domain import Check, SystemReport
from appliance.ingest.upload import Uploads
from appliance.review import Review
from appliance.wiring.models import model_card, model_summaries
from appliance.wiring.settings import Options, data_folder, load, software_version
from appliance.wiring.site import check_chosen
from appliance.wiring.storage import build_admitter, build_decoder, open_store, reserve_bytes
from appliance.worklist import Worklist

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.config import Config
    from appliance.domain import ModelSummary
    from appliance.store.database import Store
    from appliance.worklist import Overview

_UPLOAD_BYTES = 512 * 1024 * 1024
_UPLOAD_ENTRIES = 2000
_ROLES = ("receive", "worker", "courier")


@dataclass(frozen=True, slots=True)
class WebServices:
    """All that the pages may use.

    Parameters
    ----------
    system
        Makes the system report anew at each call (some checks take tens of milliseconds).
    model_card
        Model id and version to the text of its card (Markdown), or None.
    """

    station_name: str
    software_version: str
    worklist: Worklist
    review: Review
    uploads: Uploads
    system: Callable[[], SystemReport]
    model_card: Callable[[str, str], str | None]
    upload_bytes: int


def open_web_services(data: Path, config_file: Path | None = None) -> WebServices:
    """Build all that the pages use, over the store in `data`."""
    options = Options(data=data, config=config_file)
    config = load(options)
    store, files = open_store(data)
    worklist = Worklist(store, files)
    return WebServices(
        station_name=config.station.name,
        software_version=software_version(),
        worklist=worklist,
        review=Review(store, time.time),
        uploads=Uploads(
            build_admitter(config, data, (store, files), build_decoder(config)).admit,
            total_bytes=_UPLOAD_BYTES,
            entries=_UPLOAD_ENTRIES,
        ),
        system=lambda: system_report(config, data, store, worklist),
        model_card=lambda name, number: model_card(data, name, number),
        upload_bytes=_UPLOAD_BYTES,
    )


def system_report(config: Config, data: Path, store: Store, worklist: Worklist) -> SystemReport:
    """Look at everything that needs no inference engine in this process.

    The worker's own tests (golden vectors, backends) come from its last sign of life.
    """
    overview = worklist.overview()
    now = time.time()
    usage = shutil.disk_usage(data)
    beats = {beat.role: beat for beat in overview.heartbeats}
    worker = _worker_detail(beats["worker"].detail) if "worker" in beats else {}
    open_items = [c for c in overview.outbox if c.state in {"ready", "leased"}]
    oldest = min((c.oldest_at.timestamp() for c in open_items), default=None)
    dead = sum(c.count for c in overview.outbox if c.state == "dead")
    checks = [
        health.check_disk(usage.free, reserve_bytes(config, data)),
        health.check_clock(now),
        health.check_database(store),
        check_chosen(store, data),
        health.check_outbox(oldest, dead, now),
        *(
            health.check_process(role, beats[role].at.timestamp() if role in beats else None, now)
            for role in _ROLES
        ),
        *(Check(**check) for check in worker.get("checks", [])),
    ]
    station = config.station
    receive = beats["receive"].detail if "receive" in beats else ""
    ae_title, _, address = receive.partition(" ")
    return SystemReport(
        station_name=station.name,
        ae_title=ae_title or station.ae_title,
        dicom_address=address or f"{station.dicom_host}:{station.dicom_port}",
        software_version=software_version(),
        checks=tuple(checks),
        models=tuple(_models(config, data, worker)),
        backends=worker.get("backends", {}),
        disk_free_bytes=usage.free,
        disk_total_bytes=usage.total,
        targets=tuple(target.name for target in config.target),
    )


def _models(config: Config, data: Path, worker: dict[str, Any]) -> list[ModelSummary]:
    backend = worker.get("backend", "not running")
    return model_summaries(data, backend, research=config.models.research)


def _worker_detail(text: str) -> dict[str, Any]:
    """Return what the worker said of itself; nothing when another version wrote it otherwise."""
    try:
        detail = json.loads(text)
    except ValueError:
        return {}
    return detail if isinstance(detail, dict) else {}


def report_system(options: Options) -> tuple[SystemReport, Overview]:
    """Return what ``waypost status`` tells."""
    data, config = data_folder(options), load(options)
    store, files = open_store(data)
    try:
        worklist = Worklist(store, files)
        return system_report(config, data, store, worklist), worklist.overview()
    finally:
        store.close()
