"""A case as the pages show it: made from a worklist entry, with no number that may not be shown."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from appliance.domain import InstanceState, Reading, ReadingState
from web import words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from appliance.domain import Finding, Measurement, ModelRef, Reason, Region, WorklistEntry
    from appliance.worklist import Study

_UNANSWERED = {
    InstanceState.ARRIVED,
    InstanceState.READING,
    InstanceState.ABSTAINED,
    InstanceState.REFUSED,
    InstanceState.FAILED,
    InstanceState.QUARANTINED,
}


@dataclass(frozen=True, slots=True)
class FindingView:
    """A finding in words, with what the bar needs (0 to 100)."""

    finding: Finding
    percent: float
    threshold: float

    @property
    def sentence(self) -> str:
        """What is said of it: the name, the word, the number."""
        finding = self.finding
        return f"{finding.signs}: {finding.word} ({finding.number} in 100)"


@dataclass(frozen=True, slots=True)
class Case:
    """One case for a template.

    Parameters
    ----------
    answered
        Whether the box gave an answer; if not, `findings` and `measurements` are empty and no
        heat map is shown, whatever the store holds from an earlier reading.
    mark
        Changes when what a row shows has changed (apart from the waiting time).
    """

    entry: WorklistEntry
    state: words.StateWord
    extra: words.StateWord | None
    answered: bool
    findings: tuple[FindingView, ...]
    measurements: tuple[Measurement, ...]
    why: tuple[Reason, ...]
    waiting: str
    has_film: bool
    has_heat: bool
    mark: str

    @property
    def id(self) -> int:
        """The number of the case in the pages' addresses."""
        return self.entry.instance.id

    @property
    def name(self) -> str:
        """The patient's name for people."""
        return words.patient_name(self.entry.instance.header.patient_name)

    @property
    def reading(self) -> Reading | None:
        """The latest reading, or None."""
        return None if self.entry.reading is None else self.entry.reading.reading

    @property
    def model(self) -> ModelRef | None:
        """The model of the latest reading, or None."""
        return None if self.reading is None else self.reading.model

    @property
    def can_be_read_anyway(self) -> bool:
        """Whether the quality check stopped it, so that a person may ask for a reading."""
        refused = self.entry.instance.state is InstanceState.REFUSED
        return refused and self.reading is not None and self.reading.stopped_for_quality

    @property
    def region(self) -> Region | None:
        """Where the evidence is strongest, where the box gave an answer and there is a name."""
        explanation = self.reading.explanation if self.answered and self.reading else None
        return None if explanation is None else explanation.region

    @property
    def person(self) -> str:
        """Age and sex in one line."""
        header = self.entry.instance.header
        return f"{words.age(header.patient_age_years)}, {words.sex(header.patient_sex)}"

    @property
    def examination(self) -> str:
        """What was imaged."""
        return words.examination(self.entry.instance.header)

    @property
    def line(self) -> str:
        """The one line that a row says: the findings, or why there is none."""
        if self.answered:
            return "; ".join(view.sentence for view in self.findings)
        return self.why[0].text if self.why else self.state.meaning


def case_of(entry: WorklistEntry, now: datetime, *, reviewed: bool) -> Case:
    """Return a worklist entry as the pages show it at `now`."""
    instance = entry.instance
    reading = None if entry.reading is None else entry.reading.reading
    answered = (
        reading is not None
        and reading.state is ReadingState.READ
        and instance.state not in _UNANSWERED
    )
    artifacts = {} if entry.reading is None else entry.reading.artifacts
    return Case(
        entry=entry,
        state=words.state_word(instance.state, instance.urgency, reviewed=reviewed),
        extra=_delivery_word(entry),
        answered=answered,
        findings=_findings(reading) if answered and reading is not None else (),
        measurements=reading.measurements if answered and reading is not None else (),
        why=_why(entry, answered=answered),
        waiting=words.waiting((now - instance.received_at).total_seconds()),
        has_film="film" in artifacts,
        has_heat=answered and "heat" in artifacts,
        mark=_mark(entry, reviewed=reviewed),
    )


def case_of_study(study: Study, now: datetime) -> Case:
    """Return a study's case; it is reviewed once somebody confirmed or overruled."""
    return case_of(study.entry, now, reviewed=is_reviewed(study))


def is_reviewed(study: Study) -> bool:
    """Say whether a person has confirmed or overruled the reading."""
    return any(act.act in {"confirm", "overrule"} for act in study.reviews)


def _delivery_word(entry: WorklistEntry) -> words.StateWord | None:
    if entry.deliveries_dead:
        return words.STATES["unsent"]
    if entry.deliveries_done and not entry.deliveries_open:
        return words.STATES["sent"]
    return None


def _findings(reading: Reading) -> tuple[FindingView, ...]:
    return tuple(
        FindingView(
            finding=finding,
            percent=round(finding.probability * 100, 1),
            threshold=round(finding.operating_point.threshold * 100, 1),
        )
        for finding in sorted(reading.findings, key=lambda f: f.probability, reverse=True)
    )


def _why(entry: WorklistEntry, *, answered: bool) -> tuple[Reason, ...]:
    """Return why there is no answer, the reason that matters most first."""
    instance = entry.instance
    if instance.quarantine is not None:
        return (instance.quarantine,)
    waits = instance.state in {InstanceState.ARRIVED, InstanceState.READING}
    if answered or waits or entry.reading is None:
        return ()
    return entry.reading.reading.reasons


def _mark(entry: WorklistEntry, *, reviewed: bool) -> str:
    reading_id = 0 if entry.reading is None else entry.reading.id
    counts = (entry.deliveries_open, entry.deliveries_done, entry.deliveries_dead)
    parts: Sequence[object] = (entry.instance.state, reading_id, *counts, int(reviewed))
    return "-".join(str(part) for part in parts)


def as_json(case: Case) -> dict[str, Any]:
    """Return a case for integrations; `findings` is empty unless the box gave an answer."""
    instance, header = case.entry.instance, case.entry.instance.header
    return {
        "id": case.id,
        "sop_instance_uid": header.sop_instance_uid,
        "study_instance_uid": header.study_instance_uid,
        "state": str(instance.state),
        "word": case.state.word,
        "urgency": instance.urgency.name.lower(),
        "mark": case.mark,
        "patient": {
            "id": header.patient_id,
            "name": header.patient_name,
            "age_years": header.patient_age_years,
            "sex": header.patient_sex,
        },
        "modality": header.modality,
        "received_at": words.machine_time(instance.received_at),
        "reasons": [asdict(reason) for reason in _all_reasons(case)],
        "findings": [_finding_json(view) for view in case.findings],
        "measurements": [asdict(item) for item in case.measurements],
        "frame": _frame_json(case),
        "region": None if case.region is None else asdict(case.region),
        "model": None if case.model is None else asdict(case.model),
        "deliveries": {
            "open": case.entry.deliveries_open,
            "done": case.entry.deliveries_done,
            "dead": case.entry.deliveries_dead,
        },
    }


def _all_reasons(case: Case) -> tuple[Reason, ...]:
    if case.why or case.reading is None:
        return case.why
    return case.reading.reasons


def _frame_json(case: Case) -> dict[str, int] | None:
    """Return the part of the image that the model was shown, in its pixels; None for all of it."""
    explanation = case.reading.explanation if case.answered and case.reading else None
    return asdict(explanation.frame) if explanation and explanation.frame else None


def _finding_json(view: FindingView) -> dict[str, Any]:
    finding = view.finding
    return {**asdict(finding), "in_100": finding.number, "word": finding.word}
