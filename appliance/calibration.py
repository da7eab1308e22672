"""From logits to probabilities, and from probabilities to findings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from appliance.domain import Finding, OperatingPoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from appliance.manifest import Abstention, Calibration, ModelManifest

__all__ = ["abstains", "findings", "must_abstain", "probabilities", "probability"]


def probability(logit: float, calibration: Calibration) -> float:
    """Platt scaling (Advances in Large Margin Classifiers, 1999): a logit becomes a probability.

    Parameters
    ----------
    logit
        The network's raw output, finite.

    Returns
    -------
    float
        0 to 1, strictly rising with `logit` up to floating point.
    """
    scaled = calibration.slope * logit + calibration.intercept
    if scaled >= 0:
        return 1.0 / (1.0 + math.exp(-scaled))
    odds = math.exp(max(scaled, -700.0))  # below, exp is 0 in float64 anyway
    return odds / (1.0 + odds)


def probabilities(logits: NDArray[np.float32], manifest: ModelManifest) -> dict[str, float]:
    """Calibrate a prediction: output code to probability, in the manifest's order.

    Parameters
    ----------
    logits
        float32 (outputs,), in the manifest's order.
    """
    rules = {rule.output: rule for rule in manifest.calibration}
    return {
        output.code: probability(float(logit), rules[output.code])
        for output, logit in zip(manifest.outputs, logits, strict=True)
    }


def abstains(value: float, rule: Abstention) -> bool:
    """Whether a calibrated probability lies strictly between the rule's bounds."""
    return rule.lower < value < rule.upper


def must_abstain(values: Mapping[str, float], manifest: ModelManifest) -> bool:
    """Whether any output's probability lies where the model cannot tell."""
    return any(abstains(values[rule.output], rule) for rule in manifest.abstention)


def findings(values: Mapping[str, float], manifest: ModelManifest) -> tuple[Finding, ...]:
    """Hold calibrated probabilities against the model's operating points.

    Parameters
    ----------
    values
        Output code to probability, 0 to 1.

    Returns
    -------
    tuple[Finding, ...]
        One for each operating point, in the manifest's order; positive from the threshold on.
    """
    labels = {output.code: output.label for output in manifest.outputs}
    return tuple(
        Finding(
            code=point.output,
            label=labels[point.output],
            probability=values[point.output],
            operating_point=OperatingPoint(name=point.name, threshold=point.threshold),
            positive=values[point.output] >= point.threshold,
        )
        for point in manifest.operating_points
    )
