"""One X-ray, the whole way: every process real, the far side a real Storage SCP."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import StoragePresentationContexts

from appliance.store.database import Store
from tests.builders import make_cr, make_us
from tests.e2e.appliance import children, running, send, wait_until
from tests.models import without_gate
from tests.test_supervisor import gone

pytestmark = pytest.mark.slow


@pytest.fixture
def archive():
    """A Storage SCP that keeps what it gets: SOP Instance UID to SOP Class UID."""
    kept: dict[str, str] = {}

    def store(event: evt.Event) -> int:
        kept[str(event.request.AffectedSOPInstanceUID)] = str(event.request.AffectedSOPClassUID)
        return 0x0000

    ae = ApplicationEntity(ae_title="ARCHIVE")
    ae.supported_contexts = StoragePresentationContexts
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    yield server.socket.getsockname()[1], kept
    server.shutdown()


def test_a_film_is_received_read_shown_and_handed_on(tmp_path, archive, monkeypatch):
    monkeypatch.setenv("WAYPOST_MODELS", str(without_gate(tmp_path / "packages")))
    port, kept = archive
    config = f"""
[[target]]
name = "hospital"
kind = "cstore"
host = "127.0.0.1"
port = {port}
ae_title = "ARCHIVE"
"""
    film = make_cr(rows=400, columns=360, sop_instance_uid="1.2.3.1")
    with running(tmp_path / "data", config=config) as box:
        assert box.started_in_s < 15
        assert send(box, [film, make_us(sop_instance_uid="1.2.3.2")]) == [0, 0]
        assert wait_until(lambda: (box.case("1.2.3.1") or {}).get("state") in {"read", "abstained"})
        line = box.case("1.2.3.1")
        assert line["model"]["id"] == "cxr-pneumonia"
        refused = box.await_case("1.2.3.2", "refused")
        assert refused["findings"] == []
        page = urllib.request.urlopen(f"{box.web}/study/{line['id']}", timeout=10).read().decode()
        assert "Not a certified medical device" in page
        picture = urllib.request.urlopen(f"{box.web}/study/{line['id']}/film.png", timeout=10)
        assert picture.read(8) == b"\x89PNG\r\n\x1a\n"
        assert wait_until(lambda: len(kept) == 3), kept
        assert "1.2.3.1" in kept
        assert "1.2.840.10008.5.1.4.1.1.7" in kept.values()
        assert wait_until(lambda: box.case("1.2.3.1")["deliveries"]["done"] == 2)


def test_the_same_instance_twice_is_one_and_another_content_is_kept_aside(tmp_path):
    film = make_cr(rows=300, columns=300, sop_instance_uid="1.2.3.1")
    other = make_cr(rows=300, columns=301, sop_instance_uid="1.2.3.1", PatientID="P2")
    with running(tmp_path / "data") as box:
        assert send(box, [film, film, other, film]) == [0x0000, 0x0000, 0x0111, 0x0000]
        assert wait_until(lambda: len(box.get("/api/worklist")["cases"]) == 2)
        states = {case["state"] for case in box.get("/api/worklist")["cases"]}
        assert "quarantined" in states
        assert send(box, [film], ae_title="ANOTHER") == [None]


def test_a_killed_process_comes_back_and_nothing_is_lost(tmp_path, monkeypatch):
    monkeypatch.setenv("WAYPOST_MODELS", str(without_gate(tmp_path / "packages")))
    with running(tmp_path / "data") as box:
        assert send(box, [make_cr(rows=300, columns=300, sop_instance_uid="1.2.3.1")]) == [0]
        for name in ("worker", "receive", "courier", "web"):
            pid = box.pids()[name]
            os.kill(pid, signal.SIGKILL)
            assert wait_until(lambda: box.pids().get(name, pid) != pid), name  # noqa: B023
        film = make_cr(rows=300, columns=300, sop_instance_uid="1.2.3.2")
        assert wait_until(lambda: send(box, [film]) == [0], 30)
        assert wait_until(_answers(box), 30)
        for uid in ("1.2.3.1", "1.2.3.2"):
            assert wait_until(lambda: box.case(uid)["state"] in {"read", "abstained"})  # noqa: B023
        store = Store(box.data / "waypost.db")
        with store.read() as db:
            assert db.execute("select count(*) from reading").fetchone()[0] == 2
        assert store.quick_check() == "ok"
        store.close()


def _answers(box):
    def answer() -> bool:
        try:
            box.get("/api/worklist")
        except OSError:
            return False
        return True

    return answer


def test_it_ends_quickly_also_with_an_open_page(tmp_path):
    with running(tmp_path / "data") as box:
        stream = urllib.request.urlopen(f"{box.web}/events", timeout=10)
        pids = [pid for pid, _ in children(box.process.pid)]
        started = time.monotonic()
        box.process.send_signal(signal.SIGTERM)
        assert box.process.wait(10) == 0
        assert time.monotonic() - started < 6
        assert all(gone(pid) for pid in pids)
        stream.close()


def test_when_the_supervisor_is_killed_its_processes_end(tmp_path):
    with running(tmp_path / "data") as box:
        pids = [pid for pid, _ in children(box.process.pid)]
        assert len(pids) == 4
        box.process.kill()
        assert wait_until(lambda: all(gone(pid) for pid in pids), 10)


def test_two_appliances_do_not_share_a_data_folder(tmp_path):

    with running(tmp_path / "data"):
        second = subprocess.run(  # noqa: PLW1510 - its status is looked at
            [sys.executable, "-m", "appliance.cli", "run", "--data", str(tmp_path / "data")],
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert second.returncode == 1
    assert "Another appliance already runs" in second.stderr


def test_a_taken_port_is_a_sentence_and_the_appliance_ends(tmp_path):

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "appliance.cli", "run", "--data", str(tmp_path / "data")]
        command += ["--web", "127.0.0.1:0", "--dicom", f"127.0.0.1:{port}"]
        ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=40)
    assert ended.returncode == 1
    assert str(port) in ended.stderr
    assert "Traceback" not in ended.stderr
