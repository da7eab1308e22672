"""What the limits of the measurements are; their values are in `appliance.quality.fitted`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a measurement of a film becomes a defect.

    Parameters
    ----------
    cut_top, cut_bottom, field_share
        A defect above (cut) and below (field); `appliance.quality.coverage.measure_coverage`.
    black_share, white_share, field_contrast
        A defect above (shares) and below; `appliance.quality.exposure.measure_exposure`.
    sharpness
        A defect below; `appliance.quality.sharpness.measure_sharpness`.
    heart_side, side_weights
        A defect below, and the 64 weights of the score; `appliance.quality.side`.
    """

    cut_top: float
    cut_bottom: float
    field_share: float
    black_share: float
    white_share: float
    field_contrast: float
    sharpness: float
    heart_side: float
    side_weights: tuple[float, ...]
