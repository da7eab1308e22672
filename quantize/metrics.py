"""Figures with their 95 % intervals.

Scores are float64 (n,), truth is bool (n,); nothing here knows a network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from appliance.manifest import Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores = NDArray[np.float64]
    Truth = NDArray[np.bool_]

_Z = 1.959963984540054  # two-sided 95 % of the normal distribution


def words(interval: Interval | None, digits: int = 3) -> str:
    """Write an interval for people; a dash where a figure cannot be had."""
    if interval is None:
        return "-"
    value, low, high = interval.value, interval.low, interval.high
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def auroc(truth: Truth, scores: Scores) -> float:
    """Chance that a positive scores above a negative (ties count half)."""
    positive, negative = scores[truth], np.sort(scores[~truth])
    below = np.searchsorted(negative, positive, side="left")
    up_to = np.searchsorted(negative, positive, side="right")
    return float((below + up_to).mean() / (2 * negative.size))


def auroc_interval(truth: Truth, scores: Scores) -> Interval:
    """AUROC with DeLong's interval (Biometrics 44:837, 1988), cut to 0 and 1."""
    return _delong(truth, scores[np.newaxis])[0][0]


def auroc_difference(truth: Truth, scores: Scores, reference: Scores) -> Interval:
    """Paired difference of two AUROCs on the same samples, `scores` minus `reference` (DeLong)."""
    (first, second), covariance = _delong(truth, np.stack([scores, reference]))
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    half = _Z * float(np.sqrt(max(variance, 0.0)))
    difference = first.value - second.value
    return Interval(difference, difference - half, difference + half)


def _delong(truth: Truth, scores: Scores) -> tuple[list[Interval], NDArray[np.float64]]:
    placements_positive = np.stack([_placements(s[truth], s[~truth]) for s in scores])
    placements_negative = np.stack([1 - _placements(s[~truth], s[truth]) for s in scores])
    covariance = (
        np.atleast_2d(np.cov(placements_positive)) / placements_positive.shape[1]
        + np.atleast_2d(np.cov(placements_negative)) / placements_negative.shape[1]
    )
    intervals = []
    for value, variance in zip(placements_positive.mean(axis=1), np.diag(covariance), strict=True):
        half = _Z * float(np.sqrt(variance))
        mean = float(value)
        intervals.append(Interval(mean, max(0.0, mean - half), min(1.0, mean + half)))
    return intervals, covariance


def _placements(of: Scores, among: Scores) -> NDArray[np.float64]:
    """Share of `among` that lies below each of `of` (ties count half)."""
    ordered = np.sort(among)
    below = np.searchsorted(ordered, of, side="left")
    up_to = np.searchsorted(ordered, of, side="right")
    return np.asarray((below + up_to) / (2 * among.size), dtype=np.float64)


def share(count: float, total: float) -> Interval:
    """`count` of `total` with Wilson's interval (J Am Stat Assoc 22:209, 1927)."""
    if total == 0:
        return Interval(float("nan"), 0.0, 1.0)
    value = count / total
    spread = 1 + _Z**2 / total
    centre = (value + _Z**2 / (2 * total)) / spread
    half = _Z * float(np.sqrt(value * (1 - value) / total + _Z**2 / (4 * total**2))) / spread
    return Interval(value, max(0.0, centre - half), min(1.0, centre + half))


def calibration_error(
    truth: Truth, probabilities: Scores, weights: Scores, bins: int = 10
) -> float:
    """Return the expected calibration error over equal-width bins, each sample with its weight."""
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    total = 0.0
    for index in range(bins):
        inside = place == index
        weight = float(weights[inside].sum())
        if weight > 0:
            gap = np.average(
                truth[inside].astype(float) - probabilities[inside], weights=weights[inside]
            )
            total += weight * abs(float(gap))
    return total / float(weights.sum())


def chance_calibration_error(probabilities: Scores, weights: Scores, draws: int = 1000) -> float:
    """95th percentile of the calibration error of a perfect model on so many samples.

    The binned error never falls to zero on a finite sample (Kumar and others, NeurIPS 2019): truth
    is drawn from the probabilities themselves, and the error measured as if it had been observed.
    """
    rng = np.random.default_rng(0)
    errors = [
        calibration_error(rng.random(probabilities.size) < probabilities, probabilities, weights)
        for _ in range(draws)
    ]
    return float(np.percentile(errors, 95))


def auprc(truth: Truth, scores: Scores) -> float:
    """Average precision: the area under precision and recall, by steps (ties taken together)."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.nonzero(np.diff(scores[order]))[0], scores.size - 1)
    found = np.cumsum(truth[order])[ends]
    precision = found / (ends + 1)
    return float((precision * np.diff(found, prepend=0)).sum() / truth.sum())


def brier(truth: Truth, probabilities: Scores) -> float:
    """Mean squared distance of the probability from what was true (Brier, 1950)."""
    return float(np.mean((probabilities - truth) ** 2))


def roc(truth: Truth, scores: Scores) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners of the ROC curve: 1 - specificity and sensitivity, from (0, 0) to (1, 1)."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.nonzero(np.diff(scores[order]))[0], scores.size - 1)
    found, false = np.cumsum(truth[order])[ends], np.cumsum(~truth[order])[ends]
    return np.append(0, false / (~truth).sum()), np.append(0, found / truth.sum())


def even_weights(truth: Truth, sites: NDArray[np.str_]) -> Scores:
    """Weights that give every site, and within it each class, the same total; they sum to n."""
    weights = np.zeros(truth.size)
    groups = [
        (sites == site) & (truth == label) for site in np.unique(sites) for label in (False, True)
    ]
    groups = [group for group in groups if group.any()]
    for group in groups:
        weights[group] = truth.size / (len(groups) * group.sum())
    return weights


def weighted_quantile(values: Scores, weights: Scores, level: float) -> float:
    """Smallest value at which the cumulative weight share reaches `level`."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(reached, level - 1e-12)), values.size - 1)])


def weighted_share(parts: list[Interval | None]) -> Interval:
    """Mean of independent shares (one a site), its interval from theirs (each half squared)."""
    known = [part for part in parts if part is not None]
    if not known:
        return Interval(float("nan"), 0.0, 1.0)
    value = float(np.mean([part.value for part in known]))
    below = float(np.sqrt(sum((p.value - p.low) ** 2 for p in known))) / len(known)
    above = float(np.sqrt(sum((p.high - p.value) ** 2 for p in known))) / len(known)
    return Interval(value, max(0.0, value - below), min(1.0, value + above))
