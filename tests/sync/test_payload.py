from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom import dcmread

from appliance.domain import Header, ItemKind, Lane, OutboxItem, ReadingState, Source
from appliance.errors import NotAnImageError, StorageError
from appliance.report.overlay import film_png, heat_png
from appliance.report.secondary_capture import result_uid
from appliance.store import instances, jobs, readings
from appliance.store.database import Store
from appliance.store.files import FileStore
from appliance.sync.payload import Payloads
from tests import builders
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


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    opened = Box(tmp_path)
    yield opened
    opened.store.close()


def item(instance_id: int, kind: ItemKind, uid: str = UID) -> OutboxItem:
    return OutboxItem(1, "hub", kind, instance_id, Lane.STUDY, uid, 1)


def test_a_dicom_instance_goes_as_it_came(box: Box) -> None:
    content = builders.make_cr()
    kept = box.keep(content, "application/dicom")
    assert box.payloads(item(kept, ItemKind.INSTANCE)) == content


def test_a_picture_goes_as_dicom_under_its_own_uid(box: Box) -> None:
    done, png = cv2.imencode(".png", np.full((20, 30), 9, np.uint8))
    assert done
    kept = box.keep(png.tobytes(), "image/png")
    ds = dcmread(BytesIO(box.payloads(item(kept, ItemKind.INSTANCE))))
    assert (ds.SOPInstanceUID, ds.Rows, ds.Columns) == (UID, 20, 30)


def test_what_is_neither_cannot_go(box: Box) -> None:
    kept = box.keep(b"GIF89a", "application/octet-stream")
    with pytest.raises(NotAnImageError):
        box.payloads(item(kept, ItemKind.INSTANCE))


def test_a_result_is_made_of_its_own_reading(box: Box) -> None:
    kept = box.keep(builders.make_cr(), "application/dicom")
    uid = result_uid(UID, box.read())
    made = box.payloads(item(kept, ItemKind.RESULT, uid))
    ds = dcmread(BytesIO(made))
    assert ds.SOPInstanceUID == uid
    assert ds.StudyInstanceUID == "1.2.3.4"
    assert ds.StationName == "Box"
    assert box.payloads(item(kept, ItemKind.RESULT, uid)) == made


def test_a_result_whose_reading_is_not_kept_is_not_made_of_another(box: Box) -> None:
    kept = box.keep(builders.make_cr(), "application/dicom")
    reading_id = box.read()
    with pytest.raises(NotAnImageError):
        box.payloads(item(kept, ItemKind.RESULT, result_uid(UID, reading_id + 1)))


def test_an_instance_that_is_gone_is_said(box: Box) -> None:
    with pytest.raises(NotAnImageError):
        box.payloads(item(77, ItemKind.INSTANCE))


def test_a_damaged_file_is_the_operators_and_is_tried_again(box: Box) -> None:
    kept = box.keep(b"\x89PNG", "image/png")
    with box.store.read() as db:
        stored = instances.by_id(db, kept)
    assert stored is not None
    box.files.path(stored.sha256).write_bytes(b"rotten")
    with pytest.raises(StorageError):
        box.payloads(item(kept, ItemKind.INSTANCE))
