"""A site's figures against closed forms; what scikit-learn says stands in tests/quantize."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.domain import ReferenceOutcome
from appliance.errors import RefusedError
from appliance.site_calibration import (
    Costs,
    Needs,
    age_band,
    at_threshold,
    auroc,
    make_cohort,
    reference_of,
    require,
    roc,
    sample_size,
    share,
    strata_figures,
    suggest,
)

POSITIVE, NEGATIVE, UNKNOWN = (
    ReferenceOutcome.POSITIVE,
    ReferenceOutcome.NEGATIVE,
    ReferenceOutcome.UNKNOWN,
)
# 10 positives (8 at or above 0.5) and 20 negatives (5 at or above it).
COHORT = make_cohort([0.9] * 8 + [0.2] * 2 + [0.6] * 5 + [0.1] * 15, [True] * 10 + [False] * 20, {})


def cohort_of(n: int, prevalence: float, shift: float, seed: int):
    """Binormal scores, squeezed into 0 to 1 by the logistic curve."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < prevalence
    logits = rng.normal(0, 1, n) + shift * truth
    return make_cohort(1 / (1 + np.exp(-logits)), truth, {"sex": rng.choice(["F", "M"], n)})


@pytest.mark.parametrize(
    ("expected", "half_width", "n"),
    # z² p (1 - p) / W², with z² = 3.8415: Buderer 1996.
    [(0.90, 0.10, 35), (0.90, 0.05, 139), (0.95, 0.05, 73), (0.70, 0.10, 81), (0.5, 0.05, 385)],
)
def test_the_size_is_buderers(expected, half_width, n):
    assert sample_size(expected, half_width) == n


def test_the_people_needed_are_those_of_the_rarer_side():
    needs = Needs()
    assert (needs.n_positive, needs.n_negative) == (35, 81)
    assert needs.people(0.02) == 1750
    assert needs.people(0.9) == 810


def test_a_small_sample_is_refused_with_the_size_needed():
    with pytest.raises(RefusedError) as refused:
        require(COHORT, Needs())
    assert refused.value.code == "cohort_too_small"
    for told in ("10 positive", "20 negative", "35 positive", "81", "122 people"):
        assert told in refused.value.text
    require(cohort_of(400, 0.3, 2.0, 0), Needs())


def test_nobody_at_all_is_refused_too():
    with pytest.raises(RefusedError, match="0 positive"):
        require(make_cohort([], [], {}), Needs())


def test_one_threshold_in_closed_form():
    row = at_threshold(COHORT, 0.5, costs=Costs(xray=2.0, test=10.0))
    assert row.sensitivity.value == 0.8
    assert row.specificity.value == 0.75
    assert row.ppv is not None
    assert row.ppv.value == pytest.approx(8 / 13)
    assert row.npv is not None
    assert row.npv.value == pytest.approx(15 / 17)
    assert row.found_per_100 == pytest.approx(100 * 8 / 30)
    assert row.missed_per_100 == pytest.approx(100 * 2 / 30)
    assert row.tests_per_100 == pytest.approx(100 * 13 / 30)
    assert row.tests_per_case == pytest.approx(13 / 8)
    assert row.people_per_case == pytest.approx(30 / 8)
    assert row.cost_per_case == pytest.approx((30 * 2 + 13 * 10) / 8)


def test_another_prevalence_is_bayes():
    row = at_threshold(COHORT, 0.5, prevalence=0.05)
    ppv = 0.05 * 0.8 / (0.05 * 0.8 + 0.95 * 0.25)
    npv = 0.95 * 0.75 / (0.95 * 0.75 + 0.05 * 0.2)
    assert row.ppv is not None
    assert row.npv is not None
    assert row.ppv.value == pytest.approx(ppv)
    assert row.npv.value == pytest.approx(npv)
    assert row.tests_per_case == pytest.approx(1 / ppv)
    # Mercaldo's logit interval of the PPV: variance (1-Se)/(Se n1) + Sp/((1-Sp) n0).
    half = 1.959963984540054 * math.sqrt(0.2 / (0.8 * 10) + 0.75 / (0.25 * 20))
    low = 1 / (1 + math.exp(-(math.log(ppv / (1 - ppv)) - half)))
    assert row.ppv.low == pytest.approx(low)


def test_a_threshold_above_everybody_finds_nobody_and_says_so():
    row = at_threshold(COHORT, 0.95, prevalence=0.1, costs=Costs(1, 1))
    assert row.ppv is None
    assert row.npv is not None
    assert row.npv.value == pytest.approx(0.9)
    assert (row.tests_per_case, row.people_per_case, row.cost_per_case) == (None, None, None)


def test_wilson_in_closed_form():
    # Newcombe, Statistics in Medicine 17:857 (1998), table I: 81 of 263.
    found = share(81, 263)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)


def test_the_auroc_of_binormal_scores_is_phi_of_the_shift():
    cohort = cohort_of(20000, 0.4, 1.5, 3)
    expected = 0.5 * (1 + math.erf(1.5 / math.sqrt(2) / math.sqrt(2)))
    found = auroc(cohort)
    assert found.value == pytest.approx(expected, abs=0.01)
    assert found.low < expected < found.high


def test_delongs_interval_holds_the_truth_19_times_in_20():
    expected = 0.5 * (1 + math.erf(1.0 / 2))
    inside = 0
    for seed in range(300):
        found = auroc(cohort_of(200, 0.4, 1.0, seed))
        inside += found.low <= expected <= found.high
    assert 0.91 <= inside / 300 <= 0.98


def test_the_area_under_the_corners_is_the_auroc_with_ties():
    rng = np.random.default_rng(5)
    cohort = make_cohort(np.round(rng.random(300), 1), rng.random(300) < 0.3, {})
    false, found, thresholds = roc(cohort)
    area = float(np.sum(np.diff(false) * (found[1:] + found[:-1]) / 2))
    assert area == pytest.approx(auroc(cohort).value)
    assert thresholds[0] == math.inf
    assert (false[-1], found[-1]) == (1.0, 1.0)


@settings(deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_the_suggested_threshold_finds_what_is_wanted_and_none_higher_does(seed, wanted):
    cohort = cohort_of(120, 0.4, 1.0, seed)
    threshold = suggest(cohort, wanted)
    assert at_threshold(cohort, threshold).sensitivity.value >= wanted
    higher = cohort.scores[cohort.truth & (cohort.scores > threshold)]
    if higher.size:
        assert at_threshold(cohort, float(higher.min())).sensitivity.value < wanted


def test_a_part_that_is_too_small_has_counts_and_no_figures():
    cohort = cohort_of(400, 0.4, 1.5, 1)
    few = np.array(["few"] * 10 + ["many"] * 390)
    cohort = make_cohort(cohort.scores, cohort.truth, {"ward": few})
    small, large = strata_figures(cohort, 0.5, Needs())
    assert (small.value, small.figures, small.auroc) == ("few", None, None)
    assert small.n_positive + small.n_negative == 10
    assert large.figures is not None
    assert large.figures.sensitivity.value > 0


@pytest.mark.parametrize(
    ("age", "band"),
    [(None, "unknown"), (0.2, "under 5"), (5, "5 to 14"), (14.9, "5 to 14"), (54, "35 to 54"),
     (55, "55 and over"), (101, "55 and over")],
)  # fmt: skip
def test_age_bands(age, band):
    assert age_band(age) == band


def test_one_positive_test_suffices_and_unknown_is_never_negative():
    assert reference_of([NEGATIVE, POSITIVE, UNKNOWN]) is POSITIVE
    assert reference_of([UNKNOWN, NEGATIVE]) is NEGATIVE
    assert reference_of([UNKNOWN]) is UNKNOWN
    assert reference_of([]) is UNKNOWN
