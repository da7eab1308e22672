"""A threshold belongs to one model version: what a successor needs before it may have one."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.calibrating import SiteCalibration, Subject
from appliance.calibration import default_state, holding
from appliance.domain import (
    Channel,
    ChosenPoint,
    ModelRef,
    ModelUse,
    OperatingPoint,
    PointState,
    ReadingState,
)
from appliance.errors import ConfigError, RefusedError
from appliance.pipeline import Pipeline, Reader
from appliance.scope import Policy
from appliance.store import instances, jobs, readings, scores
from appliance.threshold_mapping import least_positives, loss_bound, map_threshold
from appliance.wiring.proving import Proof, paired_run
from tests.models import FixedPredictor, manifest
from tests.records import MODEL, new_instance, read
from tests.test_pipeline import FILM

DIGITAL = Channel.DIGITAL
OLD_POINT = 0.5


def shifted(seed: int, n: int, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return truth, and the scores of a version and of its successor, which scores far lower."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.4
    logit = rng.normal(-2, 1.5, n) + 4 * truth
    later = 0.8 * logit - 2.0 + rng.normal(0, noise, n) if noise else 0.8 * logit - 2.0
    return truth, 1 / (1 + np.exp(-logit)), 1 / (1 + np.exp(-later))


def test_the_mapping_keeps_the_sensitivity_within_a_point() -> None:
    _, old, new = shifted(0, 1200)
    mapped = map_threshold(old, OLD_POINT, new, most_loss=0.01)
    truth, before, after = shifted(1, 20000)  # images to come

    def sensitivity(values: np.ndarray, point: float) -> float:
        return float((values[truth] >= point).mean())

    wanted = sensitivity(before, OLD_POINT)
    assert wanted - sensitivity(after, OLD_POINT) > 0.1  # the old threshold would have missed many
    assert abs(wanted - sensitivity(after, mapped.threshold)) <= 0.01
    assert mapped.lost_unmapped > 0.1 * mapped.n_positive
    assert mapped.loss_bound <= 0.01


def test_a_version_that_ranks_otherwise_is_mapped_lower_and_keeps_the_bound() -> None:
    _, old, new = shifted(2, 3000, noise=0.6)
    mapped = map_threshold(old, OLD_POINT, new, most_loss=0.01)
    _, before, after = shifted(3, 40000, noise=0.6)
    positive = before >= OLD_POINT
    assert float((after[positive] < mapped.threshold).mean()) <= 0.01
    assert mapped.gained > 0  # the price of the bound


def test_the_bound_holds_as_often_as_it_says() -> None:
    """Of 400 paired runs, at most about 5 in 100 lose more than their bound."""
    exceeded = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        new = rng.random(120)  # of images that the old version all calls abnormal
        mapped = map_threshold(np.ones(120), 0.5, new, most_loss=0.05)
        exceeded += mapped.threshold > 0.05  # the true loss is the threshold itself
    assert exceeded <= 0.05 * 400 + 3 * np.sqrt(400 * 0.05 * 0.95)


def test_closed_forms() -> None:
    assert least_positives(0.05) == 59
    assert least_positives(0.01) == 299
    assert loss_bound(0, 59) == pytest.approx(1 - 0.05 ** (1 / 59))
    assert loss_bound(3, 100) == pytest.approx(0.07571, abs=1e-4)  # Clopper-Pearson, one-sided 95 %


def test_too_few_images_are_refused_with_the_number_needed() -> None:
    with pytest.raises(RefusedError, match="58 were called abnormal, 59 are needed"):
        map_threshold(np.ones(58), 0.5, np.ones(58), most_loss=0.05)


def ref(sha: str = MODEL.sha256, backend: str = MODEL.backend) -> ModelRef:
    return ModelRef(MODEL.id, "9", sha, backend)


def use(sha: str = MODEL.sha256, backend: str = MODEL.backend, channel=DIGITAL) -> ModelUse:
    return ModelUse(MODEL.id, sha, backend, channel)


def test_what_reads_first_is_as_shipped_and_what_follows_unproved() -> None:
    assert default_state([], ref(), DIGITAL) is PointState.SHIPPED
    assert default_state([use()], ref(), DIGITAL) is PointState.SHIPPED
    assert default_state([use()], ref(sha="new"), DIGITAL) is PointState.UNPROVED
    assert default_state([use()], ref(backend="tensorrt"), DIGITAL) is PointState.UNPROVED
    # Another channel has its own history, and the first version stays proved.
    assert default_state([use()], ref(sha="new"), Channel.PHOTOGRAPHED) is PointState.SHIPPED
    assert default_state([use(), use("new")], ref(), DIGITAL) is PointState.SHIPPED


def point(backend: str = "", sha: str = MODEL.sha256) -> ChosenPoint:
    return ChosenPoint(MODEL.id, "9", sha, "pneumonia", DIGITAL, 0.3, "Ada", "2026-11-01", backend)


def test_a_choice_holds_for_its_engine() -> None:
    assert holding([point()], [use()], ref(), DIGITAL) == [point()]
    assert holding([point()], [use()], ref(backend="tensorrt"), DIGITAL) == []
    mapped = point("tensorrt")
    assert holding([point(), mapped], [use()], ref(backend="tensorrt"), DIGITAL) == [mapped]
    assert mapped.name == "mapped here on 2026-11-01 by Ada"


def test_the_old_choice_is_blocked_and_the_reading_says_so() -> None:
    readers = [Reader(manifest(), FixedPredictor(5.0))]
    pipeline = Pipeline(lambda _content: FILM, readers, Policy())
    old = use(sha="of the version before")
    before = point(sha="of the version before")
    reading, _ = pipeline.read(b"film", points=[before], uses=[old])
    assert reading.state is ReadingState.READ
    (finding,) = reading.findings
    shipped = manifest().operating_points[0]
    assert finding.operating_point == OperatingPoint(
        shipped.name, shipped.threshold, PointState.UNPROVED
    )
    assert "Unproved here" in finding.operating_point.unproved_said
    (first,) = pipeline.read(b"film")[0].findings
    assert (first.operating_point.state, first.operating_point.unproved_said) == (
        PointState.SHIPPED,
        "",
    )


def keep(db, files, number: int, score: float) -> None:
    """Keep an image and what the old version said of it; its bytes are its number."""
    sha = files.put(str(number).encode())
    new = new_instance(f"1.2.{number}")
    instance_id = instances.insert(db, type(new)(**{**fields_of(new), "sha256": sha}), 1.0)
    assert instance_id is not None
    job = jobs.claim(db, "worker-1", 2.0, 60.0)
    assert job is not None
    reading = read(score)
    reading_id = readings.insert(db, job, reading, {}, 3.0)
    scores.insert(db, reading_id, reading, DIGITAL)


def fields_of(value) -> dict:
    return {name: getattr(value, name) for name in type(value).__dataclass_fields__}


PROOF = Proof(MODEL.id, "2.0.0", DIGITAL, None, None, 0.05, "Ada", "the new version")
NEXT = use(sha="cd" * 32)


def test_a_paired_run_over_stored_images_is_signed_and_holds(store, files) -> None:
    _, old, new = shifted(4, 400)
    with store.transaction() as db:
        for number, score in enumerate(old):
            keep(db, files, number, float(score))

    def score(content: bytes) -> float | None:
        number = int(content)
        return None if number == 7 else float(new[number])

    paired = paired_run(store, files, NEXT, "pneumonia", PROOF, score)
    assert (paired.old_version, paired.skipped) == (MODEL.version, 1)
    assert paired.mapped.loss_bound <= 0.05
    site = SiteCalibration(store, key=None, make_key=lambda: b"k" * 32, clock=lambda: 1.8e9)
    subject = Subject(MODEL.id, "2.0.0", NEXT.model_sha256, "pneumonia", DIGITAL, 0.5)
    proved = site.prove(subject, NEXT.backend, paired, ("Ada", "the new version"))
    assert proved.threshold == paired.mapped.threshold
    assert site.points() == (proved,)
    assert site.verify()[1] == []
    with store.read() as db:
        held = holding(site.points(), scores.uses(db), ref(NEXT.model_sha256), DIGITAL)
    assert held == [proved]
    site.go_back(subject, "Ada", "back")
    assert site.points() == ()


def test_nothing_to_hold_it_against_is_said(store, files) -> None:
    with pytest.raises(ConfigError, match="has read no digital image here"):
        paired_run(store, files, NEXT, "pneumonia", PROOF, lambda _content: 0.5)
