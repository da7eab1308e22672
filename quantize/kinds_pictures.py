"""Pictures that are no frontal chest X-ray, drawn by code or cut from films.

What a clinic may send by mistake cannot be collected beforehand. These stand in for it: a page, a
plot, a texture, a slice through a body, a limb, a piece of a film, a film whose parts are out of
place. The set that the gate is measured on (photographs, documents, real slices, real limbs) has
none of them and none of it is trained on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

CHEST, OTHER = "frontal_chest", "other"
_WORDS = ("Patient", "Ward 3", "CHEST PA", "No. 1260", "Date", "mg/dl", "ROUTINE", "Dr.", "L", "R")


def turned(film: Picture, turns: int, *, inverted: bool) -> Picture:
    """Turn a film by quarter turns to the left and perhaps invert it."""
    view = 255 - film if inverted else film
    return np.ascontiguousarray(np.rot90(view, turns))


def drawn(side_px: int, rng: Generator) -> Picture:
    """Draw one picture of a kind chosen at random, uint8 (side, side)."""
    make = _KINDS[int(rng.integers(len(_KINDS)))]
    picture = make(side_px, rng)
    if rng.random() < 0.25:
        picture = 255 - picture
    return np.ascontiguousarray(np.rot90(picture, int(rng.integers(4))))


def piece(film: Picture, rng: Generator) -> Picture:
    """Cut a piece of 12 to 32 % of each side out of a film: bone, belly or lung, but no chest."""
    rows, columns = film.shape
    height, width = (int(n * rng.uniform(0.12, 0.32)) for n in (rows, columns))
    top, left = int(rng.integers(rows - height)), int(rng.integers(columns - width))
    return np.ascontiguousarray(film[top : top + height, left : left + width])


def out_of_place(film: Picture, rng: Generator) -> Picture:
    """Cut a film into 2x2 to 4x4 tiles and lay them out in another order."""
    parts = int(rng.integers(2, 5))
    rows, columns = (n - n % parts for n in film.shape)
    tiles = [
        tile
        for band in np.split(film[:rows, :columns], parts)
        for tile in np.split(band, parts, axis=1)
    ]
    order = rng.permutation(len(tiles))
    while parts == 2 and sorted(order[:2].tolist()) == [0, 1]:  # the upper half still on top
        order = rng.permutation(len(tiles))
    laid = [tiles[i] for i in order]
    lines = [np.hstack(laid[i : i + parts]) for i in range(0, len(laid), parts)]
    return np.ascontiguousarray(np.vstack(lines))


def _noise(side: int, rng: Generator) -> Picture:
    """Clouds to grain: noise whose spectrum falls with a random power, perhaps stretched."""
    frequency = np.hypot(
        *np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side) * rng.uniform(0.3, 3))
    )
    spectrum = np.fft.fft2(rng.normal(size=(side, side))) / np.maximum(frequency, 1 / side) ** (
        rng.uniform(0, 2.5)
    )
    return _scaled(np.fft.ifft2(spectrum).real)


def _waves(side: int, rng: Generator) -> Picture:
    """Bricks, grids, rings, stripes."""
    y, x = np.mgrid[0:side, 0:side] / side
    total = np.zeros((side, side))
    for _ in range(int(rng.integers(1, 4))):
        angle, pace = rng.uniform(0, np.pi), rng.uniform(2, 30)
        along = np.cos(angle) * x + np.sin(angle) * y
        if rng.random() < 0.3:
            along = np.hypot(x - rng.random(), y - rng.random())
        wave = np.sin(2 * np.pi * pace * along + rng.uniform(0, 6))
        total += np.sign(wave) if rng.random() < 0.4 else wave
    return _scaled(total + rng.normal(0, 0.3, total.shape))


def _page(side: int, rng: Generator) -> Picture:
    """Lines of text, printed or as bars, with a table's rules or a letterhead."""
    page = np.full((side, side), int(rng.integers(200, 256)), np.uint8)
    step, y = int(rng.integers(6, 18)), int(rng.integers(6, 20))
    while y < side - 4:
        x = int(rng.integers(4, 24))
        while x < side * rng.uniform(0.7, 1.0):
            ink = int(rng.integers(0, 90))
            if rng.random() < 0.6:
                word = _WORDS[int(rng.integers(len(_WORDS)))]
                cv2.putText(page, word, (x, y), int(rng.integers(0, 8)), step / 30, ink, 1)
                x += int(len(word) * step * 0.7)
            else:
                width = int(rng.integers(4, 24))
                cv2.rectangle(page, (x, y), (x + width, y + max(1, step // 4)), ink, -1)
                x += width + 4
        if rng.random() < 0.2:
            cv2.line(page, (0, y + 3), (side, y + 3), 60, 1)
        y += step
    return _lit(page, rng)


def _plot(side: int, rng: Generator) -> Picture:
    """Curves and bars with axes; an ECG strip."""
    plot = np.full((side, side), 255, np.uint8)
    cv2.line(plot, (12, 6), (12, side - 12), 0, 1)
    cv2.line(plot, (12, side - 12), (side - 4, side - 12), 0, 1)
    for _ in range(int(rng.integers(1, 5))):
        walk = np.cumsum(rng.normal(0, 1, side - 16))
        if rng.random() < 0.4:
            walk = np.sin(np.arange(side - 16) / rng.uniform(2, 12)) ** int(rng.integers(1, 8))
        level = side * (0.5 - 0.35 * walk / max(float(np.abs(walk).max()), 1e-6))
        points = np.column_stack([np.arange(side - 16) + 12, level]).astype(np.int32)
        cv2.polylines(plot, [points], isClosed=False, color=int(rng.integers(0, 160)))
    return plot


def _shapes(side: int, rng: Generator) -> Picture:
    """Draw a scene of blobs, boxes and lines with light and shadow, out of focus or not."""
    scene = _scaled(
        cv2.resize(rng.normal(size=(3, 3)), (side, side), interpolation=cv2.INTER_CUBIC)
    )
    for _ in range(int(rng.integers(2, 25))):
        centre = tuple(int(v) for v in rng.integers(0, side, 2))
        axes = tuple(int(v) for v in rng.integers(2, max(3, side // 3), 2))
        grey = int(rng.integers(0, 256))
        if rng.random() < 0.5:
            cv2.ellipse(scene, centre, axes, float(rng.uniform(0, 180)), 0, 360, grey, -1)
        elif rng.random() < 0.5:
            corner = (centre[0] + axes[0], centre[1] + axes[1])
            cv2.rectangle(scene, centre, corner, grey, -1)
        else:
            end = tuple(int(v) for v in rng.integers(0, side, 2))
            cv2.line(scene, centre, end, grey, int(rng.integers(1, 6)))
    if rng.random() < 0.6:
        scene = cv2.GaussianBlur(scene, (0, 0), float(rng.uniform(0.5, 4)))
    return _grained(scene, rng)


def _slice(side: int, rng: Generator) -> Picture:
    """Draw a slice through a head or a trunk: a soft oval on black, a bright ring, organs."""
    film = np.zeros((side, side), np.float32)
    middle = np.array([side / 2, side / 2]) + rng.uniform(-0.06, 0.06, 2) * side
    wide = np.array([rng.uniform(0.28, 0.48), rng.uniform(0.26, 0.46)]) * side
    _oval(film, middle, wide, rng.uniform(60, 150), rng)
    if rng.random() < 0.6:
        _oval(film, middle, wide * 0.97, rng.uniform(160, 255), rng)
        _oval(film, middle, wide * rng.uniform(0.82, 0.92), rng.uniform(50, 140), rng)
    for _ in range(int(rng.integers(2, 14))):
        place = middle + rng.uniform(-0.6, 0.6, 2) * wide
        _oval(film, place, wide * rng.uniform(0.05, 0.4, 2), rng.uniform(0, 255), rng)
    if rng.random() < 0.5:  # the spine of a trunk
        place = middle + np.array([0, wide[1] * rng.uniform(0.4, 0.75)])
        _oval(film, place, wide * rng.uniform(0.08, 0.2), rng.uniform(180, 255), rng)
    soft = cv2.GaussianBlur(film, (0, 0), float(rng.uniform(0.4, 3)))
    return _grained(np.clip(soft, 0, 255).astype(np.uint8), rng)


def _limb(side: int, rng: Generator) -> Picture:
    """One to five long bones in soft tissue: forearm, leg, fingers, a joint."""
    film = np.full((side, side), rng.uniform(0, 40), np.float32)
    count = int(rng.choice((1, 1, 2, 2, 3, 5)))
    lean = rng.uniform(-0.3, 0.3)
    places = np.linspace(0.5 - 0.09 * count, 0.5 + 0.09 * count, count) if count > 1 else [0.5]
    flesh = rng.uniform(0.12, 0.45) if count < 3 else 0.08
    for grey, width in ((rng.uniform(60, 130), flesh), (rng.uniform(160, 250), flesh * 0.4)):
        for place in places:
            for part in range(2):
                top, bottom = ((-0.1, rng.uniform(0.4, 0.5)), (rng.uniform(0.5, 0.56), 1.1))[part]
                ends = [
                    (int(side * (place + lean * (at - 0.5))), int(side * at))
                    for at in (top, bottom)
                ]
                cv2.line(film, *ends, float(grey), max(2, int(side * width)), cv2.LINE_AA)
    soft = cv2.GaussianBlur(film, (0, 0), float(rng.uniform(0.6, 3)))
    return _grained(np.clip(soft, 0, 255).astype(np.uint8), rng)


def _flat(side: int, rng: Generator) -> Picture:
    """Draw an empty detector: one grey, a slow change of it, a collimated corner."""
    coarse = rng.normal(128, rng.uniform(0, 60), (2, 2)).astype(np.float32)
    frame = np.clip(cv2.resize(coarse, (side, side)), 0, 255).astype(np.uint8)
    return _grained(frame, rng)


_KINDS: tuple[Callable[[int, Generator], Picture], ...] = (
    _noise, _waves, _page, _plot, _shapes, _shapes, _slice, _slice, _slice, _limb, _limb, _limb,
    _flat,
)  # fmt: skip


def _oval(
    film: NDArray[np.float32],
    middle: NDArray[np.float64],
    axes: NDArray[np.float64],
    grey: float,
    rng: Generator,
) -> None:
    centre, size = (tuple(int(v) for v in pair) for pair in (middle, np.maximum(axes, 1)))
    cv2.ellipse(film, centre, size, float(rng.uniform(-15, 15)), 0, 360, float(grey), -1)


def _scaled(values: NDArray[np.float64]) -> Picture:
    low, high = np.percentile(values, (1, 99))
    return np.clip((values - low) * (255 / max(high - low, 1e-6)), 0, 255).astype(np.uint8)


def _lit(picture: Picture, rng: Generator) -> Picture:
    light = cv2.resize(
        rng.uniform(0.6, 1.1, (2, 2)), picture.shape[::-1], interpolation=cv2.INTER_LINEAR
    )
    return np.clip(picture * light, 0, 255).astype(np.uint8)


def _grained(picture: Picture, rng: Generator) -> Picture:
    grain = rng.normal(0, rng.uniform(0, 14), picture.shape)
    return np.clip(picture + grain, 0, 255).astype(np.uint8)
