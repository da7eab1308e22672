from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.calibration import abstains, findings, must_abstain, probabilities, probability
from appliance.manifest import Abstention, Calibration, ModelManifest, load_manifest

ROOT = Path(__file__).resolve().parent.parent
RULE = Calibration("x", slope=2.0, intercept=-1.0, prevalence=0.5, fitted_on="a test", n=1)
logits = st.floats(-1e6, 1e6)


@pytest.fixture(scope="module")
def manifest() -> ModelManifest:
    return load_manifest(ROOT / "models" / "cxr-pneumonia" / "1.0.0")


@given(logits)
def test_a_probability_is_one(logit: float) -> None:
    assert 0 <= probability(logit, RULE) <= 1


@given(logits, logits)
def test_more_evidence_is_never_less_probable(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert probability(low, RULE) <= probability(high, RULE)


def test_is_the_logistic_function() -> None:
    assert probability(0.5, RULE) == pytest.approx(0.5)
    assert probability(1.0, RULE) == pytest.approx(1 / (1 + np.exp(-1)))
    assert probability(0.0, RULE) == pytest.approx(1 - probability(1.0, RULE))


def test_the_band_is_open_at_both_ends() -> None:
    band = Abstention("x", alpha=0.1, lower=0.3, upper=0.6, n_positive=1, n_negative=1)
    assert [abstains(p, band) for p in (0.2, 0.3, 0.31, 0.59, 0.6, 0.7)] == [
        False,
        False,
        True,
        True,
        False,
        False,
    ]


@given(st.floats(0, 1))
def test_an_empty_band_never_abstains(value: float) -> None:
    assert not abstains(value, Abstention("x", 0.1, 0.4, 0.4, 1, 1))


def test_findings_hold_against_the_threshold(manifest: ModelManifest) -> None:
    threshold = manifest.operating_points[0].threshold
    (found,) = findings({"pneumonia": threshold}, manifest)
    assert found.positive
    assert (found.code, found.label) == ("pneumonia", "Pneumonia")
    assert found.operating_point.threshold == threshold
    (missed,) = findings({"pneumonia": float(np.nextafter(threshold, 0))}, manifest)
    assert not missed.positive


def test_probabilities_are_in_the_manifests_order(manifest: ModelManifest) -> None:
    values = probabilities(np.array([30.0], np.float32), manifest)
    assert list(values) == ["pneumonia"]
    assert values["pneumonia"] > 0.99


def test_any_unsure_output_stops_the_reading(manifest: ModelManifest) -> None:
    band = replace(manifest.abstention[0], lower=0.4, upper=0.6)
    unsure = replace(manifest, abstention=(band,))
    assert must_abstain({"pneumonia": 0.5}, unsure)
    assert not must_abstain({"pneumonia": 0.9}, unsure)
