"""The reading worklist: read-only, most urgent first; none starves and none is hidden."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from appliance.domain import StoredReading, WorklistEntry
from appliance.store import heartbeats, instances, outbox, readings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from appliance.store.database import Store
    from appliance.store.files import FileStore


@dataclass(frozen=True, slots=True)
class ReviewAct:
    """What a person did with a case."""

    act: str
    actor: str
    comment: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """One outbox item of a case, for people."""

    item_id: int
    target: str
    kind: str
    state: str
    tries: int
    last_error: str | None
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True)
class Study:
    """All that the study page shows of one instance."""

    entry: WorklistEntry
    reviews: tuple[ReviewAct, ...]
    deliveries: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class OutboxCount:
    """How many items of one target and lane are in one state."""

    target: str
    lane: int
    state: str
    count: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True)
class StationSeen:
    """A station that has sent."""

    ae_title: str
    address: str
    last_seen_at: datetime
    instances: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The last sign of life of one process."""

    role: str
    at: datetime
    detail: str


@dataclass(frozen=True, slots=True)
class Overview:
    """Counts for ``waypost status`` and the system page."""

    by_state: Mapping[str, int]
    open_cases: int
    reviewed_cases: int
    outbox: tuple[OutboxCount, ...]
    stations: tuple[StationSeen, ...]
    heartbeats: tuple[Heartbeat, ...]


class Worklist:
    """Queries over the store; nothing here writes.

    Parameters
    ----------
    store, files
        Where instances and readings, and the bytes of images, are kept.
    """

    def __init__(self, store: Store, files: FileStore) -> None:
        self._store = store
        self._files = files

    def entries(
        self, *, reviewed: bool = False, limit: int = 50, offset: int = 0
    ) -> list[WorklistEntry]:
        """Return one page of the worklist: open cases by urgency and waiting, or reviewed ones."""
        with self._store.read() as db:
            rows = instances.worklist_rows(db, reviewed=reviewed, limit=limit, offset=offset)
            return [_entry(row, lambda key: readings.by_id(db, key)) for row in rows]

    def study(self, instance_id: int) -> Study | None:
        """Return all that is known of one instance, or None."""
        with self._store.read() as db:
            row = instances.worklist_row(db, instance_id)
            if row is None:
                return None
            return Study(
                entry=_entry(row, lambda key: readings.by_id(db, key)),
                reviews=tuple(_review(r) for r in instances.reviews(db, instance_id)),
                deliveries=tuple(_delivery(r) for r in outbox.of_instance(db, instance_id)),
            )

    def artifact(self, instance_id: int, kind: str) -> bytes | None:
        """Return a PNG (``film``, ``thumb``, ``heat``) drawn for the latest reading, or None."""
        with self._store.read() as db:
            stored = readings.latest(db, instance_id)
        key = None if stored is None else stored.artifacts.get(kind)
        return None if key is None else self._files.read(key)

    def overview(self) -> Overview:
        """Return the counts by state, the outbox by lane, stations and signs of life."""
        with self._store.read() as db:
            open_cases, reviewed_cases = instances.review_counts(db)
            return Overview(
                by_state=instances.counts(db),
                open_cases=open_cases,
                reviewed_cases=reviewed_cases,
                outbox=tuple(
                    OutboxCount(r["target"], r["lane"], r["state"], r["n"], _time(r["oldest_at"]))
                    for r in outbox.counts(db)
                ),
                stations=tuple(
                    StationSeen(
                        r["ae_title"], r["address"], _time(r["last_seen_at"]), r["instances"]
                    )
                    for r in instances.stations(db)
                ),
                heartbeats=tuple(
                    Heartbeat(r["role"], _time(r["at"]), r["detail"])
                    for r in heartbeats.all_beats(db)
                ),
            )

    def version(self) -> tuple[int, ...]:
        """Return a value that changes when any row that the worklist shows has changed."""
        with self._store.read() as db:
            return instances.change_mark(db)


def _entry(row: Any, reading_of: Callable[[int], StoredReading | None]) -> WorklistEntry:
    return WorklistEntry(
        instance=instances.from_row(row),
        reading=None if row["reading_id"] is None else reading_of(row["reading_id"]),
        deliveries_open=row["deliveries_open"],
        deliveries_done=row["deliveries_done"],
        deliveries_dead=row["deliveries_dead"],
    )


def _review(row: Any) -> ReviewAct:
    return ReviewAct(row["act"], row["actor"], row["comment"], _time(row["created_at"]))


def _delivery(row: Any) -> Delivery:
    at = row["delivered_at"]
    return Delivery(
        item_id=row["id"],
        target=row["target"],
        kind=row["kind"],
        state=row["state"],
        tries=row["tries"],
        last_error=row["last_error"],
        delivered_at=None if at is None else _time(at),
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=timezone.utc)


def pages(total: int, size: int) -> Sequence[int]:
    """Return the offsets of the pages of a list of `total` entries."""
    return range(0, max(total, 1), size)
