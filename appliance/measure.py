"""From a map of places to an outline, and from an outline to a number.

Pure: value in, value out. What makes no sense is said, not measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from appliance.domain import Frame, Measurement, Outline, Reason
from appliance.errors import InferenceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

__all__ = [
    "doubt_about_lungs",
    "frame_around",
    "frame_or_doubt",
    "lung_field_fraction",
    "measure",
    "outline",
]

# Share of the frame below which a separate patch is a speck.
_SPECK = 0.01
# The drawn lung fields of the training films fill 16 to 59 % of the frame.
_LEAST_LUNG, _MOST_LUNG = 0.08, 0.75
# Two lungs, which the heart's shadow may join; a third patch is tolerated.
_MOST_PATCHES = 3
# Longer side at which an outline is drawn where only its rectangle is asked for: a network's square
# is smaller, and drawing at a film's own size takes longer than the network does.
_FRAME_SIDE_PX = 512


def outline(places: NDArray[np.float32], rows: int, columns: int, code: str, label: str) -> Outline:
    """Draw the region in which the logit is positive, at the image's own size.

    Specks are dropped and holes filled on the network's own grid, then the map is enlarged
    linearly: the edge is as smooth as the network is sure.

    Parameters
    ----------
    places
        float32 (h, w): the logit of each place over the whole frame, row 0 at the top.
    rows, columns
        The image's size.
    code, label
        What the region is.

    Returns
    -------
    Outline
        Its mask is uint8 (rows, columns), 255 inside and 0 outside.
    """
    cleaned = _without_specks(_without_holes(places))
    enlarged = cv2.resize(cleaned, (columns, rows), interpolation=cv2.INTER_LINEAR)
    mask = np.where(enlarged > 0, np.uint8(255), np.uint8(0))
    return Outline(code=code, label=label, mask=mask)


def _without_specks(places: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lower the small patches below the limit (by their own depth, so that nothing is invented)."""
    return np.where(_small_patches(places > 0), -np.abs(places), places)


def _without_holes(places: NDArray[np.float32]) -> NDArray[np.float32]:
    """Raise what is small and enclosed; a large gap (the frame around) stays."""
    return np.where(_small_patches(places <= 0), np.abs(places), places)


def _small_patches(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < _SPECK * inside.size
    small[0] = False  # what is not inside
    return np.asarray(small[labels], dtype=np.bool_)


def doubt_about_lungs(lungs: Outline) -> Reason | None:
    """Return why an outline cannot be that of two lungs, or None where it can."""
    filled = _filled(lungs)
    patches = cv2.connectedComponents(lungs.mask, connectivity=8)[0] - 1
    if _LEAST_LUNG <= filled <= _MOST_LUNG and 1 <= patches <= _MOST_PATCHES:
        return None
    return Reason(
        "no_outline",
        "The lung fields could not be outlined: what was found has not the size or the shape of "
        "two lungs. A person should look at this image.",
    )


def lung_field_fraction(lungs: Outline) -> Measurement:
    """Measure the share of the image that the lung fields fill (0 to 1, without a unit)."""
    return Measurement(
        code="lung_field_fraction",
        label="Lung fields' share of the image",
        value=_filled(lungs),
        unit="1",
    )


def frame_around(drawn: Outline, margin: float) -> Frame:
    """Return the rectangle around an outline, with a margin, inside the image.

    Parameters
    ----------
    drawn
        As `outline` draws it, without specks and holes; not empty.
    margin
        Share of the rectangle's own width and height that is added on each side, 0 or more; whole
        pixels.

    Returns
    -------
    Frame
        In pixels of the mask.

    Raises
    ------
    ValueError
        Nothing is outlined.
    """
    left, top, width, height = cv2.boundingRect(drawn.mask)
    if width == 0:
        raise ValueError(f"nothing of {drawn.code!r} is outlined")
    rows, columns = drawn.mask.shape
    across, down = round(margin * width), round(margin * height)
    return Frame(
        left=max(0, left - across),
        top=max(0, top - down),
        right=min(columns, left + width + across),
        bottom=min(rows, top + height + down),
    )


def frame_or_doubt(
    places: NDArray[np.float32], rows: int, columns: int, code: str, margin: float
) -> Frame | Reason:
    """Return the rectangle that a model which asks for a frame is shown; training does the same.

    Parameters
    ----------
    places
        float32 (h, w): the outlining model's logit of each place over the whole image.
    rows, columns
        The image's size.
    code
        What the region is.
    margin
        See `frame_around`.

    Returns
    -------
    Frame or Reason
        In pixels of the image; or why the outline makes no sense, so that the whole image is to be
        shown.

    Raises
    ------
    InferenceError
        This appliance has no rule for what the model outlines.
    """
    shrink = min(1.0, _FRAME_SIDE_PX / max(rows, columns))
    small_rows, small_columns = max(1, round(rows * shrink)), max(1, round(columns * shrink))
    drawn = outline(places, small_rows, small_columns, code, code)
    doubt = _rules_of(code)[0](drawn)
    if doubt is not None:
        return doubt
    small = frame_around(drawn, margin)
    return Frame(
        left=small.left * columns // small_columns,
        top=small.top * rows // small_rows,
        right=-(-small.right * columns // small_columns),  # rounded up
        bottom=-(-small.bottom * rows // small_rows),
    )


def _filled(lungs: Outline) -> float:
    return float(np.count_nonzero(lungs.mask)) / lungs.mask.size


_Rules = tuple["Callable[[Outline], Reason | None]", "Callable[[Outline], Measurement]"]
_RULES: Mapping[str, _Rules] = {"lungs": (doubt_about_lungs, lung_field_fraction)}


def measure(drawn: Outline) -> Measurement | Reason:
    """Measure an outline, or say why it makes no sense.

    Raises
    ------
    InferenceError
        This appliance has no rule for what the model outlines.
    """
    doubt_about, measured = _rules_of(drawn.code)
    doubt = doubt_about(drawn)
    return measured(drawn) if doubt is None else doubt


def _rules_of(code: str) -> _Rules:
    if code not in _RULES:
        raise InferenceError(
            f"This version of the appliance cannot measure {code!r}: update the appliance, "
            "or remove the model."
        )
    return _RULES[code]
