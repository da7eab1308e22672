"""From validation logits to decisions: calibration, operating point, abstention.

Every site counts the same, and within it every class, whatever their numbers: the probabilities
are those of a place where one film in two is positive, and the manifest says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quantize.metrics import even_weights, weighted_quantile

if TYPE_CHECKING:
    from quantize.metrics import Scores, Truth

PREVALENCE = 0.5


@dataclass(frozen=True, slots=True)
class Platt:
    """``probability = 1 / (1 + exp(-(slope * logit + intercept)))``."""

    slope: float
    intercept: float

    def __call__(self, logits: Scores) -> Scores:
        """Calibrate logits (n,) to probabilities (n,)."""
        return 1 / (1 + np.exp(-(self.slope * logits + self.intercept)))


def fit_platt(logits: Scores, truth: Truth, sites: np.ndarray) -> Platt:
    """Fit Platt scaling by Newton's method, with Platt's own targets against overconfidence."""
    weights = even_weights(truth, sites)
    positives, negatives = int(truth.sum()), int((~truth).sum())
    target = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    design = np.column_stack([logits, np.ones_like(logits)])
    found = np.array([1.0, 0.0])
    for _ in range(100):
        p = 1 / (1 + np.exp(-design @ found))
        gradient = design.T @ (weights * (p - target))
        curvature = (design.T * (weights * p * (1 - p))) @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        found -= np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-10:
            break
    return Platt(float(found[0]), float(found[1]))


def threshold_for(
    probabilities: Scores, truth: Truth, sites: np.ndarray, target_sensitivity: float
) -> float:
    """Highest threshold that finds `target_sensitivity` of the positives, sites weighted evenly."""
    weights = even_weights(truth, sites)
    return weighted_quantile(probabilities[truth], weights[truth], 1 - target_sensitivity)


def abstention_band(
    probabilities: Scores, truth: Truth, sites: np.ndarray, alpha: float
) -> tuple[float, float]:
    """Bounds of Mondrian split conformal prediction (Vovk, ACML 2012), sites weighted evenly.

    A probability not below the lower bound leaves *positive* possible, one not above the upper
    bound leaves *negative* possible; in between both are, and the model cannot tell. Where the
    classes part so well that the bounds cross, the band is empty and both ends are their middle.
    """
    weights = even_weights(truth, sites)
    positive, negative = truth, ~truth
    lower = weighted_quantile(probabilities[positive], weights[positive], _level(alpha, positive))
    upper = -weighted_quantile(-probabilities[negative], weights[negative], _level(alpha, negative))
    if lower >= upper:
        lower = upper = (lower + upper) / 2
    return lower, upper


def _level(alpha: float, members: Truth) -> float:
    """Return the quantile's level with split conformal's correction for a finite sample."""
    n = int(members.sum())
    return max(0.0, np.floor((n + 1) * alpha) / (n + 1))
