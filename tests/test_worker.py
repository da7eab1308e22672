from __future__ import annotations

import threading

import numpy as np
import pytest

from appliance.domain import DecodedImage, Header, InstanceState, ReadingState, Source, Urgency
from appliance.errors import DiskFullError
from appliance.store import heartbeats, instances, jobs, outbox, readings
from appliance.store.files import FileStore
from appliance.store.instances import NewInstance
from appliance.worker import Route, Worker
from tests.records import read, without_numbers

IMAGE = DecodedImage(
    pixels=np.full((40, 30), 9, np.uint8),
    header=Header(sop_instance_uid="1.2.3", modality="CR", rows=40, columns=30),
)
ROUTES = [Route("pacs", instances=True, results=True)]


@pytest.fixture
def make(store, files, clock):
    def worker(result=None, *, routes=ROUTES, keep=files, owner="worker-1"):
        answer = (read(), IMAGE) if result is None else result
        call = answer if callable(answer) else lambda _content: answer
        return Worker(store, keep, call, routes=routes, owner=owner, clock=clock, detail="{}")

    return worker


@pytest.fixture
def admitted(store, files, clock):
    key = files.put(b"film")
    new = NewInstance(
        header=Header(sop_instance_uid="1.2.3", modality="CR"),
        media_type="application/dicom",
        sha256=key,
        size_bytes=4,
        source=Source.DICOM,
        station="ROOM1",
    )
    with store.transaction() as db:
        return instances.insert(db, new, clock())


def state(store, instance_id):
    with store.read() as db:
        kept = instances.by_id(db, instance_id)
        assert kept is not None
        return kept, readings.latest(db, instance_id), outbox.counts(db)


def test_reading_state_urgency_drawings_and_outbox_come_in_one_commit(store, files, make, admitted):
    assert make().run_once()
    kept, reading, items = state(store, admitted)
    assert kept.state is InstanceState.READ
    assert kept.urgency is Urgency.URGENT
    assert kept.header.rows == 40
    assert reading is not None
    assert set(reading.artifacts) == {"film", "thumb", "heat"}
    assert files.read(reading.artifacts["film"]).startswith(b"\x89PNG")
    assert sorted(row["lane"] for row in items) == [2, 3]
    assert not make().run_once()


@pytest.mark.parametrize("ended", [ReadingState.ABSTAINED, ReadingState.REFUSED])
def test_what_cannot_be_answered_has_no_heat_map(store, make, admitted, ended):
    make((without_numbers(ended), IMAGE)).run_once()
    kept, reading, items = state(store, admitted)
    assert str(kept.state) == str(ended)
    assert reading is not None
    assert set(reading.artifacts) == {"film", "thumb"}
    assert len(items) == (2 if ended is ReadingState.ABSTAINED else 1)


def test_what_cannot_be_decoded_has_no_drawing(store, make, admitted):
    make((without_numbers(ReadingState.FAILED), None)).run_once()
    assert state(store, admitted)[1].artifacts == {}


def test_a_worker_that_died_is_taken_over_and_a_late_one_commits_nothing(
    store, make, admitted, clock
):
    late = make(owner="worker-1")
    with store.transaction() as db:
        job = jobs.claim(db, "worker-1", clock(), 120.0)
        instance = instances.by_id(db, admitted)
    new = make(owner="worker-2")
    assert new.take_over() == 1
    clock.now += 1
    assert new.run_once()
    late._do(job, instance)
    with store.read() as db:
        assert db.execute("select count(*) from reading").fetchone()[0] == 1


def test_an_image_that_stops_the_box_is_given_up_after_three_tries(store, make, admitted, clock):
    def die(_content: bytes):
        raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            make(die).run_once()
        clock.now += 1000
    assert make(die).run_once()
    kept, reading, _ = state(store, admitted)
    assert kept.state is InstanceState.FAILED
    assert reading.reading.reasons[0].code == "gave_up"


def test_a_full_disk_postpones_and_the_case_stays_visible(store, tmp_path, make, admitted, clock):
    class Full(FileStore):
        def put(self, content: bytes) -> str:
            raise DiskFullError("The disk is full.")

    assert make(keep=Full(tmp_path / "files")).run_once()
    assert state(store, admitted)[0].state is InstanceState.ARRIVED
    assert not make().run_once()
    clock.now += 31
    assert make().run_once()
    assert state(store, admitted)[0].state is InstanceState.READ


def test_a_kept_file_that_rotted_is_a_failed_reading(store, files, make, admitted):
    with store.read() as db:
        kept = instances.by_id(db, admitted)
    path = files.path(kept.sha256)
    path.write_bytes(b"rot")
    make().run_once()
    _, reading, _ = state(store, admitted)
    assert reading.reading.state is ReadingState.FAILED
    assert "damaged" in reading.reading.reasons[0].text


def test_the_loop_goes_on_after_an_error_and_gives_signs_of_life(store, make, admitted):
    stop = threading.Event()
    calls = []

    def once_wrong(_content: bytes):
        calls.append(1)
        stop.set()
        raise RuntimeError("unexpected")

    make(once_wrong).run(stop)
    assert calls == [1]
    with store.read() as db:
        assert [row["role"] for row in heartbeats.all_beats(db)] == ["worker"]
        assert jobs.open_count(db) == 1
