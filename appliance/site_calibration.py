"""What a site's own reference results say of a model along its threshold. Pure figures.

The questions are those of the WHO's and TDR's toolkit for calibrating CAD at a site: how many are
found and missed, how many confirmatory tests that takes and what a found case costs, at each
threshold and in each part of the population. Scores are float64 (n,), truth is bool (n,).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from appliance.domain import ReferenceOutcome
from appliance.errors import RefusedError
from appliance.manifest import Interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    Scores = NDArray[np.float64]
    Truth = NDArray[np.bool_]

_Z = 1.959963984540054  # two-sided 95 % of the normal distribution
# Upper ends (exclusive, years). 15 is the WHO's lower limit for CAD; 55 is where its calibration
# toolkit draws the ROC of the elderly apart.
_AGE_BANDS = ((5, "under 5"), (15, "5 to 14"), (35, "15 to 34"), (55, "35 to 54"))
_OLDEST = "55 and over"
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Needs:
    """How exactly a site wants to know the two figures that a threshold trades.

    Parameters
    ----------
    sensitivity, specificity
        What is expected or wanted, each strictly between 0 and 1. The defaults are the least that
        the WHO asks of a triage test for tuberculosis (target product profiles, 2014).
    half_width
        The figure shall be known to within so much on either side, 95 % of the time.
    """

    sensitivity: float = 0.90
    specificity: float = 0.70
    half_width: float = 0.10

    @property
    def n_positive(self) -> int:
        """Positive reference results that are needed."""
        return sample_size(self.sensitivity, self.half_width)

    @property
    def n_negative(self) -> int:
        """Negative reference results that are needed."""
        return sample_size(self.specificity, self.half_width)

    def people(self, prevalence: float) -> int:
        """Return how many people have to be looked at where `prevalence` (0 to 1) are positive."""
        return max(
            math.ceil(self.n_positive / prevalence - 1e-9),
            math.ceil(self.n_negative / (1 - prevalence) - 1e-9),
        )


def sample_size(share: float, half_width: float) -> int:
    """Smallest n for which a share is known to within `half_width` (Buderer 1996).

    ``z² p (1 - p) / W²`` of Buderer, Academic Emergency Medicine 3:895, with z of 95 %.
    """
    return math.ceil(_Z**2 * share * (1 - share) / half_width**2 - 1e-9)


@dataclass(frozen=True, slots=True)
class Cohort:
    """People with a score and a known reference result.

    Parameters
    ----------
    scores
        float64 (n,), calibrated probabilities, 0 to 1.
    truth
        bool (n,), True where the reference result is positive.
    strata
        Name of a stratum (age, sex, a local column) to str (n,).
    """

    scores: Scores
    truth: Truth
    strata: Mapping[str, NDArray[np.str_]]

    @property
    def n_positive(self) -> int:
        """People with a positive reference result."""
        return int(self.truth.sum())

    @property
    def n_negative(self) -> int:
        """People with a negative reference result."""
        return int(self.truth.size - self.truth.sum())

    @property
    def prevalence(self) -> float:
        """Share of positives, 0 to 1; not a number where there is nobody."""
        return float(self.truth.mean()) if self.truth.size else float("nan")

    def part(self, name: str, value: str) -> Cohort:
        """Return those of one stratum, without strata of their own."""
        inside = self.strata[name] == value
        return Cohort(self.scores[inside], self.truth[inside], {})


@dataclass(frozen=True, slots=True)
class Costs:
    """What a site pays, in one currency: the X-ray with its reading, and a confirmatory test."""

    xray: float
    test: float


@dataclass(frozen=True, slots=True)
class ThresholdFigures:
    """What one threshold does; a score at or above it is called abnormal.

    Parameters
    ----------
    sensitivity, specificity
        With Wilson's intervals.
    ppv, npv
        Predictive values at the prevalence that was asked for; None where nobody is on that side.
    found_per_100, missed_per_100
        Cases among 100 people that are called abnormal, and that are not.
    tests_per_100
        Confirmatory tests for 100 people: one for everybody who is called abnormal.
    tests_per_case, people_per_case
        Tests, and people to X-ray, for one case found; None where none is found.
    cost_per_case
        Cost of one case found, or None where no costs were given or none is found.
    """

    threshold: float
    sensitivity: Interval
    specificity: Interval
    ppv: Interval | None
    npv: Interval | None
    found_per_100: float
    missed_per_100: float
    tests_per_100: float
    tests_per_case: float | None
    people_per_case: float | None
    cost_per_case: float | None


@dataclass(frozen=True, slots=True)
class StratumFigures:
    """One part of the cohort; without figures where it is too small for them."""

    name: str
    value: str
    n_positive: int
    n_negative: int
    auroc: Interval | None
    figures: ThresholdFigures | None


def reference_of(outcomes: Iterable[ReferenceOutcome]) -> ReferenceOutcome:
    """Judge a person by all results: one positive suffices, else one negative, else unknown."""
    seen = set(outcomes)
    for outcome in (ReferenceOutcome.POSITIVE, ReferenceOutcome.NEGATIVE):
        if outcome in seen:
            return outcome
    return ReferenceOutcome.UNKNOWN


def age_band(age_years: float | None) -> str:
    """Return the age band of a person."""
    if age_years is None:
        return UNKNOWN
    return next((name for end, name in _AGE_BANDS if age_years < end), _OLDEST)


def require(cohort: Cohort, needs: Needs) -> None:
    """Refuse a cohort that is too small to judge a threshold by.

    Raises
    ------
    RefusedError
        The text says how many of which are there and how many are needed.
    """
    if cohort.n_positive >= needs.n_positive and cohort.n_negative >= needs.n_negative:
        return
    more = ""
    if 0 < cohort.prevalence < 1:
        more = (
            f" Where {cohort.prevalence:.0%} are positive as here, that takes about "
            f"{needs.people(cohort.prevalence)} people."
        )
    raise RefusedError(
        f"The sample is too small: {cohort.n_positive} positive and {cohort.n_negative} negative "
        f"reference results with a score; {needs.n_positive} positive and {needs.n_negative} "
        f"negative are needed to know a sensitivity of {needs.sensitivity:.0%} and a specificity "
        f"of {needs.specificity:.0%} to within {needs.half_width * 100:g} points.{more} Enter "
        "more reference results, or ask for less exactness.",
        code="cohort_too_small",
    )


def share(count: int, total: int) -> Interval:
    """`count` of `total`, with Wilson's interval (J Am Stat Assoc 22:209, 1927)."""
    if total == 0:
        return Interval(float("nan"), 0.0, 1.0)
    value = count / total
    spread = 1 + _Z**2 / total
    centre = (value + _Z**2 / (2 * total)) / spread
    half = _Z * math.sqrt(value * (1 - value) / total + _Z**2 / (4 * total**2)) / spread
    return Interval(value, max(0.0, centre - half), min(1.0, centre + half))


def roc(cohort: Cohort) -> tuple[Scores, Scores, Scores]:
    """Corners of the ROC curve, from (0, 0) to (1, 1).

    Returns
    -------
    tuple
        1 - specificity, sensitivity and threshold, float64 (m,) each; the first threshold is
        infinite: nobody is called abnormal. Equal scores make one corner.
    """
    order = np.argsort(-cohort.scores, kind="stable")
    scores, truth = cohort.scores[order], cohort.truth[order]
    ends = np.append(np.nonzero(np.diff(scores))[0], scores.size - 1)
    found, false = np.cumsum(truth)[ends], np.cumsum(~truth)[ends]
    return (
        np.append(0.0, false / max(cohort.n_negative, 1)),
        np.append(0.0, found / max(cohort.n_positive, 1)),
        np.append(np.inf, scores[ends]),
    )


def auroc(cohort: Cohort) -> Interval:
    """Chance that a positive scores above a negative (ties count half), with DeLong's interval.

    DeLong and others, Biometrics 44:837, 1988; cut to 0 and 1. Needs two of either kind.
    """
    positive, negative = cohort.scores[cohort.truth], cohort.scores[~cohort.truth]
    above = _placements(positive, negative)
    below = 1 - _placements(negative, positive)
    variance = above.var(ddof=1) / positive.size + below.var(ddof=1) / negative.size
    value, half = float(above.mean()), _Z * math.sqrt(float(variance))
    return Interval(value, max(0.0, value - half), min(1.0, value + half))


def _placements(of: Scores, among: Scores) -> Scores:
    ordered = np.sort(among)
    low = np.searchsorted(ordered, of, side="left")
    high = np.searchsorted(ordered, of, side="right")
    return np.asarray((low + high) / (2 * among.size), dtype=np.float64)


def at_threshold(
    cohort: Cohort,
    threshold: float,
    *,
    prevalence: float | None = None,
    costs: Costs | None = None,
) -> ThresholdFigures:
    """Return what one threshold does.

    Parameters
    ----------
    prevalence
        Share of positives among the people to come (0 to 1, both excluded), or None for the
        cohort's own, which is right only where the cohort is everybody who came.
    """
    called = cohort.scores >= threshold
    hits = int((called & cohort.truth).sum())
    false = int((called & ~cohort.truth).sum())
    quiet = cohort.n_negative - false
    sensitivity, specificity = share(hits, cohort.n_positive), share(quiet, cohort.n_negative)
    ppv: Interval | None
    npv: Interval | None
    if prevalence is None:
        ppv = share(hits, hits + false) if hits + false else None
        misses = cohort.n_positive - hits
        npv = share(quiet, quiet + misses) if quiet + misses else None
    else:
        ppv, npv = _predictive(hits, quiet, cohort, prevalence)
    rate = cohort.prevalence if prevalence is None else prevalence
    found = 100 * rate * sensitivity.value
    tests = found + 100 * (1 - rate) * (1 - specificity.value)
    return ThresholdFigures(
        threshold=threshold,
        sensitivity=sensitivity,
        specificity=specificity,
        ppv=ppv,
        npv=npv,
        found_per_100=found,
        missed_per_100=100 * rate - found,
        tests_per_100=tests,
        tests_per_case=tests / found if found > 0 else None,
        people_per_case=100 / found if found > 0 else None,
        cost_per_case=(100 * costs.xray + tests * costs.test) / found if costs and found else None,
    )


def _predictive(
    hits: int, quiet: int, cohort: Cohort, prevalence: float
) -> tuple[Interval | None, Interval | None]:
    """Predictive values by Bayes at another prevalence, with logit intervals (Mercaldo 2007).

    Mercaldo, Lau and Zhou, Statistics in Medicine 26:2170. Where a share is 0 or 1 its logit has no
    variance, so the interval is taken from their adjusted shares, (x + z²/2) / (n + z²).
    """
    n_positive, n_negative = cohort.n_positive, cohort.n_negative
    sensitivity, specificity = hits / n_positive, quiet / n_negative
    known = sensitivity, specificity
    if not (0 < sensitivity < 1 and 0 < specificity < 1):
        known = (
            (hits + _Z**2 / 2) / (n_positive + _Z**2),
            (quiet + _Z**2 / 2) / (n_negative + _Z**2),
        )
    odds = prevalence / (1 - prevalence)
    se, sp = known
    ppv = _logit_interval(
        _ratio(sensitivity * odds, 1 - specificity),
        math.log(se * odds / (1 - sp)),
        (1 - se) / (se * n_positive) + sp / ((1 - sp) * n_negative),
    )
    npv = _logit_interval(
        _ratio(specificity, (1 - sensitivity) * odds),
        math.log(sp / ((1 - se) * odds)),
        se / ((1 - se) * n_positive) + (1 - sp) / (sp * n_negative),
    )
    return ppv, npv


def _ratio(part: float, rest: float) -> float | None:
    return part / (part + rest) if part + rest > 0 else None


def _logit_interval(value: float | None, logit: float, variance: float) -> Interval | None:
    if value is None:
        return None
    half = _Z * math.sqrt(variance)
    low, high = (1 / (1 + math.exp(-end)) for end in (logit - half, logit + half))
    return Interval(value, min(low, value), max(high, value))


def suggest(cohort: Cohort, sensitivity: float) -> float:
    """Return the highest score that, as a threshold, still finds `sensitivity` of the positives."""
    positive = np.sort(cohort.scores[cohort.truth])
    missed = math.floor(positive.size * (1 - sensitivity) + 1e-9)
    return float(positive[min(missed, positive.size - 1)])


def strata_figures(
    cohort: Cohort,
    threshold: float,
    needs: Needs,
    *,
    costs: Costs | None = None,
) -> tuple[StratumFigures, ...]:
    """Return each stratum's figures at one threshold, at the stratum's own prevalence.

    A stratum that is too small for `needs` has counts and no figures.
    """
    found = []
    for name, values in cohort.strata.items():
        for value in np.unique(values):
            part = cohort.part(name, str(value))
            enough = part.n_positive >= needs.n_positive and part.n_negative >= needs.n_negative
            found.append(
                StratumFigures(
                    name=name,
                    value=str(value),
                    n_positive=part.n_positive,
                    n_negative=part.n_negative,
                    auroc=auroc(part) if enough else None,
                    figures=at_threshold(part, threshold, costs=costs) if enough else None,
                )
            )
    return tuple(found)


def make_cohort(
    scores: Sequence[float], truth: Sequence[bool], strata: Mapping[str, Sequence[str]]
) -> Cohort:
    """Return the cohort of people that are listed one after the other."""
    return Cohort(
        np.asarray(scores, dtype=np.float64),
        np.asarray(truth, dtype=np.bool_),
        {name: np.asarray(values, dtype=np.str_) for name, values in strata.items()},
    )
