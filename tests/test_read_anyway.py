"""A film that the quality check stopped is read once a person asks, and who asked is kept."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from appliance.domain import (
    DecodedImage,
    Header,
    InstanceState,
    Quality,
    Reading,
    ReadingState,
    Reason,
    Source,
)
from appliance.errors import RefusedError
from appliance.review import Review
from appliance.store import instances, jobs, readings, requests
from appliance.store.database import Store
from appliance.store.instances import NewInstance
from appliance.store.migrations import MIGRATIONS
from appliance.worker import Worker
from appliance.worklist import Worklist
from tests.records import MODEL, new_instance, read

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.domain import ReadAnyway

CUT = Reason("apices_cut", "This film is cut at the lung tops. Take it again.")
STOPPED = Reading(
    state=ReadingState.REFUSED, reasons=(CUT,), model=MODEL, quality=Quality(False, (CUT,))
)


class Pipeline:
    """Stops each film, and reads it when a person asks for it."""

    def __init__(self) -> None:
        self.asked: list[ReadAnyway | None] = []

    def read(
        self, content: bytes, *, anyway: ReadAnyway | None = None
    ) -> tuple[Reading, DecodedImage | None]:
        self.asked.append(anyway)
        return (STOPPED if anyway is None else read()), None


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()


@pytest.fixture
def worker(store, files, clock, pipeline) -> Worker:
    return Worker(
        store, files, pipeline.read, routes=[], owner="worker-1", clock=clock, detail="{}"
    )


@pytest.fixture
def stopped(store, files, clock, worker) -> int:
    """A case that the quality check has stopped."""
    new = NewInstance(
        header=Header(sop_instance_uid="1.2.3", modality="CR"),
        media_type="application/dicom",
        sha256=files.put(b"film"),
        size_bytes=4,
        source=Source.DICOM,
        station="ROOM1",
    )
    with store.transaction() as db:
        case = instances.insert(db, new, clock())
    assert case is not None
    assert worker.run_once()
    return case


def test_what_was_stopped_is_read_when_somebody_asks(
    store, files, clock, worker, pipeline, stopped
):
    review, worklist = Review(store, clock), Worklist(store, files)
    before = worklist.version()
    review.read_anyway(stopped, " Nurse A ", "The patient has left.")
    assert worklist.version() != before
    assert worklist.study(stopped).entry.instance.state is InstanceState.ARRIVED
    assert worker.run_once()
    assert not worker.run_once()
    study = worklist.study(stopped)
    assert study.entry.instance.state is InstanceState.READ
    assert study.entry.reading.reading.findings
    assert [(a.act, a.actor, a.comment) for a in study.reviews] == [
        ("read_anyway", "Nurse A", "The patient has left.")
    ]
    first, second = pipeline.asked
    assert first is None
    assert (second.actor, second.why) == ("Nurse A", "The patient has left.")
    assert second.asked_at.timestamp() == clock()


@pytest.mark.parametrize(
    ("actor", "why", "code"),
    [(" ", "Why.", "no_name"), ("Nurse A", "  ", "no_comment")],
)
def test_nobody_asks_without_name_and_reason(store, clock, stopped, actor, why, code):
    with pytest.raises(RefusedError) as refused:
        Review(store, clock).read_anyway(stopped, actor, why)
    assert refused.value.code == code


def test_only_what_the_quality_check_stopped_is_read_anyway(store, clock, worker, stopped):
    review = Review(store, clock)
    with pytest.raises(RefusedError, match="no such case"):
        review.read_anyway(99, "Nurse A", "Why.")
    review.read_anyway(stopped, "Nurse A", "Why.")
    for _ in range(2):  # while it waits, and when it has been read
        with pytest.raises(RefusedError) as refused:
            review.read_anyway(stopped, "Nurse A", "Why.")
        assert refused.value.code == "not_stopped"
        worker.run_once()


def test_what_was_refused_for_another_reason_is_not_read_anyway(store, clock):
    other = Reading(ReadingState.REFUSED, (Reason("lateral_view", "A lateral film."),))
    with store.transaction() as db:
        case = instances.insert(db, new_instance("1.2.3"), clock())
        job = jobs.claim(db, "worker-1", clock(), 60.0)
        readings.insert(db, job, other, {}, clock())
        jobs.finish(db, job, "worker-1")
        instances.set_state(db, case, InstanceState.REFUSED)
    with pytest.raises(RefusedError) as refused:
        Review(store, clock).read_anyway(case, "Nurse A", "Why.")
    assert refused.value.code == "not_stopped"


def test_a_store_of_the_first_release_keeps_its_jobs_and_gets_second_ones(tmp_path: Path):
    path = tmp_path / "waypost.db"
    old = Store(tmp_path / "new.db")
    with old.read() as db:
        schema = [m.name for m in MIGRATIONS.applied(db)]
    old.close()
    assert "m003_read_anyway" in schema
    connection = sqlite3.connect(path, isolation_level=None)
    connection.row_factory = sqlite3.Row
    from sqlite_utils import Database  # noqa: PLC0415

    MIGRATIONS.apply(Database(connection), stop_before="m003_read_anyway")
    connection.execute("pragma foreign_keys = on")
    db = Database(connection)
    case = instances.insert(db, new_instance("1.2.3"), 1.0)
    job = jobs.claim(db, "worker-1", 1.0, 60.0)
    readings.insert(db, job, STOPPED, {}, 1.0)
    jobs.finish(db, job, "worker-1")
    connection.close()

    store = Store(path)
    with store.transaction() as db:
        requests.insert(db, case, "Nurse A", "Why.", 2.0)
        again = jobs.claim(db, "worker-1", 2.0, 60.0)
        assert again.id != job.id
        assert requests.of_job(db, job.id) is None
        assert requests.of_job(db, again.id).actor == "Nurse A"
    with store.read() as db:
        assert readings.latest(db, case).reading.reasons == (CUT,)
        assert db.execute("pragma foreign_keys").fetchone()[0] == 1
        assert db.execute("pragma foreign_key_check").fetchall() == []
    assert store.quick_check() == "ok"
    store.close()
