"""A drawn chest film and the outline of its lungs: each measurement has an answer on it."""

from __future__ import annotations

import cv2
import numpy as np

from appliance.quality import Film, film_of

SIDE = 300


def lungs(side: int = SIDE, *, top: float = 0.15, bottom: float = 0.75) -> np.ndarray:
    """Return a mask, uint8 0 or 255: two ellipses, the right-hand one narrower (the heart)."""
    mask = np.zeros((side, side), np.uint8)
    middle, half = round(side * (top + bottom) / 2), round(side * (bottom - top) / 2)
    for x, width in ((0.31, 0.14), (0.72, 0.11)):
        centre, axes = (round(side * x), middle), (round(side * width), half)
        cv2.ellipse(mask, centre, axes, 0, 0, 360, 255, -1)
    return mask


def chest(
    side: int = SIDE, *, top: float = 0.15, bottom: float = 0.75, seed: int = 0
) -> np.ndarray:
    """Return a film, uint8: a bright body with dark lungs, ribs and fine lines in them."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    film = 150 + 40 * y + 25 * np.cos(2 * np.pi * (x - 0.5))
    inside = cv2.GaussianBlur(lungs(side), (0, 0), side / 150) / 255.0
    film -= 95 * inside
    film += 10 * np.sin(2 * np.pi * y * 9) * inside
    texture = cv2.GaussianBlur(rng.normal(0, 1, (side, side)), (0, 0), 1.2)
    film += 8 * texture / texture.std()
    return np.clip(film, 0, 255).astype(np.uint8)


def film(pixels: np.ndarray | None = None, mask: np.ndarray | None = None) -> Film:
    """Return the drawn film as it is measured."""
    return film_of(chest() if pixels is None else pixels, lungs() if mask is None else mask)
