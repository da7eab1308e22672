"""From logits to probabilities, and from probabilities to findings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from appliance.domain import Finding, OperatingPoint, PointState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from appliance.domain import Channel, ChosenPoint, ModelRef, ModelUse
    from appliance.manifest import Abstention, Calibration, ModelManifest

__all__ = [
    "abstains",
    "chosen_for",
    "default_state",
    "findings",
    "holding",
    "must_abstain",
    "probabilities",
    "probability",
]


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


def chosen_for(
    points: Sequence[ChosenPoint], manifest: ModelManifest, channel: Channel
) -> dict[str, OperatingPoint]:
    """Return the operating points that the site chose: output code to point.

    A point counts only for the very model that it was chosen for (id, version and hash), and only
    for its channel: a new version never inherits it.
    """
    wanted = (manifest.id, manifest.version, manifest.sha256, channel)
    return {
        point.output: OperatingPoint(point.name, point.threshold, PointState.CHOSEN)
        for point in points
        if (point.model_id, point.model_version, point.model_sha256, point.channel) == wanted
    }


def holding(
    points: Sequence[ChosenPoint], uses: Sequence[ModelUse], ref: ModelRef, channel: Channel
) -> list[ChosenPoint]:
    """Return the points that hold for the engine that answered, among those that a site chose.

    Parameters
    ----------
    uses
        What has read here, the first first.
    """
    own = [use.backend for use in uses if (use.model_sha256, use.channel) == (ref.sha256, channel)]
    first = own[0] if own else ref.backend
    return [point for point in points if (point.backend or first) == ref.backend]


def default_state(uses: Sequence[ModelUse], ref: ModelRef, channel: Channel) -> PointState:
    """Return how the package's own threshold stands here.

    What read first in a channel reads as shipped; each version, quantization or engine after it is
    unproved until something was chosen for it.
    """
    known = [use for use in uses if (use.model_id, use.channel) == (ref.id, channel)]
    if not known or (known[0].model_sha256, known[0].backend) == (ref.sha256, ref.backend):
        return PointState.SHIPPED
    return PointState.UNPROVED


def findings(
    values: Mapping[str, float],
    manifest: ModelManifest,
    chosen: Mapping[str, OperatingPoint] | None = None,
    state: PointState = PointState.SHIPPED,
) -> tuple[Finding, ...]:
    """Hold calibrated probabilities against the model's operating points.

    Parameters
    ----------
    values
        Output code to probability, 0 to 1.
    chosen
        Output code to the point that the site chose, which takes the place of the model's own.
    state
        How the model's own points stand here.

    Returns
    -------
    tuple[Finding, ...]
        One for each operating point, in the manifest's order; positive from the threshold on.
    """
    labels = {output.code: output.label for output in manifest.outputs}
    coverage = {rule.output: 1 - rule.alpha for rule in manifest.abstention}
    points = [
        (
            rule.output,
            (chosen or {}).get(rule.output, OperatingPoint(rule.name, rule.threshold, state)),
        )
        for rule in manifest.operating_points
    ]
    return tuple(
        Finding(
            code=code,
            label=labels[code],
            probability=values[code],
            operating_point=point,
            positive=values[code] >= point.threshold,
            coverage=coverage.get(code),
        )
        for code, point in dict.fromkeys(points)
    )
