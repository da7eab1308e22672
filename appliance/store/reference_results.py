"""Reference results of studies: only added to; a later entry of the same test replaces an earlier.

The same test is: the same study, kind and day.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from appliance.domain import ReferenceKind, ReferenceOutcome, ReferenceResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlite_utils import Database


def insert(db: Database, results: Iterable[ReferenceResult], now: float) -> int:
    """Keep results; return how many. Call it inside a transaction: all or none."""
    count = 0
    for result in results:
        db.execute(
            "insert into reference_result (study_instance_uid, kind, outcome, result_on, strata,"
            " entered_by, entered_at) values (?,?,?,?,?,?,?)",
            [
                result.study_instance_uid,
                str(result.kind),
                str(result.outcome),
                result.result_on,
                json.dumps(dict(result.strata), ensure_ascii=False),
                result.entered_by,
                now,
            ],
        )
        count += 1
    return count


def standing(db: Database, kinds: Sequence[ReferenceKind]) -> list[ReferenceResult]:
    """Return the last entry of each test of these kinds, in the order of entry."""
    marks = ", ".join("?" for _ in kinds)
    rows = db.execute(
        "select * from reference_result where id in (select max(id) from reference_result"  # noqa: S608
        f" where kind in ({marks}) group by study_instance_uid, kind, result_on) order by id",
        [str(kind) for kind in kinds],
    )
    return [_result(row) for row in rows]


def of_study(db: Database, study_instance_uid: str) -> list[ReferenceResult]:
    """Return all entries of one study, in the order of entry."""
    rows = db.execute(
        "select * from reference_result where study_instance_uid = ? order by id",
        [study_instance_uid],
    )
    return [_result(row) for row in rows]


def studies_of_accession(db: Database, accession_number: str) -> list[str]:
    """Return the study instance UIDs that carry an accession number (0008,0050)."""
    rows = db.execute(
        "select distinct study_instance_uid from instance where state <> 'quarantined'"
        " and study_instance_uid is not null and json_extract(header, '$.accession_number') = ?"
        " order by 1",
        [accession_number],
    )
    return [str(row[0]) for row in rows]


def knows_study(db: Database, study_instance_uid: str) -> bool:
    """Say whether the box keeps an instance of this study."""
    row = db.execute(
        "select exists (select 1 from instance where study_instance_uid = ?"
        " and state <> 'quarantined')",
        [study_instance_uid],
    ).fetchone()
    return bool(row[0])


def _result(row: Any) -> ReferenceResult:
    return ReferenceResult(
        study_instance_uid=row["study_instance_uid"],
        kind=ReferenceKind(row["kind"]),
        outcome=ReferenceOutcome(row["outcome"]),
        result_on=row["result_on"],
        entered_by=row["entered_by"],
        strata=json.loads(row["strata"]),
    )
