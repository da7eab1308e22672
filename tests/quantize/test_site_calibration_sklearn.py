"""A site's figures beside scikit-learn's, on simulated cohorts."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.workbench

metrics = pytest.importorskip("sklearn.metrics")

from appliance.site_calibration import at_threshold, auroc, make_cohort, roc  # noqa: E402


def cohort_of(seed: int, *, ties: bool):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(60, 800))
    truth = rng.random(n) < rng.uniform(0.05, 0.6)
    truth[:2] = [True, False]
    truth[2:4] = [True, False]
    scores = 1 / (1 + np.exp(-(rng.normal(0, 1, n) + rng.uniform(0, 3) * truth)))
    return make_cohort(np.round(scores, 2) if ties else scores, truth, {})


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(50))
def test_auroc_and_corners_are_scikit_learns(seed, ties):
    cohort = cohort_of(seed, ties=ties)
    assert auroc(cohort).value == pytest.approx(
        metrics.roc_auc_score(cohort.truth, cohort.scores), abs=1e-12
    )
    ours = roc(cohort)
    theirs = metrics.roc_curve(cohort.truth, cohort.scores, drop_intermediate=False)
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, atol=1e-12)


@pytest.mark.parametrize("seed", range(50))
def test_one_threshold_is_scikit_learns(seed):
    cohort = cohort_of(seed, ties=seed % 2 == 0)
    threshold = float(np.random.default_rng(seed).choice(cohort.scores))
    called = cohort.scores >= threshold
    row = at_threshold(cohort, threshold)
    quiet, false, missed, hits = metrics.confusion_matrix(cohort.truth, called).ravel()
    assert row.sensitivity.value == pytest.approx(metrics.recall_score(cohort.truth, called))
    assert row.specificity.value == pytest.approx(quiet / (quiet + false))
    assert row.ppv is not None
    assert row.ppv.value == pytest.approx(metrics.precision_score(cohort.truth, called))
    assert row.tests_per_100 == pytest.approx(100 * called.mean())
    assert row.found_per_100 == pytest.approx(100 * hits / called.size)
    assert row.missed_per_100 == pytest.approx(100 * missed / called.size)
