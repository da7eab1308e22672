"""Reference results come in: a file of them at once, or one as a person enters it on the study."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from appliance.domain import ReferenceKind, ReferenceOutcome, ReferenceResult
from appliance.errors import RefusedError
from appliance.reference_csv import day_of, parse, refuse
from appliance.store import reference_results

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlite_utils import Database

    from appliance.reference_csv import ReferenceRow
    from appliance.store.database import Store

_MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file of reference results held, by outcome; `kept` is False for a trial."""

    by_outcome: dict[str, int]
    kept: bool


class References:
    """Reference results, over the store.

    Parameters
    ----------
    clock
        Seconds since the epoch, UTC.
    """

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    def import_csv(self, content: bytes, entered_by: str, *, dry_run: bool = False) -> Imported:
        """Keep all reference results of a file, or none.

        Raises
        ------
        RefusedError
            A line is wrong, or names a study that is not here; every such line is told.
        """
        by = _name(entered_by)
        rows = parse(content, self._now().date())
        with self._store.transaction() as db:
            results = _resolve(db, rows, by)
            if not dry_run:
                reference_results.insert(db, results, self._clock())
        counts = Counter(str(result.outcome) for result in results)
        return Imported({str(word): counts[str(word)] for word in ReferenceOutcome}, not dry_run)

    def enter(self, result: ReferenceResult) -> None:
        """Keep one reference result, as a person enters it on the study.

        Raises
        ------
        RefusedError
            Nobody's name, a study that is not here, or no such day.
        """
        _name(result.entered_by)
        try:
            day_of(result.result_on, self._now().date())
        except ValueError as error:
            raise RefusedError(f"The {error}", code="no_day") from None
        with self._store.transaction() as db:
            if not reference_results.knows_study(db, result.study_instance_uid):
                raise RefusedError("There is no such study on this box.", code="no_study")
            reference_results.insert(db, [result], self._clock())

    def results_of(self, study_instance_uid: str) -> list[ReferenceResult]:
        """Return what was entered for a study, oldest first."""
        with self._store.read() as db:
            return reference_results.of_study(db, study_instance_uid)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), tz=timezone.utc)


def _name(text: str) -> str:
    name = " ".join(text.split())[:_MAX_NAME]
    if not name:
        raise RefusedError("Write who enters these results.", code="no_name")
    return name


def _resolve(db: Database, rows: Sequence[ReferenceRow], by: str) -> list[ReferenceResult]:
    """Find each line's study; raise with every line whose study is not here or not clear."""
    results, mistakes = [], []
    first: dict[tuple[str, ReferenceKind, str], int] = {}
    for row in rows:
        try:
            study = _study_of(db, row)
            before = first.setdefault((study, row.kind, row.result_on), row.line)
        except ValueError as error:
            mistakes.append((row.line, str(error)))
            continue
        if before != row.line:
            mistakes.append((row.line, f"the same study, kind and date as in line {before}."))
        results.append(ReferenceResult(study, row.kind, row.outcome, row.result_on, by, row.local))
    refuse(mistakes)
    return results


def _study_of(db: Database, row: ReferenceRow) -> str:
    if row.study_instance_uid and not reference_results.knows_study(db, row.study_instance_uid):
        raise ValueError(f"there is no study {row.study_instance_uid} on this box.")
    if not row.accession_number:
        return row.study_instance_uid
    studies = reference_results.studies_of_accession(db, row.accession_number)
    if row.study_instance_uid:
        if row.study_instance_uid not in studies:
            raise ValueError("the study and the accession number do not belong together.")
        return row.study_instance_uid
    if not studies:
        raise ValueError(f"no study with accession number {row.accession_number} on this box.")
    if len(studies) > 1:
        raise ValueError(
            f"{len(studies)} studies have accession number {row.accession_number}; write the "
            "study instance UID."
        )
    return studies[0]
