"""What a site does to calibrate: figures from its reference results, an operating point chosen.

Every choice is an entry of a signed record: who chose what, when and why, for which model version
and channel, and what the site's own figures were. Nothing is chosen on too few reference results.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from appliance import site_calibration
from appliance.domain import (
    Channel,
    ChosenPoint,
    ReferenceKind,
    ReferenceOutcome,
    ReferenceResult,
)
from appliance.errors import RefusedError
from appliance.signing import Entry, Head, sign, troubles
from appliance.site_calibration import Cohort, Costs, Needs
from appliance.store import drift_streams, operating_points, reference_results, scores

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlite_utils import Database

    from appliance.manifest import Interval
    from appliance.site_calibration import StratumFigures, ThresholdFigures
    from appliance.store.database import Store
    from appliance.store.scores import StudyScore
    from appliance.threshold_mapping import Mapped

_MOST_VALUES = 12  # a local column with more values than that is a number, not a stratum
_MAX_TEXT = 500
_GRID = tuple(step / 100 for step in range(5, 100, 5))


@dataclass(frozen=True, slots=True)
class Subject:
    """What is calibrated: one output of one model version, in one channel.

    Parameters
    ----------
    shipped
        The threshold that the model's package brings.
    """

    model_id: str
    model_version: str
    model_sha256: str
    output: str
    channel: Channel
    shipped: float


@dataclass(frozen=True, slots=True)
class Question:
    """What a site asks of its cohort.

    Parameters
    ----------
    kinds
        The reference tests that count.
    prevalence
        Share of positives among the people to come, 0 to 1, or None for the cohort's own.
    """

    kinds: tuple[ReferenceKind, ...] = tuple(ReferenceKind)
    needs: Needs = field(default_factory=Needs)
    prevalence: float | None = None
    costs: Costs | None = None


@dataclass(frozen=True, slots=True)
class Gathered:
    """The cohort of a subject, and who is not in it.

    Parameters
    ----------
    n_unknown
        Studies with a score whose reference results are all unknown.
    n_without_score
        Studies with a reference result that this model version did not score in this channel.
    n_abstained
        Studies of the cohort of which the box was not sure; they count by their score.
    digest
        sha256 (hex) over the studies, their scores and truths: the same cohort has the same.
    """

    cohort: Cohort
    n_unknown: int
    n_without_score: int
    n_abstained: int
    digest: str


@dataclass(frozen=True, slots=True)
class Report:
    """What the site's own reference results say.

    Parameters
    ----------
    current, shipped, suggested
        Figures at the threshold in use, at the package's own, and at the highest one that finds
        the wanted share of the positives.
    rows
        Figures along the threshold, from 5 to 95 in 100.
    """

    subject: Subject
    question: Question
    gathered: Gathered
    auroc: Interval
    rows: tuple[ThresholdFigures, ...]
    shipped: ThresholdFigures
    current: ThresholdFigures
    current_name: str
    suggested: ThresholdFigures
    strata: tuple[StratumFigures, ...]


@dataclass(frozen=True, slots=True)
class Paired:
    """What a paired run over stored images found.

    Parameters
    ----------
    old_version, old_sha256, old_backend, old_threshold
        What the new answers were held against.
    skipped
        Stored images that the new version did not score (refused, or the file is gone).
    """

    old_version: str
    old_sha256: str
    old_backend: str
    old_threshold: float
    skipped: int
    most_loss: float
    mapped: Mapped


class SiteCalibration:
    """A site's reference results and choices, over the store.

    Parameters
    ----------
    key
        The box's signing key, or None where it is not made yet.
    make_key
        Makes the key, once, and returns it.
    clock
        Seconds since the epoch, UTC.
    """

    def __init__(
        self,
        store: Store,
        *,
        key: bytes | None,
        make_key: Callable[[], bytes],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._key = key
        self._make_key = make_key
        self._clock = clock

    def gather(self, subject: Subject, kinds: Sequence[ReferenceKind]) -> Gathered:
        """Return the subject's cohort; a study counts once, by its highest score."""
        with self._store.read() as db:
            results = reference_results.standing(db, kinds)
            scored = scores.of_studies(db, subject.model_sha256, subject.output, subject.channel)
        return _gather(results, scored)

    def report(self, subject: Subject, question: Question) -> Report:
        """Return the site's figures along the threshold.

        Raises
        ------
        RefusedError
            The sample is too small; the text says the size that is needed.
        """
        gathered = self.gather(subject, question.kinds)
        cohort, needs = gathered.cohort, question.needs
        site_calibration.require(cohort, needs)
        chosen = self.standing(subject)
        current = subject.shipped if chosen is None else chosen.threshold

        def at(threshold: float) -> ThresholdFigures:
            return site_calibration.at_threshold(
                cohort, threshold, prevalence=question.prevalence, costs=question.costs
            )

        return Report(
            subject=subject,
            question=question,
            gathered=gathered,
            auroc=site_calibration.auroc(cohort),
            rows=tuple(at(threshold) for threshold in _GRID),
            shipped=at(subject.shipped),
            current=at(current),
            current_name="as shipped" if chosen is None else chosen.name,
            suggested=at(site_calibration.suggest(cohort, needs.sensitivity)),
            strata=site_calibration.strata_figures(cohort, current, needs, costs=question.costs),
        )

    def choose(
        self, subject: Subject, question: Question, threshold: float, by: str, reason: str
    ) -> ChosenPoint:
        """Choose a threshold from the site's figures, and sign for it.

        The stations' streams begin anew: what counts as abnormal has changed.

        Raises
        ------
        RefusedError
            The sample is too small, the threshold no probability, or a name or reason missing; or
            the record does not verify, and then nothing may be added to it.
        """
        if not 0 < threshold < 1:
            raise RefusedError("A threshold lies between 0 and 1.", code="no_threshold")
        report = self.report(subject, question)
        figures = site_calibration.at_threshold(
            report.gathered.cohort, threshold, prevalence=question.prevalence
        )
        evidence = {
            "reference_kinds": [str(kind) for kind in question.kinds],
            "n_positive": report.gathered.cohort.n_positive,
            "n_negative": report.gathered.cohort.n_negative,
            "cohort_sha256": report.gathered.digest,
            "auroc": asdict(report.auroc),
            "sensitivity": asdict(figures.sensitivity),
            "specificity": asdict(figures.specificity),
            "prevalence": question.prevalence,
            "wanted": asdict(question.needs),
        }
        return self._add(subject, threshold, (by, reason), evidence)

    def go_back(self, subject: Subject, by: str, reason: str) -> ChosenPoint:
        """Choose the package's own threshold again, which takes no evidence; sign for it.

        Raises
        ------
        RefusedError
            A name or reason is missing, or the record does not verify.
        """
        return self._add(subject, subject.shipped, (by, reason), None)

    def prove(
        self, subject: Subject, backend: str, paired: Paired, signed: tuple[str, str]
    ) -> ChosenPoint:
        """Choose the threshold that a paired run has mapped, for one engine; sign for it.

        Parameters
        ----------
        signed
            Who proves it, and why.

        Raises
        ------
        RefusedError
            A name or reason is missing, or the record does not verify.
        """
        evidence = {"backend": backend, "paired": asdict(paired)}
        return self._add(subject, paired.mapped.threshold, signed, evidence)

    def _add(
        self,
        subject: Subject,
        threshold: float,
        signed: tuple[str, str],
        evidence: dict[str, Any] | None,
    ) -> ChosenPoint:
        by = _required(signed[0], "Write who chooses.")
        content = {
            "model": {
                "id": subject.model_id,
                "version": subject.model_version,
                "sha256": subject.model_sha256,
            },
            "output": subject.output,
            "channel": str(subject.channel),
            "threshold": threshold,
            "by": by,
            "reason": _required(signed[1], "Write why, in a few words."),
            "chosen_at": self._now().isoformat(timespec="seconds"),
            "evidence": evidence,
        }
        with self._store.transaction() as db:
            entries, head = _record(db)
            wrong = troubles(self._key, entries, head)
            if wrong:
                raise RefusedError(f"Nothing was chosen. {wrong[0]}", code="record_broken")
            key = self._key = self._key or self._make_key()
            entry, new_head = sign(key, content, entries)
            operating_points.append(db, (entry.body, entry.mac), (new_head.count, new_head.mac))
            _restart_streams(db, subject)
        return _point(entry)

    def verify(self) -> tuple[list[Entry], list[str]]:
        """Return the record and what is wrong with it, a sentence each."""
        with self._store.read() as db:
            entries, head = _record(db)
        return entries, troubles(self._key, entries, head)

    def points(self) -> tuple[ChosenPoint, ...]:
        """Return the standing choice of each subject and engine, the latest last.

        There is none at all from a record that is not whole.

        A choice for the package's own threshold is none.
        """
        entries, wrong = self.verify()
        if wrong:
            return ()
        standing: list[ChosenPoint] = []
        for entry in entries:
            point = _point(entry)
            back = entry.content["evidence"] is None
            standing = [p for p in standing if not _replaces(point, p, every_engine=back)]
            standing += [] if back else [point]
        return tuple(standing)

    def standing(self, subject: Subject) -> ChosenPoint | None:
        """Return what was chosen for a subject, or None where its package's threshold holds."""
        wanted = (subject.model_sha256, subject.output, subject.channel)
        fitting = (p for p in self.points() if (p.model_sha256, p.output, p.channel) == wanted)
        return max(fitting, key=lambda p: p.chosen_on, default=None)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), tz=timezone.utc)


def _required(text: str, otherwise: str) -> str:
    text = " ".join(text.split())[:_MAX_TEXT]
    if not text:
        raise RefusedError(otherwise, code="no_name_or_reason")
    return text


def _gather(results: Sequence[ReferenceResult], scored: Sequence[StudyScore]) -> Gathered:
    by_study: dict[str, list[ReferenceResult]] = defaultdict(list)
    for result in results:
        by_study[result.study_instance_uid].append(result)
    known = {score.study_instance_uid: score for score in scored}
    truth = {
        study: site_calibration.reference_of(result.outcome for result in found)
        for study, found in by_study.items()
    }
    inside = sorted(
        study
        for study, outcome in truth.items()
        if study in known and outcome is not ReferenceOutcome.UNKNOWN
    )
    positive = [truth[study] is ReferenceOutcome.POSITIVE for study in inside]
    lines = [
        f"{study} {known[study].probability!r} {is_positive}"
        for study, is_positive in zip(inside, positive, strict=True)
    ]
    return Gathered(
        cohort=site_calibration.make_cohort(
            [known[study].probability for study in inside],
            positive,
            _strata([known[study] for study in inside], [by_study[study] for study in inside]),
        ),
        n_unknown=sum(
            outcome is ReferenceOutcome.UNKNOWN and study in known
            for study, outcome in truth.items()
        ),
        n_without_score=sum(study not in known for study in truth),
        n_abstained=sum(known[study].abstained for study in inside),
        digest=hashlib.sha256("\n".join(lines).encode()).hexdigest(),
    )


def _strata(
    people: Sequence[StudyScore], results: Sequence[Sequence[ReferenceResult]]
) -> dict[str, list[str]]:
    unknown = site_calibration.UNKNOWN
    strata = {
        "age": [site_calibration.age_band(person.age_years) for person in people],
        "sex": [person.sex or unknown for person in people],
    }
    local = [{k: v for result in found for k, v in result.strata.items()} for found in results]
    for name in sorted({name for values in local for name in values}):
        column = [values.get(name, unknown) for values in local]
        if name not in strata and len(set(column)) <= _MOST_VALUES:
            strata[name] = column
    return strata


def _replaces(new: ChosenPoint, old: ChosenPoint, *, every_engine: bool) -> bool:
    """Say whether a later choice takes the place of an earlier one."""
    same = (new.model_sha256, new.output, new.channel) == (
        old.model_sha256,
        old.output,
        old.channel,
    )
    return same and (every_engine or new.backend == old.backend)


def _record(db: Database) -> tuple[list[Entry], Head | None]:
    head = operating_points.head(db)
    entries = [Entry(body, mac) for body, mac in operating_points.rows(db)]
    return entries, None if head is None else Head(*head)


def _point(entry: Entry) -> ChosenPoint:
    content = entry.content
    return ChosenPoint(
        model_id=content["model"]["id"],
        model_version=content["model"]["version"],
        model_sha256=content["model"]["sha256"],
        output=content["output"],
        channel=Channel(content["channel"]),
        threshold=content["threshold"],
        by=content["by"],
        chosen_on=content["chosen_at"][:10],
        backend=(content["evidence"] or {}).get("backend", ""),
    )


def _restart_streams(db: Database, subject: Subject) -> None:
    for row in drift_streams.rows(db):
        if (row["model_id"], row["model_version"]) == (subject.model_id, subject.model_version):
            key = drift_streams.StreamKey(
                row["station"], row["model_id"], row["model_version"], Channel(row["channel"])
            )
            if key.channel is subject.channel:
                drift_streams.forget(db, key)
