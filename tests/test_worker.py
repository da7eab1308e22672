from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from appliance import drift
from appliance.domain import (
    Channel,
    DecodedImage,
    Header,
    InstanceState,
    Quality,
    ReadingState,
    Source,
    Urgency,
)
from appliance.errors import DiskFullError
from appliance.store import (
    drift_streams,
    heartbeats,
    instances,
    jobs,
    outbox,
    readings,
    requests,
    scores,
)
from appliance.store.files import FileStore
from appliance.store.instances import NewInstance
from appliance.worker import Route, Worker, observation
from tests.records import new_instance, read, without_numbers

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


def test_what_the_model_said_is_kept_for_counting_also_when_the_box_is_not_sure(
    store, make, admitted
):
    image = replace(IMAGE, header=replace(IMAGE.header, transfer_syntax_uid="1.2"))
    make((without_numbers(ReadingState.ABSTAINED), image)).run_once()
    with store.read() as db:
        (row,) = db.execute("select * from score").fetchall()
    assert (row["output"], row["probability"], row["channel"]) == ("pneumonia", 0.41, "digital")


def test_each_film_enters_the_watch_of_its_station_and_an_alarm_is_kept(store, files, make, clock):
    with store.transaction() as db:
        stream = drift.Stream()
        for number in range(drift.REFERENCE):
            stream.observe(drift.Observation(score=number / 1000))
        key = drift_streams.StreamKey("ROOM1", "cxr-pneumonia", "1.0.0", Channel.PHOTOGRAPHED)
        drift_streams.save(db, key, stream.to_json(), clock())
        for number in range(20):
            new = new_instance(f"1.2.{number}")
            instances.insert(db, replace(new, sha256=files.put(b"film")), clock())
    worker = make((read(0.9), IMAGE))
    while worker.run_once():
        pass
    with store.read() as db:
        events = drift_streams.events(db)
        (row,) = drift_streams.rows(db)
    assert [(e["kind"], e["station"], e["direction"]) for e in events] == [
        ("alarm", "ROOM1", "higher")
    ]
    assert drift.Stream.from_json(row["body"]).tracks["score"].seen == drift.REFERENCE + 20


def test_a_film_that_is_read_anyway_enters_the_watch_once(store, make, admitted, clock):
    refused = replace(read(), state=ReadingState.REFUSED, quality=Quality(fit=False), research={})
    make((refused, IMAGE)).run_once()
    with store.transaction() as db:
        requests.insert(db, admitted, "Ada", "the patient has left", clock())
    make(lambda _content, **_: (read(0.9), IMAGE)).run_once()
    with store.read() as db:
        (row,) = drift_streams.rows(db)
        counts = scores.weeks(db, 0.0, clock() + 1)
    tracks = drift.Stream.from_json(row["body"]).tracks
    assert (tracks["unfit"].seen, tracks["score"].seen) == (1, 0)
    assert [(r["images"], r["unfit"], r["scored"]) for r in counts] == [(1, 1, 0)]


def test_a_file_is_watched_by_its_way_in_never_by_its_name(store, files, make, clock):
    new = replace(new_instance("1.2.3"), source=Source.UPLOAD, station="Jane Doe.png")
    with store.transaction() as db:
        instances.insert(db, replace(new, sha256=files.put(b"film")), clock())
    make((read(0.9), IMAGE)).run_once()
    with store.read() as db:
        assert [row["station"] for row in drift_streams.rows(db)] == ["upload"]


@pytest.mark.parametrize(
    ("reading", "told"),
    [
        (replace(read(0.8), quality=Quality(fit=False)), {"unfit": True}),
        (read(0.8), {"score": 0.8, "detail": 0.0, "unfit": False, "abnormal": True}),
        (replace(read(0.8), research={}), None),
        (without_numbers(ReadingState.FAILED), None),
    ],
)
def test_what_a_reading_tells_of_its_station(reading, told):
    assert observation(reading, IMAGE) == (None if told is None else drift.Observation(**told))
