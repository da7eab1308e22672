"""Claims a job, runs the pipeline, commits reading and outbox items in ONE transaction."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from appliance.domain import (
    InstanceState,
    ItemKind,
    Lane,
    Reading,
    ReadingState,
    Reason,
    Source,
)
from appliance.drift import Observation, Stream, detail_of
from appliance.errors import DiskFullError, StorageError
from appliance.report.overlay import film_png, heat_png
from appliance.report.secondary_capture import result_uid
from appliance.scope import channel_of
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
from appliance.store.drift_streams import Event, StreamKey
from appliance.triage import urgency_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

    from sqlite_utils import Database

    from appliance.domain import Channel, DecodedImage, ReadAnyway, StoredInstance
    from appliance.store.database import Store
    from appliance.store.files import FileStore
    from appliance.store.jobs import Job

_LOG = logging.getLogger(__name__)
_LEASE_S = 120.0
_MAX_TRIES = 3
_POLL_S = 0.03
_BEAT_S = 5.0
_DISK_PAUSE_S = 30.0
_THUMB_PX = 160


@dataclass(frozen=True, slots=True)
class Route:
    """A target that gets something of each instance.

    Parameters
    ----------
    name
        The target's name in the configuration.
    instances, results
        Whether it gets the instance itself, and the box's result for it.
    """

    name: str
    instances: bool
    results: bool


class Reads(Protocol):
    """The pipeline: bytes of a file to its reading, and its pixels when they could be decoded."""

    def __call__(
        self, content: bytes, *, anyway: ReadAnyway | None = None
    ) -> tuple[Reading, DecodedImage | None]:
        """Read one file; see `Pipeline.read`."""
        ...


class Worker:
    """Reads what was admitted, one job after the other.

    Parameters
    ----------
    read
        The pipeline.
    routes
        The targets for which outbox items are made.
    owner
        Name of this worker process; its leases carry it.
    clock
        Seconds since the epoch, UTC.
    detail
        What the heartbeat tells (JSON: self-tests of the models, engines).
    """

    def __init__(  # noqa: PLR0913 - what a worker needs, by name
        self,
        store: Store,
        files: FileStore,
        read: Reads,
        *,
        routes: Sequence[Route],
        owner: str,
        clock: Callable[[], float],
        detail: str,
    ) -> None:
        self._store = store
        self._files = files
        self._read = read
        self._routes = tuple(routes)
        self._owner = owner
        self._clock = clock
        self._detail = detail

    def take_over(self) -> int:
        """Give back the leases of workers that are gone: one worker runs on a box at a time."""
        with self._store.transaction() as db:
            return jobs.release_owner(db, "worker")

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. Whatever goes wrong with one job, the next is taken."""
        beat_at = 0.0
        while not stop.is_set():
            if time.monotonic() >= beat_at:
                self._beat()
                beat_at = time.monotonic() + _BEAT_S
            try:
                worked = self.run_once()
            except Exception:  # noqa: BLE001 - boundary: the job keeps its lease and is taken again
                _LOG.exception("a job was not finished; it is tried again")
                worked = False
            if not worked:
                stop.wait(_POLL_S)

    def tell(self, detail: str) -> None:
        """Let the next sign of life tell something else; from whichever thread."""
        self._detail = detail

    def _beat(self) -> None:
        try:
            with self._store.transaction() as db:
                heartbeats.beat(db, "worker", self._detail, self._clock())
        except StorageError as error:
            _LOG.warning("no heartbeat could be kept: %s", error)

    def run_once(self) -> bool:
        """Do the next job; False when none is due."""
        with self._store.read() as db:
            if not jobs.has_due(db, self._clock()):
                return False
        with self._store.transaction() as db:
            job = jobs.claim(db, self._owner, self._clock(), _LEASE_S)
            instance = None if job is None else instances.by_id(db, job.instance_id)
        if job is None or instance is None:
            return False
        try:
            self._do(job, instance)
        except DiskFullError as error:
            self._postpone(job, error)
        return True

    def _do(self, job: Job, instance: StoredInstance) -> None:
        reading, image = self._reading(job, instance)
        artifacts = self._draw(reading, image)
        now = self._clock()
        with self._store.transaction() as db:
            if not jobs.finish(db, job, self._owner):
                _LOG.warning("job %d was taken over; its reading is dropped", job.id)
                return
            reading_id = readings.insert(db, job, reading, artifacts, now)
            instances.set_state(db, instance.id, _STATES[reading.state], reading.urgency)
            if image is not None:
                instances.set_header(db, instance.id, image.header)
                channel = channel_of(image.header)
                scores.insert(db, reading_id, reading, channel)
                if requests.of_job(db, job.id) is None:  # a film enters the watch once
                    seen = observation(reading, image)
                    _watch(db, _stream_key(instance, reading, channel), seen, now)
            for item in self._items(instance, reading, reading_id):
                outbox.enqueue(db, item, now)

    def _reading(self, job: Job, instance: StoredInstance) -> tuple[Reading, DecodedImage | None]:
        if job.tries > _MAX_TRIES:
            return _failed(
                "gave_up",
                f"The box stopped {_MAX_TRIES} times while it read this image. It is kept; have "
                "a person read it, and tell your technician.",
            ), None
        try:
            content = self._files.read(instance.sha256)
        except StorageError as error:
            return _failed(error.code, error.text), None
        with self._store.read() as db:
            anyway = requests.of_job(db, job.id)
        return self._read(content) if anyway is None else self._read(content, anyway=anyway)

    def _draw(self, reading: Reading, image: DecodedImage | None) -> Mapping[str, str]:
        if image is None:
            return {}
        rows, columns = image.pixels.shape[:2]
        drawn = {
            "film": self._files.put(film_png(image.pixels)),
            "thumb": self._files.put(film_png(image.pixels, max_side=_THUMB_PX)),
        }
        if reading.explanation is not None:
            drawn["heat"] = self._files.put(heat_png(reading.explanation, rows, columns))
        return drawn

    def _items(
        self, instance: StoredInstance, reading: Reading, reading_id: int
    ) -> list[outbox.NewItem]:
        uid = instance.header.sop_instance_uid
        if uid is None:
            return []
        has_result = reading.state in {ReadingState.READ, ReadingState.ABSTAINED}
        items = []
        for route in self._routes:
            if route.results and has_result:
                result = result_uid(uid, reading_id)
                kind, lane = ItemKind.RESULT, Lane.KEY_IMAGES
                items.append(outbox.NewItem(route.name, kind, instance.id, lane, result))
            if route.instances:
                kind, lane = ItemKind.INSTANCE, Lane.STUDY
                items.append(outbox.NewItem(route.name, kind, instance.id, lane, uid))
        return items

    def _postpone(self, job: Job, error: DiskFullError) -> None:
        _LOG.error("%s The reading of job %d waits.", error, job.id)
        not_before = self._clock() + _DISK_PAUSE_S
        with self._store.transaction() as db:
            jobs.postpone(db, job, self._owner, not_before, error.code)
            instances.set_state(db, job.instance_id, InstanceState.ARRIVED)


_STATES: Mapping[ReadingState, InstanceState] = {
    ReadingState.READ: InstanceState.READ,
    ReadingState.ABSTAINED: InstanceState.ABSTAINED,
    ReadingState.REFUSED: InstanceState.REFUSED,
    ReadingState.FAILED: InstanceState.FAILED,
}


def _stream_key(instance: StoredInstance, reading: Reading, channel: Channel) -> StreamKey | None:
    """Return the stream that an image belongs to; None where no model was to read it.

    A file's name is no station, and may be a patient's: such an image counts for its way in.
    """
    if reading.model is None:
        return None
    source = instance.source
    station = instance.station if source is Source.DICOM else str(source)
    return StreamKey(station, reading.model.id, reading.model.version, channel)


def _watch(db: Database, key: StreamKey | None, seen: Observation | None, now: float) -> None:
    """Hold an image against what is usual at its station; an alarm is kept with the reading."""
    if key is None or seen is None:
        return
    kept = drift_streams.body(db, key)
    stream = Stream() if kept is None else Stream.from_json(kept)
    for alarm in stream.observe(seen):
        _LOG.warning("station %s: %s %s", key.station, alarm.statistic, alarm.direction)
        drift_streams.note(db, key, Event("alarm", alarm.statistic, alarm.direction), now)
    drift_streams.save(db, key, stream.to_json(), now)


def observation(reading: Reading, image: DecodedImage) -> Observation | None:
    """Return what a reading tells of its station, or None: no score and no defect."""
    quality = reading.quality
    if quality is not None and not quality.fit:
        return Observation(unfit=True)
    if quality is None or not reading.research:
        return None
    return Observation(
        score=max(reading.research.values()),
        brightness=quality.values.get("brightness"),
        detail=detail_of(image.pixels),
        unfit=False,
        abnormal=any(finding.positive for finding in reading.findings),
    )


def _failed(code: str, text: str) -> Reading:
    return Reading(
        state=ReadingState.FAILED,
        reasons=(Reason(code, text),),
        urgency=urgency_of(ReadingState.FAILED),
    )
