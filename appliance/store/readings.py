"""Readings and what was drawn for them."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.domain import (
    Explanation,
    Finding,
    Frame,
    Measurement,
    ModelRef,
    OperatingPoint,
    PointState,
    Quality,
    Reading,
    ReadingState,
    Reason,
    Region,
    StoredReading,
    Timings,
    Urgency,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlite_utils import Database

    from appliance.store.jobs import Job


def insert(
    db: Database, job: Job, reading: Reading, artifacts: Mapping[str, str], now: float
) -> int:
    """Keep the reading of a job with its artifacts (kind to storage key); return its id."""
    cursor = db.execute(
        "insert into reading (instance_id, job_id, state, body, created_at) values (?,?,?,?,?)",
        [job.instance_id, job.id, str(reading.state), _to_body(reading), now],
    )
    reading_id = int(cursor.lastrowid or 0)
    for kind, key in artifacts.items():
        db.execute("insert into artifact values (?, ?, ?)", [reading_id, kind, key])
    return reading_id


def by_id(db: Database, reading_id: int) -> StoredReading | None:
    """Return one reading, or None."""
    row = db.execute("select * from reading where id = ?", [reading_id]).fetchone()
    return None if row is None else _from_row(db, row)


def latest(db: Database, instance_id: int) -> StoredReading | None:
    """Return the newest reading of an instance, or None."""
    row = db.execute(
        "select * from reading where instance_id = ? order by id desc limit 1", [instance_id]
    ).fetchone()
    return None if row is None else _from_row(db, row)


def _to_body(reading: Reading) -> str:
    body = {
        "reasons": [asdict(reason) for reason in reading.reasons],
        "model": asdict(reading.model) if reading.model else None,
        "findings": [asdict(finding) for finding in reading.findings],
        "measurements": [asdict(measurement) for measurement in reading.measurements],
        "quality": _quality_body(reading.quality),
        "explanation": _explanation_body(reading.explanation),
        "urgency": int(reading.urgency),
        "timings": asdict(reading.timings),
    }
    return json.dumps(body)


def _quality_body(quality: Quality | None) -> dict[str, Any] | None:
    if quality is None:
        return None
    return {
        "fit": quality.fit,
        "reasons": [asdict(reason) for reason in quality.reasons],
        "values": dict(quality.values),
    }


def _explanation_body(explanation: Explanation | None) -> dict[str, Any] | None:
    if explanation is None:
        return None
    return {
        "code": explanation.code,
        "heat": explanation.heat.tolist(),
        "frame": asdict(explanation.frame) if explanation.frame else None,
        "region": asdict(explanation.region) if explanation.region else None,
    }


def _from_row(db: Database, row: Any) -> StoredReading:
    body = json.loads(row["body"])
    reading = Reading(
        state=ReadingState(row["state"]),
        reasons=tuple(Reason(**reason) for reason in body["reasons"]),
        model=ModelRef(**body["model"]) if body["model"] else None,
        findings=tuple(_finding(finding) for finding in body["findings"]),
        measurements=tuple(Measurement(**item) for item in body["measurements"]),
        quality=_quality(body["quality"]),
        urgency=Urgency(body["urgency"]),
        explanation=_explanation(body.get("explanation")),  # a row of 1.0 has none
        timings=Timings(**body["timings"]),
    )
    artifacts = {
        str(item["kind"]): str(item["sha256"])
        for item in db.execute(
            "select kind, sha256 from artifact where reading_id = ?", [row["id"]]
        )
    }
    return StoredReading(
        id=row["id"],
        instance_id=row["instance_id"],
        reading=reading,
        created_at=datetime.fromtimestamp(row["created_at"], tz=timezone.utc),
        artifacts=artifacts,
    )


def _finding(body: dict[str, Any]) -> Finding:
    point = body["operating_point"]
    state = PointState(point.get("state", PointState.SHIPPED))  # an older row has none
    return Finding(**{**body, "operating_point": OperatingPoint(**{**point, "state": state})})


def _quality(body: dict[str, Any] | None) -> Quality | None:
    if body is None:
        return None
    reasons = tuple(Reason(**reason) for reason in body["reasons"])
    return Quality(fit=body["fit"], reasons=reasons, values=body["values"])


def _explanation(body: dict[str, Any] | None) -> Explanation | None:
    if body is None:
        return None
    region = body.get("region")  # an older row has none
    return Explanation(
        code=body["code"],
        heat=np.array(body["heat"], np.uint8),
        frame=Frame(**body["frame"]) if body["frame"] else None,
        region=Region(**region) if region else None,
    )
