"""What a clinic does to a film, drawn at random: position, exposure, blur, noise, borders.

The strength is deliberately beyond what the training sites show: children are easy, and an adult
film from a hospital never seen is the real task. Everything ends in 8 bits, because that is what
the device feeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from appliance.domain import Frame
from appliance.preprocess import stretch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

    from appliance.manifest import Exposure


@dataclass(frozen=True, slots=True)
class Augmenter:
    """Draws one training view of an image.

    Parameters
    ----------
    side_px
        Side of the square that comes out.
    exposure
        The model's exposure rule, applied last as on the device; None for none.
    erase
        Chance that a rectangle is blotted out.
    """

    side_px: int
    exposure: Exposure | None
    erase: float = 0.25

    def __call__(self, image: NDArray[np.uint8], rng: Generator) -> NDArray[np.uint8]:
        """Map uint8 (h, w) to uint8 (side, side)."""
        return self.render(image, self.placement(whole(image.shape), rng), rng)

    def render(
        self,
        image: NDArray[np.uint8],
        placement: NDArray[np.float64],
        rng: Generator,
        change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None,
    ) -> NDArray[np.uint8]:
        """Draw the view that `placement` frames; `change` is done before the exposure is."""
        border = cv2.BORDER_CONSTANT if rng.random() < 0.8 else cv2.BORDER_REFLECT_101
        grey = self.warp(image, placement, border)
        if change is not None:
            grey = change(grey)
        view = _bend(grey.astype(np.float32), rng)
        if rng.random() < 0.3:
            view = _shade(view, rng)
        if rng.random() < 0.3:
            view = _soften_or_sharpen(view, rng)
        if rng.random() < 0.4:
            view = view + rng.normal(0, rng.uniform(1, 9), view.shape).astype(np.float32)
        if rng.random() < 0.15:
            _collimate(view, rng)
        grey = np.clip(np.rint(view), 0, 255).astype(np.uint8)
        if rng.random() < 0.15:
            grey = _equalize_locally(grey, rng)
        if rng.random() < 0.2:
            grey = _compress(grey, rng)
        if self.exposure is not None:
            jitter = rng.uniform(0, 1.5)
            low, high = self.exposure.low_percentile, self.exposure.high_percentile
            grey = stretch(grey, max(0.0, low + jitter - 0.75), min(100.0, high - jitter + 0.75))
        if rng.random() < self.erase:
            _erase(grey, rng)
        return grey

    def placement(self, frame: Frame, rng: Generator) -> NDArray[np.float64]:
        """Crop, stretch, turn and mirror around a frame: one affine map (2, 3) to the square."""
        columns, rows = frame.right - frame.left, frame.bottom - frame.top
        scale = rng.uniform(0.78, 1.12)
        aspect = np.exp(rng.uniform(-0.18, 0.18))
        angle = np.deg2rad(rng.uniform(-10, 10))
        x = self.side_px / (columns * scale * aspect) * rng.choice((-1.0, 1.0))
        y = self.side_px / (rows * scale / aspect)
        room = abs(1 - scale) / 2 + 0.05
        centre = np.array([columns, rows]) * (0.5 + rng.uniform(-room, room, 2))
        centre += (frame.left, frame.top)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = turn @ np.diag([x, y])
        shift = np.full(2, self.side_px / 2) - matrix @ centre
        return np.column_stack([matrix, shift])

    def warp(
        self,
        image: NDArray[np.uint8],
        placement: NDArray[np.float64],
        border: int = cv2.BORDER_CONSTANT,
    ) -> NDArray[np.uint8]:
        """Bring an image, or its mask, to the square that `placement` frames."""
        square = (self.side_px, self.side_px)
        warped = cv2.warpAffine(
            image, placement, square, flags=cv2.INTER_LINEAR, borderMode=border, borderValue=0
        )
        return np.asarray(warped, dtype=np.uint8)


def whole(shape: tuple[int, ...]) -> Frame:
    """Frame all of an image of this shape (rows, columns)."""
    return Frame(left=0, top=0, right=shape[1], bottom=shape[0])


def take_greys(grey: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give `grey` the grey-value distribution of `other`: another film's machine and exposure."""
    here, there = (
        np.cumsum(np.bincount(x.reshape(-1), minlength=256)) / x.size for x in (grey, other)
    )
    table = np.rint(np.interp(here, there, np.arange(256)))
    taken: NDArray[np.uint8] = table.astype(np.uint8)[grey]
    return taken


def _bend(view: NDArray[np.float32], rng: Generator) -> NDArray[np.float32]:
    """Another film curve: gamma, a random monotone curve, contrast and brightness."""
    levels = np.linspace(0, 1, 256)
    curve = levels ** np.exp(rng.normal(0, 0.4))
    if rng.random() < 0.5:
        steps = np.concatenate([[0], np.cumsum(rng.uniform(0.25, 1.75, 5))])
        curve = np.interp(curve, np.linspace(0, 1, 6), steps / steps[-1])
    curve = (curve - 0.5) * rng.uniform(0.6, 1.35) + 0.5 + rng.uniform(-0.15, 0.15)
    return np.interp(view, np.arange(256), curve * 255).astype(np.float32)


def _shade(view: NDArray[np.float32], rng: Generator) -> NDArray[np.float32]:
    """Anode heel, scatter, a tilted grid: a slow change of brightness over the frame."""
    coarse = rng.normal(0, 0.12, (3, 3)).astype(np.float32)
    field = cv2.resize(coarse, view.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(view * (1 + field), dtype=np.float32)


def _soften_or_sharpen(view: NDArray[np.float32], rng: Generator) -> NDArray[np.float32]:
    soft = cv2.GaussianBlur(view, (0, 0), rng.uniform(0.5, 1.6))
    if rng.random() < 0.4:
        return np.asarray(view + (view - soft) * rng.uniform(0.3, 1.5), dtype=np.float32)
    return np.asarray(soft, dtype=np.float32)


def _collimate(view: NDArray[np.float32], rng: Generator) -> None:
    """Black borders where the beam was narrowed, in place."""
    side = view.shape[0]
    top, bottom, left, right = (rng.uniform(0, 0.08, 4) * side * (rng.random(4) < 0.6)).astype(int)
    view[:top] = 0
    view[side - bottom :] = 0
    view[:, :left] = 0
    view[:, side - right :] = 0


def _equalize_locally(grey: NDArray[np.uint8], rng: Generator) -> NDArray[np.uint8]:
    """Enhance edges as many digital stations do."""
    equalizer = cv2.createCLAHE(clipLimit=rng.uniform(1, 3), tileGridSize=(4, 4))
    return np.asarray(equalizer.apply(grey), dtype=np.uint8)


def _compress(grey: NDArray[np.uint8], rng: Generator) -> NDArray[np.uint8]:
    _, coded = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))])
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)


def _erase(grey: NDArray[np.uint8], rng: Generator) -> None:
    """Blot out a rectangle (5 to 25 % of each side) with one grey, in place."""
    side = grey.shape[0]
    height, width = (rng.uniform(0.08, 0.25, 2) * side).astype(int)
    top, left = rng.integers(0, side - height), rng.integers(0, side - width)
    grey[top : top + height, left : left + width] = rng.integers(0, 256)
