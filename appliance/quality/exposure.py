"""Is the film too dark, too bright, or flat? Greys that were clipped cannot be brought back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from appliance.quality.defects import Defect, Severity
from appliance.quality.picture import hull, inside

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from appliance.quality.limits import Limits
    from appliance.quality.picture import Film

# Within this share of the film's grey range of its darkest or brightest grey, all is one grey.
_ONE_GREY = 0.016


def measure_exposure(film: Film) -> dict[str, float]:
    """Measure the grey range, and how much of it is clipped where it matters.

    Returns
    -------
    dict
        ``field_contrast`` (grey levels between the 5th and 95th percentile of the field); with
        lungs also ``black_share`` (of the lungs' pixels, those as dark as the film's darkest) and
        ``white_share`` (of what lies between the lungs, as bright as its brightest), 0 to 1.
    """
    low, high, darkest, brightest = np.percentile(inside(film), (5, 95, 0.5, 99.5))
    values = {"field_contrast": float(high - low)}
    if film.lungs is None:
        return values
    near = max(0.5, _ONE_GREY * float(brightest - darkest))
    lungs = _within(film.lungs)
    between = hull(film.lungs) & ~film.lungs
    values["black_share"] = _share(film.grey[lungs] <= darkest + near)
    values["white_share"] = _share(film.grey[between] >= brightest - near)
    return values


def _within(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Take the outermost pixels off a mask: an edge belongs to both sides."""
    return cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


def _share(hits: NDArray[np.bool_]) -> float:
    return float(hits.mean()) if hits.size else 0.0


def find_exposure(values: Mapping[str, float], limits: Limits) -> list[Defect]:
    """Say what is clipped or flat."""
    found = []
    if values.get("black_share", 0.0) > limits.black_share:
        found.append(
            Defect(
                "over_exposed",
                Severity.RETAKE,
                "This film is over-exposed: the lungs are burnt to an even black.",
                "Take it again with less exposure (lower mAs), or read it as it is.",
            )
        )
    if values.get("white_share", 0.0) > limits.white_share:
        found.append(
            Defect(
                "under_exposed",
                Severity.RETAKE,
                "This film is under-exposed: heart and spine are an even white.",
                "Take it again with more exposure (higher mAs), or read it as it is.",
            )
        )
    if values["field_contrast"] < limits.field_contrast:
        found.append(
            Defect(
                "low_contrast",
                Severity.RETAKE,
                "This film is flat: bright and dark hardly differ.",
                "Take it again with a lower kV or a grid, or read it as it is.",
            )
        )
    return found
