"""From displayed pixels to what the network takes; training and device share this function.

Every input takes the same path, squeezed to a square: one of the training sets exists only in
squeezed form, so an aspect ratio that some inputs kept and others lost would tell the network the
hospital instead of the disease. A model whose manifest asks for a frame is shown that rectangle
alone, and the path is the same from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.domain import Frame
    from appliance.manifest import InputSpec

__all__ = ["prepare", "prepare_coarse", "squeeze", "stretch"]


def prepare(
    pixels: NDArray[np.uint8], spec: InputSpec, frame: Frame | None = None
) -> NDArray[np.float32]:
    """Make one network input from one displayed image.

    What the network is shown is resized to a square, rounded to 8 bits, its exposure stretched
    where the model was trained so, then normalized: the 8-bit step in the middle is what training
    saw, and leaving it out moves more decisions than the quantization of the whole network does.

    Parameters
    ----------
    pixels
        uint8, (rows, columns) grey or (rows, columns, 3) RGB, bone bright (MONOCHROME2's sense).
        RGB is reduced to its luma; whether a coloured image may be read at all is the caller's
        decision.
    spec
        The model's input as its manifest says it; its rule of the frame is the caller's to apply.
    frame
        The part of `pixels` to show, clipped to the image; None shows the whole image.

    Returns
    -------
    NDArray[np.float32]
        Shape (1, 1, side, side), contiguous, about -3 to 3.

    Raises
    ------
    ValueError
        If `pixels` is not uint8, has neither two nor three axes (with three colours), or is empty
        or has no pixel inside `frame`.
    """
    shown = pixels if frame is None else _cut(pixels, frame)
    grey = squeeze(_grey(shown), spec.side_px)
    if spec.exposure is not None:
        grey = stretch(grey, spec.exposure.low_percentile, spec.exposure.high_percentile)
    table = (np.arange(256, dtype=np.float32) / np.float32(255) - spec.mean) / spec.std
    batch: NDArray[np.float32] = table.astype(np.float32)[grey][np.newaxis, np.newaxis]
    return batch


def prepare_coarse(pixels: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    """Make the input of a model that is only asked where something is, in a fraction of the time.

    A large image is first averaged over blocks of whole pixels, to two to three times the network's
    side on its shorter axis; what does not fill a block at the right and at the bottom, less than
    half a pixel of the network's, is left out. Of a smaller image it is what `prepare` makes.

    Parameters
    ----------
    pixels, spec
        See `prepare`.

    Returns
    -------
    NDArray[np.float32]
        Shape (1, 1, side, side).

    Raises
    ------
    ValueError
        See `prepare`.
    """
    grey = _grey(pixels)
    block = min(grey.shape) // (2 * spec.side_px)
    if block > 1:
        rows, columns = grey.shape[0] // block, grey.shape[1] // block
        blocks = grey[: rows * block, : columns * block]
        grey = _uint8(cv2.resize(blocks, (columns, rows), interpolation=cv2.INTER_AREA))
    return prepare(grey, spec)


def squeeze(grey: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Resize a whole frame to (side_px, side_px), uint8.

    Each axis shrinks by area average (no aliasing) and grows linearly.
    """
    rows, columns = grey.shape
    # OpenCV's INTER_AREA only averages when both axes shrink, so each axis takes its own pass
    # where they differ.
    if rows >= side_px and columns >= side_px:
        return _uint8(cv2.resize(grey, (side_px, side_px), interpolation=cv2.INTER_AREA))
    if rows > side_px:
        grey = _uint8(cv2.resize(grey, (columns, side_px), interpolation=cv2.INTER_AREA))
    if columns > side_px:
        grey = _uint8(cv2.resize(grey, (side_px, grey.shape[0]), interpolation=cv2.INTER_AREA))
    return _uint8(cv2.resize(grey, (side_px, side_px), interpolation=cv2.INTER_LINEAR))


def stretch(
    grey: NDArray[np.uint8], low_percentile: float, high_percentile: float
) -> NDArray[np.uint8]:
    """Map the grey values between two percentiles onto 0 to 255, clipping beyond them.

    Parameters
    ----------
    grey
        uint8, any shape, not empty.
    low_percentile, high_percentile
        0 to 100, taken from the image's own histogram.

    Returns
    -------
    NDArray[np.uint8]
        The same shape; `grey` itself where it holds a single value between the percentiles.
    """
    share = np.cumsum(np.bincount(grey.reshape(-1), minlength=256)) / grey.size
    low = int(np.searchsorted(share, low_percentile / 100))
    high = int(np.searchsorted(share, high_percentile / 100))
    if high <= low:
        return grey
    table = np.rint((np.arange(256) - low) * (255.0 / (high - low)))
    stretched: NDArray[np.uint8] = np.clip(table, 0, 255).astype(np.uint8)[grey]
    return stretched


def _cut(pixels: NDArray[np.uint8], frame: Frame) -> NDArray[np.uint8]:
    """Return the part inside the frame, a view; a frame may reach beyond the image."""
    top, left = max(frame.top, 0), max(frame.left, 0)
    return pixels[top : max(frame.bottom, top), left : max(frame.right, left)]


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if pixels.dtype != np.uint8 or pixels.size == 0:
        raise ValueError(f"expected uint8 pixels, got {pixels.dtype} of shape {pixels.shape}")
    if pixels.ndim == 2:
        return np.ascontiguousarray(pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        return _uint8(cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY))
    raise ValueError(f"expected a grey or an RGB frame, got shape {pixels.shape}")


def _uint8(pixels: object) -> NDArray[np.uint8]:
    return np.asarray(pixels, dtype=np.uint8)
