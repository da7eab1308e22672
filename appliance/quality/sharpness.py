"""Is the film sharp? Fine structure against coarser structure, within the lungs' hull.

Measured at one scale for every film: the lungs are brought to a width of 192 pixels, so that a
small patient, a large film and a film with borders are judged alike. What is blurred finer than
that scale shows is not noticed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from appliance.quality.defects import Defect, Severity
from appliance.quality.picture import box, hull

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from appliance.quality.limits import Limits
    from appliance.quality.picture import Film

_WIDTH_PX = 192
_SIGMAS_PX = (1.0, 2.0, 4.0)
_RIM_PX = 7  # what the smoothing carries over the hull's edge


def measure_sharpness(film: Film) -> dict[str, float]:
    """Measure ``sharpness``: root mean square of the octave from 1 to 2 pixels over the next one.

    Nothing without lungs. Noise in the finest octave is left out, so that a noisy film does not
    pass for a sharp one.
    """
    if film.lungs is None:
        return {}
    lungs = box(film.lungs)
    part = np.s_[lungs.top : lungs.bottom, lungs.left : lungs.right]
    size = (_WIDTH_PX, max(8, round(lungs.height * _WIDTH_PX / lungs.width)))
    shrinks = lungs.width > _WIDTH_PX
    picture = cv2.resize(
        film.grey[part].astype(np.float32),
        size,
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC,
    )
    whole = hull(film.lungs)[part].astype(np.uint8)
    resized = cv2.resize(whole, size, interpolation=cv2.INTER_NEAREST)
    where = cv2.erode(resized, np.ones((_RIM_PX, _RIM_PX), np.uint8)) > 0
    if not where.any():
        return {}
    fine, middle, coarse = (cv2.GaussianBlur(picture, (0, 0), sigma) for sigma in _SIGMAS_PX)
    return {"sharpness": _rms(fine - middle, where) / max(_rms(middle - coarse, where), 1e-3)}


def _rms(octave: NDArray[np.float32], where: NDArray[np.bool_]) -> float:
    return float(np.sqrt(np.mean(np.square(octave[where]))))


def find_sharpness(values: Mapping[str, float], limits: Limits) -> list[Defect]:
    """Say that the film is blurred."""
    if values.get("sharpness", limits.sharpness) >= limits.sharpness:
        return []
    return [
        Defect(
            "blurred",
            Severity.RETAKE,
            "This film is blurred: fine lines in the lungs cannot be seen.",
            "Take it again with a shorter exposure while the patient holds still and holds the "
            "breath, or read it as it is.",
        )
    ]
