"""Chest-like pictures drawn by code, for golden vectors: no patient's image enters a package."""

from __future__ import annotations

import cv2
import numpy as np

from appliance.preprocess import stretch

GOLDEN_COUNT = 8
GOLDEN_SEED = 20240601


def phantom(side_px: int, rng: np.random.Generator) -> np.ndarray:
    """Draw one phantom: bright body, two dark lungs, ribs, a heart, perhaps an opacity.

    Returns
    -------
    NDArray[np.uint8]
        (side_px, side_px), bone bright.
    """
    film = np.full((side_px, side_px), rng.uniform(10, 40), dtype=np.float32)
    unit = side_px / 100
    _ellipse(film, (50, 55), (rng.uniform(40, 46), 52), rng.uniform(130, 170), unit)
    for middle in (31 + rng.uniform(-2, 2), 69 + rng.uniform(-2, 2)):
        _ellipse(
            film,
            (middle, 48),
            (rng.uniform(13, 16), rng.uniform(25, 31)),
            rng.uniform(45, 80),
            unit,
        )
    _ellipse(film, (54, 62), (rng.uniform(11, 17), 14), rng.uniform(160, 190), unit)
    ribs = np.zeros_like(film)
    for height in np.arange(22, 78, rng.uniform(6.5, 8.5)):
        for middle in (31, 69):
            centre = (int(middle * unit), int((height + 8) * unit))
            axes = (int(15 * unit), int(8 * unit))
            cv2.ellipse(ribs, centre, axes, 0, 200, 340, 1.0, max(1, int(1.4 * unit)))
    film += ribs * rng.uniform(15, 35)
    if rng.random() < 0.6:
        spot = np.zeros_like(film)
        where = (rng.choice((29, 71)), rng.uniform(40, 66))
        _ellipse(spot, where, tuple(rng.uniform(4, 11, 2)), 1.0, unit)
        film += cv2.GaussianBlur(spot, (0, 0), 3 * unit) * rng.uniform(40, 90)
    film = cv2.GaussianBlur(film, (0, 0), 0.8 * unit) + rng.normal(0, 4, film.shape)
    return np.clip(np.rint(film), 0, 255).astype(np.uint8)


def phantoms(side_px: int, count: int, seed: int) -> np.ndarray:
    """Draw `count` phantoms, uint8 (count, side_px, side_px), exposure stretched to 0 to 255."""
    rng = np.random.default_rng(seed)
    return np.stack([stretch(phantom(side_px, rng), 1, 99) for _ in range(count)])


def golden_phantoms(side_px: int) -> np.ndarray:
    """Draw those that become golden vectors, uint8 (8, side_px, side_px)."""
    return phantoms(side_px, GOLDEN_COUNT, GOLDEN_SEED)


def _ellipse(
    film: np.ndarray,
    centre: tuple[float, float],
    axes: tuple[float, float],
    value: float,
    unit: float,
) -> None:
    cv2.ellipse(
        film,
        (int(centre[0] * unit), int(centre[1] * unit)),
        (int(axes[0] * unit), int(axes[1] * unit)),
        0,
        0,
        360,
        float(value),
        -1,
    )
