from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom import dcmread

from appliance.domain import ItemKind, Lane, OutboxItem
from appliance.errors import NotAnImageError, StorageError
from appliance.report.secondary_capture import result_uid
from appliance.store import instances
from tests import builders
from tests.sync.box import Box

UID = "1.2.3.4.5"


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
