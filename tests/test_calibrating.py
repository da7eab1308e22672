"""A site's own figures and choices, over the store."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from appliance.calibrating import Question, SiteCalibration, Subject
from appliance.domain import (
    Channel,
    ReadingState,
    ReferenceKind,
    ReferenceOutcome,
    ReferenceResult,
)
from appliance.errors import RefusedError
from appliance.site_calibration import Costs
from appliance.store import (
    drift_streams,
    instances,
    jobs,
    operating_points,
    readings,
    reference_results,
    scores,
)
from appliance.store.drift_streams import StreamKey
from tests.records import MODEL, new_instance, read, without_numbers

SUBJECT = Subject(MODEL.id, MODEL.version, MODEL.sha256, "pneumonia", Channel.DIGITAL, 0.4)


def add(db, uid: str, study: str, score: float, **header) -> int:
    """Admit and read one film of a study."""
    new = new_instance(uid, **header)
    new = replace(new, header=replace(new.header, study_instance_uid=study))
    instance_id = instances.insert(db, new, 1.0)
    job = jobs.claim(db, "worker-1", 2.0, 60.0)
    assert job is not None
    reading = read(score)
    if 0.45 < score < 0.55:
        reading = without_numbers(ReadingState.ABSTAINED)
        reading = replace(reading, research={"pneumonia": score})
    reading_id = readings.insert(db, job, reading, {}, 3.0)
    scores.insert(db, reading_id, reading, Channel.DIGITAL)
    return instance_id


def known(study: str, *, positive: bool, **local: str) -> ReferenceResult:
    outcome = ReferenceOutcome.POSITIVE if positive else ReferenceOutcome.NEGATIVE
    return ReferenceResult(study, ReferenceKind.MOLECULAR, outcome, "2026-11-01", "Ada", local)


def fill(store, people: int = 260) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.random(people) < 0.35
    drawn = 1 / (1 + np.exp(-(rng.normal(-1, 1, people) + 2.0 * truth)))
    with store.transaction() as db:
        for number, (positive, score) in enumerate(zip(truth, drawn, strict=True)):
            add(db, f"1.{number}", f"9.{number}", float(score), patient_age_years=number % 80 + 0.0,
                patient_sex="MF"[number % 2])  # fmt: skip
            result = known(f"9.{number}", positive=bool(positive), clinic="north")
            reference_results.insert(db, [result], 4.0)
    return truth, drawn


@pytest.fixture
def site(store, clock):
    return SiteCalibration(store, key=None, make_key=lambda: b"k" * 32, clock=clock)


def test_the_report_is_that_of_the_stored_scores(store, site):
    truth, drawn = fill(store)
    report = site.report(SUBJECT, Question(costs=Costs(2, 10)))
    cohort = report.gathered.cohort
    assert (cohort.n_positive, cohort.n_negative) == (truth.sum(), (~truth).sum())
    assert sorted(cohort.scores) == pytest.approx(sorted(drawn))
    assert report.current.threshold == report.shipped.threshold == 0.4
    assert report.current.sensitivity.value == pytest.approx((drawn[truth] >= 0.4).mean())
    assert report.current_name == "as shipped"
    assert report.gathered.n_abstained == ((drawn > 0.45) & (drawn < 0.55)).sum()
    assert {part.name for part in report.strata} == {"age", "sex", "clinic"}
    assert report.current.cost_per_case is not None
    assert len(report.rows) == 19


def test_a_study_counts_once_by_its_highest_film(store, site):
    with store.transaction() as db:
        add(db, "1.1", "9.1", 0.2)
        add(db, "1.2", "9.1", 0.7)
        add(db, "1.3", "9.2", 0.1)
        unknown = ReferenceResult(
            "9.2", ReferenceKind.SMEAR, ReferenceOutcome.UNKNOWN, "2026-11-01", "Ada"
        )
        reference_results.insert(db, [known("9.1", positive=True), unknown], 1.0)
        reference_results.insert(db, [known("9.9", positive=True)], 1.0)
    gathered = site.gather(SUBJECT, list(ReferenceKind))
    assert gathered.cohort.scores.tolist() == [0.7]
    assert (gathered.n_unknown, gathered.n_without_score) == (1, 1)
    other = replace(SUBJECT, channel=Channel.PHOTOGRAPHED)
    assert site.gather(other, list(ReferenceKind)).n_without_score == 3
    assert site.gather(SUBJECT, [ReferenceKind.CULTURE]).cohort.scores.size == 0


def test_a_column_with_many_values_is_no_stratum(store, site):
    with store.transaction() as db:
        for number in range(20):
            add(db, f"1.{number}", f"9.{number}", 0.5)
            result = known(f"9.{number}", positive=True, bed=str(number), age="local")
            reference_results.insert(db, [result], 1.0)
    strata = site.gather(SUBJECT, list(ReferenceKind)).cohort.strata
    assert set(strata) == {"age", "sex"}
    assert set(strata["age"]) == {"unknown"}


def test_too_few_are_refused_and_nothing_is_chosen(store, site):
    fill(store, 40)
    with pytest.raises(RefusedError, match="35 positive and 81 negative are needed"):
        site.report(SUBJECT, Question())
    with pytest.raises(RefusedError, match="too small"):
        site.choose(SUBJECT, Question(), 0.3, "Ada", "why")
    assert site.verify() == ([], [])


def test_a_choice_is_signed_stands_and_can_be_taken_back(store, site, clock):
    fill(store)
    key = StreamKey("ROOM1", MODEL.id, MODEL.version, Channel.DIGITAL)
    other = StreamKey("ROOM1", MODEL.id, MODEL.version, Channel.PHOTOGRAPHED)
    with store.transaction() as db:
        drift_streams.save(db, key, "{}", 1.0)
        drift_streams.save(db, other, "{}", 1.0)
    point = site.choose(SUBJECT, Question(), 0.3, "Ada  Lovelace", "more sensitive")
    assert point.name == "chosen here on 2027-01-15 by Ada Lovelace"
    assert site.points() == (point,)
    assert site.standing(replace(SUBJECT, model_sha256="cd" * 32)) is None
    assert site.standing(replace(SUBJECT, channel=Channel.PHOTOGRAPHED)) is None
    report = site.report(SUBJECT, Question())
    assert (report.current.threshold, report.current_name) == (0.3, point.name)
    entries, troubles = site.verify()
    assert troubles == []
    evidence = entries[0].content["evidence"]
    assert evidence["n_positive"] == report.gathered.cohort.n_positive
    assert evidence["cohort_sha256"] == report.gathered.digest
    assert evidence["sensitivity"]["value"] == report.current.sensitivity.value
    assert "9.1" not in entries[0].body.split('"evidence"')[1]
    with store.read() as db:
        assert drift_streams.body(db, key) is None
        assert drift_streams.body(db, other) == "{}"
    again = site.choose(SUBJECT, Question(), 0.25, "Ben", "the meeting")
    assert site.points() == (again,)
    site.go_back(SUBJECT, "Ben", "the other meeting")
    assert site.points() == ()
    assert len(site.verify()[0]) == 3


@pytest.mark.parametrize(
    ("threshold", "by", "reason"), [(0.0, "Ada", "x"), (1.0, "Ada", "x"), (0.3, " ", "x"),
                                    (0.3, "Ada", "")],
)  # fmt: skip
def test_a_choice_needs_a_threshold_a_name_and_a_reason(store, site, threshold, by, reason):
    fill(store)
    with pytest.raises(RefusedError):
        site.choose(SUBJECT, Question(), threshold, by, reason)
    assert site.verify()[0] == []


def tamper(store, how: str) -> None:
    with store.transaction() as db:
        if how == "edited":
            body = db.execute("select body from operating_point where id = 1").fetchone()[0]
            told = json.loads(body)
            told["threshold"] = 0.9
            db.execute("update operating_point set body = ? where id = 1", [json.dumps(told)])
        elif how == "first deleted":
            db.execute("delete from operating_point where id = 1")
        elif how == "last deleted":
            db.execute("delete from operating_point where id = 2")
        else:
            db.execute("delete from operating_point")
            db.execute("delete from operating_point_head")


@pytest.mark.parametrize("how", ["edited", "first deleted", "last deleted", "all deleted"])
def test_a_record_that_was_tampered_with_is_found_and_not_used(store, site, how):
    fill(store)
    site.choose(SUBJECT, Question(), 0.3, "Ada", "one")
    site.choose(SUBJECT, Question(), 0.35, "Ada", "two")
    tamper(store, how)
    assert site.verify()[1]
    assert site.points() == ()
    with pytest.raises(RefusedError, match="Nothing was chosen"):
        site.choose(SUBJECT, Question(), 0.4, "Ada", "three")
    with store.read() as db:
        assert len(operating_points.rows(db)) <= 2


def test_without_its_key_nothing_is_used(store, site, clock):
    fill(store)
    site.choose(SUBJECT, Question(), 0.3, "Ada", "one")
    other = SiteCalibration(store, key=None, make_key=lambda: b"x" * 32, clock=clock)
    assert "gone" in other.verify()[1][0]
    assert other.points() == ()
