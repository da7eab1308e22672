"""Real archives take a film and its result: DCMTK's storescp, Orthanc by C-STORE and STOW-RS."""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom import dcmread

from appliance.domain import ItemKind, Lane
from appliance.report.panel import PANEL_WIDTH
from appliance.report.secondary_capture import result_uid
from tests import builders
from tests.peers.namespace import Namespace
from tests.sync.box import UID, Box
from tests.sync.seeds import seed_item

pytestmark = [pytest.mark.peers, pytest.mark.root]

_PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
needs_orthanc = pytest.mark.skipif(
    shutil.which("Orthanc") is None or not Path(_PLUGIN).exists(),
    reason="Orthanc with its DICOMweb plugin is not here",
)
needs_storescp = pytest.mark.skipif(
    shutil.which("storescp") is None, reason="storescp (DCMTK) is not here"
)
needs_tc = pytest.mark.skipif(shutil.which("tc") is None, reason="tc (iproute2) is not here")
USER, PASSWORD = "box", "secret"
HTTP = "http://127.0.0.1:18042"
STOW = {"kind": "stow", "url": f"{HTTP}/dicom-web", "user": USER, "password": PASSWORD}
CSTORE = {"kind": "cstore", "port": 14242, "ae_title": "HUB"}


def filled_box(
    folder: Path, *, syntax: str = builders.EXPLICIT, rows: int = 600, columns: int = 480
) -> tuple[Path, str]:
    """Keep a film with a reading and an outbox; return the folder and the result's UID."""
    box = Box(folder / "box")
    film = builders.make_cr(
        rows=rows, columns=columns, transfer_syntax=syntax, StudyDate="20261124"
    )
    kept = box.keep(film, "application/dicom", sop_class_uid=builders.CR, patient_id="P1")
    result = result_uid(UID, box.read())
    seed_item(box.store, UID, instance_id=kept)
    seed_item(box.store, result, instance_id=kept, kind=ItemKind.RESULT, lane=Lane.KEY_IMAGES)
    box.store.close()
    return folder / "box", result


def start_orthanc(namespace: Namespace, folder: Path) -> None:
    settings = {
        "Name": "hub",
        "StorageDirectory": str(folder / "orthanc"),
        "IndexDirectory": str(folder / "orthanc"),
        "HttpPort": 18042,
        "DicomPort": 14242,
        "DicomAet": "HUB",
        "AuthenticationEnabled": True,
        "RemoteAccessAllowed": False,
        "RegisteredUsers": {USER: PASSWORD},
        "Plugins": [_PLUGIN],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(settings))
    namespace.start("Orthanc", str(path), log=folder / "orthanc.log")
    namespace.wait_for(
        lambda: namespace.python("get", f"{HTTP}/system", USER, PASSWORD, check=False)
    )


def ask(namespace: Namespace, path: str) -> Any:
    return json.loads(namespace.python("get", f"{HTTP}{path}", USER, PASSWORD))


def kept_by_orthanc(namespace: Namespace) -> dict[str, str]:
    """Return SOP Instance UID to Orthanc's id, for the one study that must be there."""
    studies = ask(namespace, "/studies?expand")
    assert [study["MainDicomTags"]["StudyInstanceUID"] for study in studies] == ["1.2.3.4"]
    found = ask(namespace, f"/studies/{studies[0]['ID']}/instances")
    return {item["MainDicomTags"]["SOPInstanceUID"]: item["ID"] for item in found}


@needs_orthanc
@pytest.mark.parametrize("target", [CSTORE, STOW], ids=["cstore", "stow"])
def test_orthanc_lists_film_and_result_under_one_study(
    namespace: Namespace, tmp_path: Path, target: dict[str, Any]
) -> None:
    folder, result = filled_box(tmp_path)
    start_orthanc(namespace, tmp_path)
    sent = namespace.drain(folder, **target)
    assert sent == {UID: ["delivered", None], result: ["delivered", None]}
    kept = kept_by_orthanc(namespace)
    assert set(kept) == {UID, result}
    preview = namespace.python("get", f"{HTTP}/instances/{kept[result]}/preview", USER, PASSWORD)
    picture = cv2.imdecode(np.frombuffer(preview, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape[1] == 480 + PANEL_WIDTH
    assert np.ptp(picture.astype(int), axis=2).max() > 40  # the overlay is there, in colour


@needs_orthanc
def test_without_a_link_all_waits_and_with_it_all_goes(
    namespace: Namespace, tmp_path: Path
) -> None:
    folder, result = filled_box(tmp_path)
    start_orthanc(namespace, tmp_path)
    namespace.link("down")
    waiting = namespace.drain(folder, **STOW, seconds=2)
    assert {state for state, _ in waiting.values()} == {"ready"}
    assert any(error for _, error in waiting.values())
    namespace.link("up")
    assert {state for state, _ in namespace.drain(folder, **STOW).values()} == {"delivered"}
    assert set(kept_by_orthanc(namespace)) == {UID, result}


@needs_orthanc
def test_a_wrong_password_holds_everything_and_loses_nothing(
    namespace: Namespace, tmp_path: Path
) -> None:
    folder, result = filled_box(tmp_path)
    start_orthanc(namespace, tmp_path)
    waiting = namespace.drain(folder, **{**STOW, "password": "wrong"}, seconds=2)
    assert {state for state, _ in waiting.values()} == {"ready"}
    assert "password" in str(waiting)
    assert {state for state, _ in namespace.drain(folder, **STOW).values()} == {"delivered"}
    assert set(kept_by_orthanc(namespace)) == {UID, result}


@needs_storescp
@pytest.mark.parametrize("syntax", [builders.EXPLICIT, builders.IMPLICIT])
def test_storescp_takes_film_and_result(namespace: Namespace, tmp_path: Path, syntax: str) -> None:
    folder, result = filled_box(tmp_path, syntax=syntax)
    received = tmp_path / "received"
    received.mkdir()
    namespace.start(
        "storescp", "-od", str(received), "-aet", "HUB", "14242", log=tmp_path / "storescp.log"
    )
    sent = namespace.drain(folder, **CSTORE)
    assert {state for state, _ in sent.values()} == {"delivered"}
    found = {str(dcmread(path).SOPInstanceUID) for path in received.iterdir()}
    assert found == {UID, result}


@needs_storescp
def test_an_encoding_that_the_peer_does_not_take_is_a_dead_letter(
    namespace: Namespace, tmp_path: Path
) -> None:
    folder, result = filled_box(tmp_path, syntax=builders.RLE)
    namespace.start(
        "storescp", "-od", str(tmp_path), "-aet", "HUB", "14242", log=tmp_path / "storescp.log"
    )
    sent = namespace.drain(folder, **CSTORE)
    assert sent[result] == ["delivered", None]
    assert sent[UID][0] == "dead"
    assert "does not take this kind" in sent[UID][1]


@needs_orthanc
@needs_tc
@pytest.mark.slow
@pytest.mark.parametrize("target", [CSTORE, STOW], ids=["cstore", "stow"])
def test_a_film_may_take_longer_than_the_timeout_and_a_cut_is_found_by_it(
    namespace: Namespace, tmp_path: Path, target: dict[str, Any]
) -> None:
    folder, result = filled_box(tmp_path, rows=1600, columns=1600)
    start_orthanc(namespace, tmp_path)
    namespace.slow_down("8mbit")  # the film takes five seconds
    cut = threading.Timer(4.5, namespace.link, ["down"])  # two of them after the start of Python
    cut.start()
    started = time.monotonic()
    waiting = namespace.drain(folder, **target, timeout_s=2, seconds=1)
    cut.join()
    assert waiting[UID][0] == "ready"
    assert time.monotonic() - started < 20
    namespace.link("up")
    sent = namespace.drain(folder, **target, timeout_s=2, seconds=40)
    assert {state for state, _ in sent.values()} == {"delivered"}
    assert set(kept_by_orthanc(namespace)) == {UID, result}
