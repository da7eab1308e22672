"""What the measurements look at: a small grey copy, its field, and where the lungs lie in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from appliance.domain import Frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE_PX = 512  # longer side of the copy: the cost of the check does not grow with the film
# A line of pixels is empty when its grey values span less than this share of the picture's.
_FLAT = 0.06
_FLAT_LEVELS = 4.0
_MOST_EMPTY = 0.8  # of a side: more than that is no border but an empty picture


@dataclass(frozen=True, slots=True)
class Film:
    """A film as it is measured, upright and with bone bright.

    Parameters
    ----------
    grey
        uint8 (rows, columns), at most 512 pixels a side.
    field
        The part inside the empty borders, in pixels of `grey`.
    lungs
        bool (rows, columns), where the lungs lie; None where they could not be outlined.
    """

    grey: NDArray[np.uint8]
    field: Frame
    lungs: NDArray[np.bool_] | None


def film_of(grey: NDArray[np.uint8], lungs: NDArray[np.uint8] | None) -> Film:
    """Make what is measured.

    Parameters
    ----------
    grey
        uint8 (rows, columns), of any size, upright, bone bright.
    lungs
        uint8 mask (255 inside) of the size that `small_size` gives for `grey`, or None.
    """
    small = shrink(grey)
    mask = None if lungs is None or not lungs.any() else lungs > 0
    return Film(grey=small, field=field_of(small), lungs=mask)


def to_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return `pixels` as (rows, columns) uint8; RGB becomes luma (ITU-R BT.601)."""
    if pixels.ndim == 2:
        return pixels
    grey: NDArray[np.uint8] = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    return grey


def small_size(rows: int, columns: int) -> tuple[int, int]:
    """Return rows and columns of the copy that is measured."""
    scale = min(1.0, SIDE_PX / max(rows, columns))
    return max(1, round(rows * scale)), max(1, round(columns * scale))


def shrink(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a copy of at most 512 pixels, uint8, grey or RGB as given."""
    rows, columns = small_size(*pixels.shape[:2])
    if (rows, columns) == pixels.shape[:2]:
        return pixels
    small = cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


def field_of(grey: NDArray[np.uint8]) -> Frame:
    """Return what is left when the empty lines at the four edges are taken away.

    A line is empty when nearly all of its pixels have nearly the same grey: a letter that fills
    less than a twentieth of it does not count. A picture that is empty almost everywhere is its own
    field.
    """
    rows, columns = grey.shape
    low, high = np.percentile(grey, (5, 95))
    flat = max(_FLAT_LEVELS, _FLAT * float(high - low))
    top = bottom = left = right = 0
    for _ in range(2):  # the second look is not disturbed by the borders of the other two sides
        across = grey[:, left : columns - right]
        top, bottom = _empty(across, flat), _empty(across[::-1], flat)
        if top + bottom >= _MOST_EMPTY * rows:
            return Frame(0, 0, columns, rows)
        down = grey[top : rows - bottom].T
        left, right = _empty(down, flat), _empty(down[::-1], flat)
        if left + right >= _MOST_EMPTY * columns:
            return Frame(0, 0, columns, rows)
    return Frame(left, top, columns - right, rows - bottom)


def _empty(lines: NDArray[np.uint8], flat: float) -> int:
    """Count the empty lines at the start."""
    low, high = np.percentile(lines, (5, 95), axis=1)
    full = np.flatnonzero(high - low > flat)
    return int(full[0]) if full.size else len(lines)


def inside(film: Film) -> NDArray[np.uint8]:
    """Return the grey values of the field, a view."""
    field = film.field
    return film.grey[field.top : field.bottom, field.left : field.right]


def hull(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the convex hull of a mask that is not empty: lungs, heart and spine between them."""
    contours, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    filled = np.zeros(mask.shape, np.uint8)
    cv2.fillPoly(filled, [cv2.convexHull(np.vstack(contours))], (1,))
    return filled > 0


def box(mask: NDArray[np.bool_]) -> Frame:
    """Return the rectangle around a mask that is not empty."""
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return Frame(left, top, left + width, top + height)
