"""The instance family: instances, the reading worklist's rows, stations, reviews."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from appliance.domain import Header, InstanceState, Reason, Source, StoredInstance, Urgency

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlite_utils import Database

# How long a case may wait before it counts as late. The worklist is ordered by arrival plus this
# allowance: an urgent case overtakes what came up to twelve hours before it, and nothing starves.
ALLOWANCE_S: Mapping[Urgency, float] = {
    Urgency.URGENT: 0.0,
    Urgency.UNSURE: 2 * 3600.0,
    Urgency.WAITING: 4 * 3600.0,
    Urgency.ROUTINE: 12 * 3600.0,
}


@dataclass(frozen=True, slots=True)
class NewInstance:
    """What is written when an instance is admitted."""

    header: Header
    media_type: str
    sha256: str
    size_bytes: int
    source: Source
    station: str
    quarantine: Reason | None = None


def insert(db: Database, new: NewInstance, now: float) -> int | None:
    """Insert an instance and, unless it is quarantined, its job; return its id.

    Returns None when the SOP Instance UID (or, in quarantine, the content) is already there.
    Call it inside a transaction.
    """
    quarantine = new.quarantine
    urgency = Urgency.WAITING
    row = {
        "sop_instance_uid": new.header.sop_instance_uid,
        "study_instance_uid": new.header.study_instance_uid,
        "patient_id": new.header.patient_id,
        "patient_name": new.header.patient_name,
        "modality": new.header.modality,
        "header": json.dumps(asdict(new.header)),
        "state": str(InstanceState.QUARANTINED if quarantine else InstanceState.ARRIVED),
        "urgency": int(urgency),
        "due_at": now + ALLOWANCE_S[urgency],
        "media_type": new.media_type,
        "sha256": new.sha256,
        "size_bytes": new.size_bytes,
        "source": str(new.source),
        "station": new.station,
        "received_at": now,
        "quarantine_code": quarantine.code if quarantine else None,
        "quarantine_text": quarantine.text if quarantine else None,
    }
    columns = ", ".join(row)
    marks = ", ".join(f":{name}" for name in row)
    try:
        cursor = db.execute(f"insert into instance ({columns}) values ({marks})", row)  # noqa: S608
    except sqlite3.IntegrityError:
        return None
    instance_id = int(cursor.lastrowid or 0)
    if quarantine is None:
        db.execute("insert into job (instance_id) values (?)", [instance_id])
    return instance_id


def by_id(db: Database, instance_id: int) -> StoredInstance | None:
    """Return one instance, or None."""
    row = db.execute("select * from instance where id = ?", [instance_id]).fetchone()
    return None if row is None else from_row(row)


def by_sop_instance_uid(db: Database, sop_instance_uid: str) -> StoredInstance | None:
    """Return the instance that is kept under this UID (not a quarantined one), or None."""
    row = db.execute(
        "select * from instance where sop_instance_uid = ? and state <> 'quarantined'",
        [sop_instance_uid],
    ).fetchone()
    return None if row is None else from_row(row)


def quarantined(db: Database, sha256: str) -> StoredInstance | None:
    """Return the quarantined instance with this content, or None."""
    row = db.execute(
        "select * from instance where sha256 = ? and state = 'quarantined'", [sha256]
    ).fetchone()
    return None if row is None else from_row(row)


def names_content(db: Database, sha256: str) -> bool:
    """Say whether an instance or an artifact of a reading is kept under this storage key."""
    row = db.execute(
        "select exists (select 1 from instance where sha256 = :key)"
        " or exists (select 1 from artifact where sha256 = :key)",
        {"key": sha256},
    ).fetchone()
    return bool(row[0])


def set_state(
    db: Database, instance_id: int, state: InstanceState, urgency: Urgency | None = None
) -> None:
    """Move an instance to `state`; with `urgency`, give it its place in the worklist."""
    db.execute("update instance set state = ? where id = ?", [str(state), instance_id])
    if urgency is not None:
        db.execute(
            "update instance set urgency = ?, due_at = received_at + ? where id = ?",
            [int(urgency), ALLOWANCE_S[urgency], instance_id],
        )


def set_header(db: Database, instance_id: int, header: Header) -> None:
    """Write the header as it was understood when the image was decoded."""
    db.execute(
        "update instance set header = ?, modality = ? where id = ?",
        [json.dumps(asdict(header)), header.modality, instance_id],
    )


def counts(db: Database) -> dict[str, int]:
    """Return the number of instances in each state; a state without any is 0."""
    found = {
        str(row["state"]): int(row["n"])
        for row in db.execute("select state, count(*) as n from instance group by state")
    }
    return {str(state): found.get(str(state), 0) for state in InstanceState}


_WORKLIST = """
select instance.*,
  (select max(id) from reading where reading.instance_id = instance.id) as reading_id,
  (select count(*) from outbox where outbox.instance_id = instance.id
     and outbox.state in ('ready','leased')) as deliveries_open,
  (select count(*) from outbox where outbox.instance_id = instance.id
     and outbox.state = 'delivered') as deliveries_done,
  (select count(*) from outbox where outbox.instance_id = instance.id
     and outbox.state = 'dead') as deliveries_dead
from instance
"""


def worklist_rows(db: Database, *, reviewed: bool, limit: int, offset: int) -> Sequence[Any]:
    """Return rows of the reading worklist, in its order.

    Open cases come by `due_at` (arrival plus the allowance of their urgency), reviewed ones by
    the time of their review, the latest first.
    """
    where = (
        "where reviewed_at is not null order by reviewed_at desc, id desc"
        if reviewed
        else "where reviewed_at is null order by due_at, id"
    )
    rows: Sequence[Any] = db.execute(
        f"{_WORKLIST} {where} limit ? offset ?", [limit, offset]
    ).fetchall()
    return rows


def worklist_row(db: Database, instance_id: int) -> Any | None:
    """Return the worklist's row of one instance, or None."""
    return db.execute(f"{_WORKLIST} where instance.id = ?", [instance_id]).fetchone()


def change_mark(db: Database) -> tuple[int, ...]:
    """Return numbers that change when a row that the worklist shows has changed."""
    row = db.execute(
        "select (select count(*) from instance), (select count(*) from instance"
        " where state = 'reading'), (select coalesce(max(id), 0) from reading),"
        " (select coalesce(max(id), 0) from review),"
        " (select coalesce(max(id), 0) from read_anyway), (select count(*) from outbox"
        " where state = 'delivered'), (select count(*) from outbox where state = 'dead')"
    ).fetchone()
    return tuple(int(value) for value in row)


def review_counts(db: Database) -> tuple[int, int]:
    """Return how many cases are open and how many are reviewed."""
    row = db.execute(
        "select (select count(*) from instance where reviewed_at is null),"
        " (select count(*) from instance where reviewed_at is not null)"
    ).fetchone()
    return int(row[0]), int(row[1])


def insert_review(
    db: Database, instance_id: int, act: str, actor: str, comment: str, now: float
) -> None:
    """Keep what a person did; `confirm` and `overrule` mark the case as reviewed."""
    db.execute(
        "insert into review (instance_id, act, actor, comment, created_at) values (?,?,?,?,?)",
        [instance_id, act, actor, comment, now],
    )
    if act != "comment":
        db.execute("update instance set reviewed_at = ? where id = ?", [now, instance_id])


def reviews(db: Database, instance_id: int) -> Sequence[Any]:
    """Return what people did with one instance, oldest first."""
    rows: Sequence[Any] = db.execute(
        "select act, actor, comment, created_at, id from review where instance_id = :instance"
        " union all select 'read_anyway', actor, why, created_at, id from read_anyway"
        " where instance_id = :instance order by created_at, id",
        {"instance": instance_id},
    ).fetchall()
    return rows


def note_station(db: Database, ae_title: str, address: str, now: float) -> None:
    """Count an instance that a station sent."""
    db.execute(
        "insert into station values (?, ?, ?, ?, 1) on conflict (ae_title, address) do update"
        " set last_seen_at = excluded.last_seen_at, instances = instances + 1",
        [ae_title, address, now, now],
    )


def stations(db: Database) -> Sequence[Any]:
    """Return the stations seen, the latest first."""
    rows: Sequence[Any] = db.execute(
        "select * from station order by last_seen_at desc limit 50"
    ).fetchall()
    return rows


def from_row(row: Any) -> StoredInstance:
    """Return a row of the instance table as what it is."""
    header = json.loads(row["header"])
    if header.get("pixel_spacing_mm") is not None:
        header["pixel_spacing_mm"] = tuple(header["pixel_spacing_mm"])
    quarantine = (
        Reason(row["quarantine_code"], row["quarantine_text"]) if row["quarantine_code"] else None
    )
    return StoredInstance(
        id=row["id"],
        header=Header(**header),
        state=InstanceState(row["state"]),
        urgency=Urgency(row["urgency"]),
        media_type=row["media_type"],
        sha256=row["sha256"],
        size_bytes=row["size_bytes"],
        source=Source(row["source"]),
        station=row["station"],
        received_at=datetime.fromtimestamp(row["received_at"], tz=timezone.utc),
        quarantine=quarantine,
    )
