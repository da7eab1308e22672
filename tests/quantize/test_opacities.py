"""Opacities drawn by code: inside the lungs, brighter, and where the map is told they are."""

from __future__ import annotations

import numpy as np

from quantize.opacities import elsewhere, opacity, plant

SIDE = 96


def lungs() -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[20:70, 10:40] = 255
    return mask


def test_no_opacity_without_lungs() -> None:
    assert opacity(np.zeros((SIDE, SIDE), np.uint8), np.random.default_rng(0)) is None


def test_most_of_an_opacity_lies_near_the_lungs_and_no_two_are_the_same() -> None:
    rng = np.random.default_rng(1)
    drawn = [opacity(lungs(), rng) for _ in range(40)]
    assert all(d is not None and d.min() >= 0 and d.max() <= 1 for d in drawn)
    dense = np.mean([d for d in drawn if d is not None], axis=0)
    assert dense[lungs() > 0].mean() > 5 * dense[:, 70:].mean()
    assert len({d.tobytes() for d in drawn if d is not None}) == 40


def test_planting_brightens_towards_tissue_and_never_darkens() -> None:
    rng = np.random.default_rng(2)
    film = rng.integers(20, 90, (SIDE, SIDE)).astype(np.uint8)
    film[80:] = 200
    dense = opacity(lungs(), rng)
    assert dense is not None
    planted = plant(film, dense)
    assert planted.dtype == np.uint8
    assert (planted.astype(int) - film >= 0).all()
    middle = dense > 0.5 * dense.max()
    assert planted[middle].mean() > film[middle].mean() + 20
    assert planted.max() <= 200


def test_cells_that_touch_the_opacity_are_free() -> None:
    dense = np.zeros((SIDE, SIDE), np.float32)
    dense[40:56, 40:56] = 0.8
    away = elsewhere(dense, 3)
    assert away.tolist() == [[1, 1, 1], [1, 0, 1], [1, 1, 1]]
