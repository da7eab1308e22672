"""Jobs: leased rows, one a reading; whoever holds the lease reads, and only he may commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database


@dataclass(frozen=True, slots=True)
class Job:
    """A job that this worker has leased."""

    id: int
    instance_id: int
    tries: int


def claim(db: Database, owner: str, now: float, lease_s: float) -> Job | None:
    """Lease the next job that is due, or one whose lease ran out; None when there is none.

    Call it inside a transaction. The instance's state becomes *reading*.
    """
    row = db.execute(
        "update job set state = 'leased', owner = ?, lease_until = ?, tries = tries + 1"
        " where id = (select id from job where (state = 'ready' and not_before <= ?)"
        "  or (state = 'leased' and lease_until < ?) order by id limit 1)"
        " returning id, instance_id, tries",
        [owner, now + lease_s, now, now],
    ).fetchone()
    if row is None:
        return None
    db.execute("update instance set state = 'reading' where id = ?", [row["instance_id"]])
    return Job(id=row["id"], instance_id=row["instance_id"], tries=row["tries"])


def has_due(db: Database, now: float) -> bool:
    """Say whether a job waits, without taking a lock."""
    row = db.execute(
        "select exists (select 1 from job where (state = 'ready' and not_before <= ?)"
        " or (state = 'leased' and lease_until < ?))",
        [now, now],
    ).fetchone()
    return bool(row[0])


def finish(db: Database, job: Job, owner: str) -> bool:
    """Mark the job as done; False when the lease is no longer ours (then nothing is committed)."""
    cursor = db.execute(
        "update job set state = 'done', lease_until = null where id = ? and owner = ?"
        " and state = 'leased' and tries = ?",
        [job.id, owner, job.tries],
    )
    return cursor.rowcount == 1


def postpone(db: Database, job: Job, owner: str, not_before: float, why: str) -> None:
    """Give the lease back without counting the try: the job is due again at `not_before`."""
    db.execute(
        "update job set state = 'ready', lease_until = null, tries = tries - 1, not_before = ?,"
        " last_error = ? where id = ? and owner = ? and state = 'leased'",
        [not_before, why, job.id, owner],
    )


def release_owner(db: Database, owner_prefix: str) -> int:
    """Give back the leases of a worker that is known to be gone; return their number."""
    cursor = db.execute(
        "update job set lease_until = 0 where state = 'leased' and owner like ? || '%'",
        [owner_prefix],
    )
    return int(cursor.rowcount)


def open_count(db: Database) -> int:
    """Return how many jobs are not done."""
    return int(db.execute("select count(*) from job where state <> 'done'").fetchone()[0])
