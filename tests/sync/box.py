"""A box with an instance and its readings, kept as admission and the worker keep them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from appliance.domain import Header, ReadingState, Source
from appliance.report.overlay import film_png, heat_png
from appliance.store import instances, jobs, readings
from appliance.store.database import Store
from appliance.store.files import FileStore
from appliance.sync.payload import Payloads
from tests.report import samples
from tests.sync.seeds import NOW

UID = "1.2.3.4.5"


class Box:
    """A store with one instance; readings are added as the worker would."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "waypost.db")
        self.files = FileStore(folder / "files")
        self.payloads = Payloads(
            self.store,
            self.files,
            station_name="Box",
            software_version="0.1.0",
            intended_use_of={"cxr-pneumonia": "Films of children."}.__getitem__,
        )

    def keep(self, content: bytes, media_type: str, **header: Any) -> int:
        new = instances.NewInstance(
            header=Header(**{"sop_instance_uid": UID, "study_instance_uid": "1.2.3.4", **header}),
            media_type=media_type,
            sha256=self.files.put(content),
            size_bytes=len(content),
            source=Source.UPLOAD,
            station="",
        )
        with self.store.transaction() as db:
            instance_id = instances.insert(db, new, NOW)
        assert instance_id is not None
        return instance_id

    def read(self, state: ReadingState = ReadingState.READ) -> int:
        """Give the one instance a reading with its drawings; return the reading's id."""
        artifacts = {
            "film": self.files.put(film_png(samples.film())),
            "heat": self.files.put(heat_png(samples.explanation(), 600, 480)),
        }
        with self.store.transaction() as db:
            job = jobs.claim(db, "w", NOW, 60)
            assert job is not None
            return readings.insert(db, job, samples.reading(state), artifacts, NOW)
