"""Opacities drawn by code and planted into the lungs of clear films, for training.

The same film with and without an opacity differs in nothing else: neither the hospital, nor the
machine, nor the child's age can tell the two apart, and where the evidence must lie is known.
(Pasting what is abnormal into what is normal: Li and others, CutPaste, CVPR 2021.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

_RADII = (0.05, 0.22)  # of a patch, as shares of the side
_STRENGTH = (0.3, 0.95)  # how far towards the film's bright tissue a patch goes at its middle
_BRIGHT = 95  # percentile of the film that counts as bright tissue
_SEEN = 0.12  # share of the way to bright tissue from which on a place counts as opaque


def opacity(lungs: NDArray[np.uint8], rng: Generator) -> NDArray[np.float32] | None:
    """Draw one to three soft patches of uneven density whose middles lie in the lungs.

    Parameters
    ----------
    lungs
        uint8 (side, side), 255 is lung.

    Returns
    -------
    NDArray[np.float32] or None
        (side, side), 0 to 1: how far each place goes towards bright tissue; None without lungs.
    """
    rows, columns = np.nonzero(lungs > 127)
    if rows.size == 0:
        return None
    side = lungs.shape[0]
    clear = np.ones((side, side), dtype=np.float32)
    for _ in range(int(rng.choice((1, 1, 1, 2, 3)))):
        place = int(rng.integers(rows.size))
        clear *= 1 - _patch(side, (rows[place], columns[place]), rng)
    dense = 1 - clear
    if rng.random() < 0.7:  # most opacities end where the lung ends
        soft = cv2.GaussianBlur(lungs, (0, 0), 0.02 * side).astype(np.float32) / 255
        dense = dense * soft
    return np.asarray(dense, dtype=np.float32)


def _patch(side: int, middle: tuple[int, int], rng: Generator) -> NDArray[np.float32]:
    """One turned ellipse with a soft edge and a texture."""
    down, across = np.ogrid[-middle[0] : side - middle[0], -middle[1] : side - middle[1]]
    angle = rng.uniform(0, np.pi)
    along = (across * np.cos(angle) + down * np.sin(angle)) / (rng.uniform(*_RADII) * side)
    beside = (down * np.cos(angle) - across * np.sin(angle)) / (rng.uniform(*_RADII) * side)
    edge = rng.choice((2.0, 3.0, 4.0, 6.0))
    shape = np.exp(-(np.hypot(along, beside) ** edge))
    cells = int(rng.integers(4, 24))
    coarse = rng.normal(0, 1, (cells, cells)).astype(np.float32)
    grain = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    texture = np.clip(1 + rng.uniform(0, 0.45) * grain, 0, 1.6)
    return np.clip(rng.uniform(*_STRENGTH) * shape * texture, 0, 1).astype(np.float32)


def plant(film: NDArray[np.uint8], dense: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Bring a film, uint8 (side, side), as far towards its bright tissue as `dense` says."""
    grey = film.astype(np.float32)
    bright = float(np.percentile(film, _BRIGHT))
    planted = grey + dense * np.maximum(bright - grey, 0)
    return np.rint(planted).astype(np.uint8)


def elsewhere(dense: NDArray[np.float32], cells: int) -> NDArray[np.float32]:
    """Mark the cells of a map that hold none of the opacity: float32 (cells, cells), 0 or 1."""
    opaque = (dense > _SEEN).astype(np.float32)
    share = cv2.resize(opaque, (cells, cells), interpolation=cv2.INTER_AREA)
    return np.asarray(share < 0.02, dtype=np.float32)
