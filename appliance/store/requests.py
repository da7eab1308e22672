"""What people asked for: a film that the quality check stopped, read anyway."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from appliance.domain import InstanceState, ReadAnyway
from appliance.store import instances

if TYPE_CHECKING:
    from sqlite_utils import Database


def insert(db: Database, instance_id: int, actor: str, why: str, now: float) -> None:
    """Keep the wish and queue a job for it; the instance waits like one that has just arrived."""
    cursor = db.execute("insert into job (instance_id) values (?)", [instance_id])
    db.execute(
        "insert into read_anyway (instance_id, job_id, actor, why, created_at) values (?,?,?,?,?)",
        [instance_id, int(cursor.lastrowid or 0), actor, why, now],
    )
    instances.set_state(db, instance_id, InstanceState.ARRIVED)


def of_job(db: Database, job_id: int) -> ReadAnyway | None:
    """Return the wish that a job was queued for, or None."""
    row = db.execute(
        "select actor, why, created_at from read_anyway where job_id = ?", [job_id]
    ).fetchone()
    if row is None:
        return None
    asked_at = datetime.fromtimestamp(row["created_at"], tz=timezone.utc)
    return ReadAnyway(actor=row["actor"], why=row["why"], asked_at=asked_at)
