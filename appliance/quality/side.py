"""On which side does the heart lie? A film that was sent mirrored shows it on the wrong one.

A linear rule over what differs between a film and its mirror image within the lungs' rectangle: a
film scores s, its mirror image -s. Its weights were fitted by ``bench/quality_limits.py``. A heart
that lies on the right (1 in 10,000 people) looks the same, so this is never more than a warning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from appliance.quality.defects import Defect, Severity
from appliance.quality.picture import box

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from appliance.quality.limits import Limits
    from appliance.quality.picture import Film

CELLS = 8  # of the grid over the lungs' rectangle, each way
_LEAST_SPREAD = 8.0  # grey levels: a flat film is not stretched to noise
_OUTLINE_WEIGHT = 2.0


def side_features(film: Film) -> NDArray[np.float32] | None:
    """Return float32 (64,): greys and outline of the right half less those of the left, mirrored.

    None without lungs.
    """
    if film.lungs is None:
        return None
    lungs = box(film.lungs)
    part = np.s_[lungs.top : lungs.bottom, lungs.left : lungs.right]
    greys = _grid(film.grey[part].astype(np.float32))
    greys = (greys - greys.mean()) / max(float(greys.std()), _LEAST_SPREAD)
    outline = _grid(film.lungs[part].astype(np.float32)) * _OUTLINE_WEIGHT
    halves = [_difference(greys), _difference(outline)]
    return np.concatenate(halves).astype(np.float32)


def _grid(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    small = cv2.resize(picture, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.float32)


def _difference(grid: NDArray[np.float32]) -> NDArray[np.float32]:
    difference: NDArray[np.float32] = (grid - grid[:, ::-1])[:, CELLS // 2 :].reshape(-1)
    return difference


def measure_side(film: Film, limits: Limits) -> dict[str, float]:
    """Measure ``heart_side``: above 0 the heart lies where it mostly does. None without lungs."""
    features = side_features(film)
    if features is None:
        return {}
    return {"heart_side": float(features @ np.array(limits.side_weights, np.float32))}


def find_side(values: Mapping[str, float], limits: Limits) -> list[Defect]:
    """Say that the film may be mirrored."""
    if values.get("heart_side", limits.heart_side) >= limits.heart_side:
        return []
    return [
        Defect(
            "mirrored",
            Severity.WARNING,
            "The heart seems to lie on the wrong side: this film may be mirrored.",
            "Compare the side marker. If it is mirrored, send it again the right way round.",
        )
    ]
