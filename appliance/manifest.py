"""What a model package says about itself; placeholder of the first minutes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Exposure:
    low_percentile: float
    high_percentile: float


@dataclass(frozen=True, slots=True)
class InputSpec:
    side_px: int
    channels: int
    polarity: str
    resize: str
    mean: float
    std: float
    exposure: Exposure | None
