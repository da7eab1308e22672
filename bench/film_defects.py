"""Defects made by code on good films, each at one stated strength; all take and give uint8 films.

Where a strength is told by the lungs, `lungs` is the outline of the untouched film (bool, its
size): what ``cxr-lungs`` draws on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from appliance.quality.picture import box, hull

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]
    Mask = NDArray[np.bool_]
    Make = Callable[[Picture, Mask, np.random.Generator], Picture]

CUT = 0.10  # of the height of each lung, at least
BLUR = 0.015  # sigma of the Gaussian over the lungs' width
CLIPPED = 0.50  # of the lungs' pixels (black), of those between the lungs (white)
FLAT_LEVELS = 40.0  # grey levels from the 5th to the 95th percentile
BORDER = (0.10, 0.30)  # of the film's side, on each of the four sides, drawn evenly
SMALL_PX = 90  # shorter side
# The least shorter side asked for in the measurement (the gate's); one set has 128 pixels.
MIN_SIDE_PX = 100


def inverted(film: Picture, lungs: Mask, rng: np.random.Generator) -> Picture:  # noqa: ARG001
    return 255 - film


def turned(turns: int) -> Make:
    """Turn by quarter turns against the clock."""
    return lambda film, _lungs, _rng: np.ascontiguousarray(np.rot90(film, turns))


def mirrored(film: Picture, lungs: Mask, rng: np.random.Generator) -> Picture:  # noqa: ARG001
    return np.ascontiguousarray(film[:, ::-1])


def apices_cut(film: Picture, lungs: Mask, rng: np.random.Generator) -> Picture:  # noqa: ARG001
    """Cut so low that each lung lacks a tenth of its height at least."""
    first = max(lung.top + CUT * lung.height for lung in map(box, two_lungs(lungs)))
    return film[round(first) :]


def bases_cut(film: Picture, lungs: Mask, rng: np.random.Generator) -> Picture:  # noqa: ARG001
    last = min(lung.bottom - CUT * lung.height for lung in map(box, two_lungs(lungs)))
    return film[: round(last)]


def two_lungs(lungs: Mask) -> list[Mask]:
    """Part an outline at the middle of its rectangle; a side that is empty is left out."""
    around = box(lungs)
    middle = (around.left + around.right) // 2
    halves = [lungs.copy(), lungs.copy()]
    halves[0][:, middle:] = False
    halves[1][:, :middle] = False
    return [half for half in halves if half.any()]


def blurred(film: Picture, lungs: Mask, rng: np.random.Generator) -> Picture:  # noqa: ARG001
    return blur(film, lungs, BLUR)


def blur(film: Picture, lungs: Mask, strength: float) -> Picture:
    """Blur by a Gaussian whose sigma is this share of the lungs' width."""
    sigma = strength * box(lungs).width
    return np.asarray(cv2.GaussianBlur(film, (0, 0), sigma), dtype=np.uint8)


def over_exposed(film: Picture, lungs: Mask, rng: np.random.Generator) -> Picture:  # noqa: ARG001
    """Let half of the lungs' pixels become black; the rest is stretched to the full range."""
    black = float(np.quantile(film[lungs], CLIPPED))
    return _to_uint8((film.astype(np.float32) - black) * (255.0 / max(255.0 - black, 1.0)))


def under_exposed(film: Picture, lungs: Mask, rng: np.random.Generator) -> Picture:  # noqa: ARG001
    """Let half of what lies between the lungs become white; the rest is stretched likewise."""
    between = hull(lungs) & ~lungs
    white = float(np.quantile(film[between], 1 - CLIPPED))
    return _to_uint8(film.astype(np.float32) * (255.0 / max(white, 1.0)))


def low_contrast(film: Picture, lungs: Mask, rng: np.random.Generator) -> Picture:  # noqa: ARG001
    low, high = np.percentile(film, (5, 95))
    scale = min(1.0, FLAT_LEVELS / max(float(high - low), 1.0))
    middle = float(low + high) / 2
    return _to_uint8(128 + (film.astype(np.float32) - middle) * scale)


def wide_borders(film: Picture, lungs: Mask, rng: np.random.Generator) -> Picture:  # noqa: ARG001
    """Put black, nearly black or white borders around it, each side's width drawn by itself."""
    rows, columns = film.shape
    top, bottom, left, right = rng.uniform(*BORDER, 4) * (rows, rows, columns, columns)
    grey = int(rng.choice((0, 12, 255)))
    return np.asarray(
        cv2.copyMakeBorder(
            film,
            *(round(float(width)) for width in (top, bottom, left, right)),
            cv2.BORDER_CONSTANT,
            value=(grey,),
        ),
        dtype=np.uint8,
    )


def too_few_pixels(film: Picture, lungs: Mask, rng: np.random.Generator) -> Picture:  # noqa: ARG001
    scale = SMALL_PX / min(film.shape)
    size = (max(1, round(film.shape[1] * scale)), max(1, round(film.shape[0] * scale)))
    return np.asarray(cv2.resize(film, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _to_uint8(film: NDArray[np.float32]) -> Picture:
    return np.clip(np.rint(film), 0, 255).astype(np.uint8)


# Name of the defect: the code by which it is found, and how it is made.
DEFECTS: Mapping[str, tuple[str, Make]] = {
    "inverted": ("inverted", inverted),
    "turned 90° to the left": ("on_its_side", turned(1)),
    "upside down": ("upside_down", turned(2)),
    "turned 90° to the right": ("on_its_side", turned(3)),
    "lung tops cut": ("apices_cut", apices_cut),
    "lung bases cut": ("bases_cut", bases_cut),
    "over-exposed": ("over_exposed", over_exposed),
    "under-exposed": ("under_exposed", under_exposed),
    "blurred": ("blurred", blurred),
    "low contrast": ("low_contrast", low_contrast),
    "wide borders": ("wide_borders", wide_borders),
    "too few pixels": ("too_few_pixels", too_few_pixels),
    "mirrored": ("mirrored", mirrored),
}
