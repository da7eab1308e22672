"""What can be said of any picture, whatever it shows: size, shape, colour, emptiness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from appliance.quality.defects import Defect, Severity
from appliance.quality.picture import shrink, to_grey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a measurement of any picture becomes a defect.

    Parameters
    ----------
    min_side_px
        The shorter side of the image below which detail is lost; it belongs to a model.
    min_contrast
        Grey levels (0 to 255) between the 5th and the 95th percentile; less is a blank picture.
    max_aspect
        Long side over short side; a chest film is nearly square, a leg or a strip is not.
    max_saturation
        Mean HSV saturation (0 to 255) of a colour image; a tinted film stays below it, a
        photograph of the world or a colour Doppler does not.
    """

    min_side_px: int = 192
    min_contrast: float = 24.0
    max_aspect: float = 2.0
    max_saturation: float = 40.0


def measure_whole(pixels: NDArray[np.uint8]) -> dict[str, float]:
    """Measure the picture as it is stored.

    Returns
    -------
    dict
        shortest_side_px, aspect, contrast, brightness (mean, 0 to 255), dark_fraction and
        bright_fraction (share of pixels within 2 grey levels of black and of white), saturation.
    """
    rows, columns = pixels.shape[:2]
    small = shrink(pixels)
    grey = to_grey(small)
    low, high = np.percentile(grey, (5, 95))
    return {
        "shortest_side_px": float(min(rows, columns)),
        "aspect": max(rows, columns) / max(1, min(rows, columns)),
        "contrast": float(high - low),
        "brightness": float(grey.mean()),
        "dark_fraction": float((grey <= 2).mean()),
        "bright_fraction": float((grey >= 253).mean()),
        "saturation": _saturation(small),
    }


def _saturation(pixels: NDArray[np.uint8]) -> float:
    if pixels.ndim == 2:
        return 0.0
    return float(np.mean(cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)[:, :, 1]))


def find_whole(values: Mapping[str, float], bounds: Bounds) -> list[Defect]:
    """Say what no film may be."""
    found = []
    if values["shortest_side_px"] < bounds.min_side_px:
        found.append(
            Defect(
                "too_few_pixels",
                Severity.RETAKE,
                f"The picture is only {values['shortest_side_px']:.0f} pixels at its shorter side; "
                f"{bounds.min_side_px} are needed.",
                "Send the original instead of a small copy.",
            )
        )
    if values["saturation"] > bounds.max_saturation:
        found.append(
            Defect(
                "colour_picture",
                Severity.RETAKE,
                "This is a colour picture, not an X-ray film.",
                "Send the film itself.",
            )
        )
    if values["contrast"] < bounds.min_contrast:
        found.append(
            Defect(
                "no_contrast",
                Severity.RETAKE,
                "The picture is nearly blank: there is almost no difference between bright and "
                "dark.",
                "Check the exposure and take it again.",
            )
        )
    if values["aspect"] > bounds.max_aspect:
        found.append(
            Defect(
                "odd_shape",
                Severity.RETAKE,
                "The picture is much longer than wide, as no chest film is.",
                "Send the whole film and nothing else.",
            )
        )
    return found
