"""Is this image fit to be read? Pure measurements of the pixels, each defect with its advice.

The measurements are taken on a copy of at most 512 pixels, so that their cost does not grow with
the film. What is not looked for here (inversion, rotation, cut lung fields, blur) is not claimed:
`docs/architecture.md` says what is still to come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from appliance.domain import Quality, Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIDE = 512


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a measurement becomes a defect.

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


def check_quality(pixels: NDArray[np.uint8], bounds: Bounds) -> Quality:
    """Measure `pixels` and say what is wrong with them.

    Parameters
    ----------
    pixels
        uint8, (rows, columns) or (rows, columns, 3) RGB, as displayed (bone bright).

    Returns
    -------
    Quality
        `fit` is False when any defect was found; `values` holds shortest_side_px, aspect,
        contrast, brightness (mean, 0 to 255), dark_fraction and bright_fraction (share of pixels
        within 2 grey levels of black and of white) and saturation.
    """
    rows, columns = pixels.shape[:2]
    small = _shrink(pixels)
    saturation = _saturation(small)
    grey = to_grey(small)
    low, high = np.percentile(grey, (5, 95))
    values = {
        "shortest_side_px": float(min(rows, columns)),
        "aspect": max(rows, columns) / max(1, min(rows, columns)),
        "contrast": float(high - low),
        "brightness": float(grey.mean()),
        "dark_fraction": float((grey <= 2).mean()),
        "bright_fraction": float((grey >= 253).mean()),
        "saturation": saturation,
    }
    reasons = tuple(_defects(values, bounds))
    return Quality(fit=not reasons, reasons=reasons, values=values)


def to_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return `pixels` as (rows, columns) uint8; RGB becomes luma (ITU-R BT.601)."""
    if pixels.ndim == 2:
        return pixels
    grey: NDArray[np.uint8] = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    return grey


def _shrink(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    rows, columns = pixels.shape[:2]
    scale = _SIDE / max(rows, columns)
    if scale >= 1.0:
        return pixels
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    small: NDArray[np.uint8] = np.asarray(
        cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8
    )
    return small


def _saturation(pixels: NDArray[np.uint8]) -> float:
    if pixels.ndim == 2:
        return 0.0
    return float(np.mean(cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)[:, :, 1]))


def _defects(values: dict[str, float], bounds: Bounds) -> list[Reason]:
    found = []
    if values["shortest_side_px"] < bounds.min_side_px:
        found.append(
            Reason(
                "too_few_pixels",
                f"The picture is only {values['shortest_side_px']:.0f} pixels at its shorter side; "
                f"{bounds.min_side_px} are needed. Send the original instead of a small copy.",
            )
        )
    if values["saturation"] > bounds.max_saturation:
        found.append(
            Reason(
                "colour_picture",
                "This is a colour picture, not an X-ray film. Send the film itself.",
            )
        )
    if values["contrast"] < bounds.min_contrast:
        found.append(
            Reason(
                "no_contrast",
                "The picture is nearly blank: there is almost no difference between bright and "
                "dark. Check the exposure and take it again.",
            )
        )
    if values["aspect"] > bounds.max_aspect:
        found.append(
            Reason(
                "odd_shape",
                "The picture is much longer than wide, as no chest film is. "
                "Send the whole film and nothing else.",
            )
        )
    return found
