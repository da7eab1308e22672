"""Where the model looked, drawn for people: the film, the heat map over it, and both in one."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np

from appliance.domain import Frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from appliance.domain import Explanation, Outline

    Picture = NDArray[np.uint8]

# Below this share of the model's full evidence nothing is drawn; the colour comes in over the
# next tenth, so that the edge is soft.
EVIDENCE_FLOOR = 0.25
_FADE = 0.10
_LOWEST_OPACITY = 0.50
_HIGHEST_OPACITY = 0.56

# The ramp in CIE Lab by lightness, chroma and hue (degrees): lightness climbs in equal steps, so
# that it is perceptually even and reads the same in grey; the hue goes from violet over red to
# yellow, never through green, which most colour-blind people confuse with red.
_RAMP_LIGHTNESS = (30.0, 93.0)
_RAMP_CHROMA = (52.0, 66.0, 72.0, 74.0, 62.0)
_RAMP_HUE = (-52.0, -8.0, 36.0, 68.0, 98.0)
_PNG_FILTER_SUB = 16  # each byte as the difference to its left neighbour (W3C PNG 9.2)
_PNG_FILTER: int | None = getattr(cv2, "IMWRITE_PNG_FILTER", None)  # older OpenCV cannot choose it
_CONTOUR_LIGHT = (247, 250, 251)  # paper #FBFAF7, as BGR
_CONTOUR_DARK = (43, 33, 16)  # ink #10212B, as BGR
# Where the model was shown a part of the film: the heat fades inside its edge over this share of a
# cell, since nothing beyond was seen, and marks of this share of its shorter side stand in its
# corners, quieter than the heat.
_EDGE_FADE = 0.8
_CORNER = 0.05
_CORNER_OPACITY = 0.55


def film_png(pixels: Picture, max_side: int = 2048) -> bytes:
    """Return the film as a PNG, made smaller when a side is longer than `max_side` pixels.

    Parameters
    ----------
    pixels
        uint8, (rows, columns) grey or (rows, columns, 3) RGB; 0 is black.
    max_side
        Longest side of the PNG in pixels.

    Raises
    ------
    ValueError
        `pixels` has another shape or type.
    """
    _require_picture(pixels)
    film = _smaller(pixels, max_side)
    return _encode(film if film.ndim == 2 else _as_picture(cv2.cvtColor(film, cv2.COLOR_RGB2BGR)))


def heat_png(explanation: Explanation, rows: int, columns: int, max_side: int = 1024) -> bytes:
    """Return the heat map as an RGBA PNG that a page lays over a film of any size.

    Parameters
    ----------
    explanation
        The small grid of evidence, and the part of the film that it lies over.
    rows, columns
        The film's size in pixels, for the aspect.
    max_side
        Longest side of the PNG in pixels.

    Returns
    -------
    bytes
        A PNG, transparent where there is no evidence, with a line where the evidence is half of
        its maximum; fully transparent when the model saw none. The corners of a part that the model
        was shown are marked either way.
    """
    return _encode(_heat_picture(explanation, (rows, columns), fitted(rows, columns, max_side)))


def overlay_png(pixels: Picture, explanation: Explanation) -> bytes:
    """Return film and heat map blended into one RGB PNG, no side longer than 2048 pixels.

    Raises
    ------
    ValueError
        `pixels` has another shape or type than `film_png` takes.
    """
    _require_picture(pixels)
    film = _smaller(pixels, 2048)
    rows, columns = film.shape[:2]
    heat = _heat_picture(explanation, (pixels.shape[0], pixels.shape[1]), (rows, columns))
    return _encode(blend(as_bgr(film), heat))


def outline_png(pixels: Picture, outlines: Sequence[Outline]) -> bytes:
    """Return the film with each outline as a line on it, an RGB PNG, no side longer than 2048.

    Raises
    ------
    ValueError
        `pixels` has another shape or type than `film_png` takes.
    """
    _require_picture(pixels)
    film = as_bgr(_smaller(pixels, 2048))
    rows, columns = film.shape[:2]
    line: Picture = np.zeros((rows, columns, 4), dtype=np.uint8)
    for drawn in outlines:
        mask = cv2.resize(drawn.mask, (columns, rows), interpolation=cv2.INTER_AREA)
        _draw_contour(line, mask > 127)
    return _encode(blend(film, line))


def mask_png(drawn: Outline) -> bytes:
    """Return an outline's mask as a grey PNG of the image's own size: 255 inside, 0 outside."""
    return _encode(drawn.mask, flat=True)


def blend(film: Picture, heat: Picture) -> Picture:
    """Lay a heat picture over a film.

    Parameters
    ----------
    film
        uint8, (rows, columns, 3) BGR.
    heat
        uint8, (any rows, any columns, 4) BGRA, not premultiplied; brought to the film's size.
    """
    rows, columns = film.shape[:2]
    if heat.shape[:2] != (rows, columns):
        heat = _as_picture(cv2.resize(heat, (columns, rows), interpolation=cv2.INTER_LINEAR))
    alpha = heat[..., 3:].astype(np.float32) / 255.0
    mixed: Picture = np.rint(film * (1.0 - alpha) + heat[..., :3] * alpha).astype(np.uint8)
    return mixed


def fitted(rows: int, columns: int, max_side: int) -> tuple[int, int]:
    """Return (rows, columns) with the same aspect and no side longer than `max_side`."""
    scale = min(1.0, max_side / max(rows, columns, 1))
    return max(1, round(rows * scale)), max(1, round(columns * scale))


def as_bgr(pixels: Picture) -> Picture:
    """Return grey or RGB pixels as (rows, columns, 3) BGR, OpenCV's order."""
    code = cv2.COLOR_GRAY2BGR if pixels.ndim == 2 else cv2.COLOR_RGB2BGR
    return _as_picture(cv2.cvtColor(pixels, code))


@lru_cache(maxsize=1)
def ramp() -> Picture:
    """Return the colour ramp: uint8, (256, 3) RGB, from little evidence to full."""
    place = np.linspace(0.0, 1.0, 256)
    knots = np.linspace(0.0, 1.0, len(_RAMP_HUE))
    chroma = np.interp(place, knots, _RAMP_CHROMA)
    hue = np.deg2rad(np.interp(place, knots, _RAMP_HUE))
    lightness = np.linspace(*_RAMP_LIGHTNESS, 256)
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1)
    rgb = cv2.cvtColor(lab.astype(np.float32)[None], cv2.COLOR_Lab2RGB)[0]
    colours: Picture = np.rint(np.clip(rgb, 0.0, 1.0) * 255.0).astype(np.uint8)
    colours.setflags(write=False)
    return colours


def _heat_picture(
    explanation: Explanation, film: tuple[int, int], size: tuple[int, int]
) -> Picture:
    """Return the heat map over a film of (rows, columns), drawn at `size`.

    Returns
    -------
    ndarray
        uint8, (rows, columns, 4) BGRA, not premultiplied.
    """
    place = _placed(explanation.frame, film, size)
    evidence: Picture = np.zeros(size, np.uint8)
    inside = _smooth(explanation.heat, place.height, place.width)
    evidence[place.top : place.bottom, place.left : place.right] = inside
    table = np.concatenate([ramp()[:, ::-1], _opacity_table()[:, None]], axis=1)
    picture: Picture = np.take(table, evidence, axis=0)
    top = int(evidence.max())
    if top > EVIDENCE_FLOOR * 255.0:
        _draw_contour(picture, evidence >= round(top / 2.0))
    else:
        picture[..., 3] = 0
    if place != _whole(size):
        _fade_out(picture, place, explanation.heat.shape)
        _draw_corners(picture, place)
    return picture


def _placed(frame: Frame | None, film: tuple[int, int], size: tuple[int, int]) -> Frame:
    """Return where the frame of a film lies in a drawing of another size, one pixel at least."""
    if frame is None:
        return _whole(size)
    down, across = size[0] / film[0], size[1] / film[1]
    left = min(max(round(frame.left * across), 0), size[1] - 1)
    top = min(max(round(frame.top * down), 0), size[0] - 1)
    right = min(max(round(frame.right * across), left + 1), size[1])
    bottom = min(max(round(frame.bottom * down), top + 1), size[0])
    return Frame(left, top, right, bottom)


def _whole(size: tuple[int, int]) -> Frame:
    return Frame(0, 0, size[1], size[0])


def _smooth(grid: Picture, rows: int, columns: int) -> Picture:
    """Bring the grid to (rows, columns) by cubic steps and a blur of a third of its cell.

    Each cell stands for its own part of the image; the edge cells keep their value to the edge.
    """
    # Two steps: the expensive smoothing is done at a size where it costs nothing.
    small_rows, small_columns = fitted(rows, columns, 256)
    size = (small_columns, small_rows)
    small = cv2.resize(grid.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    cell = max(small_rows / grid.shape[0], small_columns / grid.shape[1])
    small = cv2.GaussianBlur(small, (0, 0), max(cell / 3.0, 0.5))
    peak = float(grid.max())
    small = np.clip(small, 0.0, peak)
    reached = float(small.max())
    if reached > 0.0:  # the blur must not make the evidence look weaker than it is
        small = small * (peak / reached)
    full = cv2.resize(
        np.rint(small).astype(np.uint8), (columns, rows), interpolation=cv2.INTER_LINEAR
    )
    return _as_picture(full)


def _fade_out(picture: Picture, place: Frame, cells: tuple[int, ...]) -> None:
    """Let a BGRA picture, its contour too, grow clear towards the edges of `place`.

    An edge that is the film's own stays as it is: the model saw all that there is.
    """
    down = _fading(picture.shape[0], place.top, place.bottom, cells[0])
    across = _fading(picture.shape[1], place.left, place.right, cells[1])
    picture[..., 3] = np.rint(picture[..., 3] * np.outer(down, across))


def _fading(length: int, first: int, last: int, cells: int) -> NDArray[np.float32]:
    """Return float32 (length,): 0 outside, smoothly up to 1 inside from `first` to `last`."""
    place = np.arange(length, dtype=np.float32) + 0.5
    into = place - first if first > 0 else np.full(length, np.inf, np.float32)
    if last < length:
        into = np.minimum(into, last - place)
    rise = np.clip(into * (cells / ((last - first) * _EDGE_FADE)), 0.0, 1.0)
    smooth: NDArray[np.float32] = rise * rise * (3.0 - 2.0 * rise)
    return smooth


@lru_cache(maxsize=1)
def _opacity_table() -> Picture:
    """Return uint8, (256,): the opacity of each level of evidence."""
    level = np.arange(256) / 255.0
    share = np.clip((level - EVIDENCE_FLOOR) / (1.0 - EVIDENCE_FLOOR), 0.0, 1.0)
    opacity = _LOWEST_OPACITY + (_HIGHEST_OPACITY - _LOWEST_OPACITY) * share
    fade = np.clip((level - EVIDENCE_FLOOR) / _FADE, 0.0, 1.0)
    return np.rint(opacity * fade * 255.0).astype(np.uint8)


def _draw_contour(picture: Picture, inside: NDArray[np.bool_]) -> None:
    """Draw the outline of `inside` into a BGRA picture: light, with a dark line on each side."""
    outlines, _ = cv2.findContours(
        inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    width = max(1, round(max(picture.shape[:2]) / 480))
    for colour, thickness in ((_CONTOUR_DARK, 3 * width), (_CONTOUR_LIGHT, width)):
        cv2.drawContours(picture, outlines, -1, (*colour, 255), thickness, cv2.LINE_AA)


def _draw_corners(picture: Picture, place: Frame) -> None:
    """Mark the corners of `place` in a BGRA picture: what the model was shown."""
    reach = max(2, round(_CORNER * min(place.width, place.height)))
    width = max(1, round(max(picture.shape[:2]) / 640))
    alpha = round(_CORNER_OPACITY * 255)
    ends = ((place.left, place.right - 1), (place.top, place.bottom - 1))
    for colour, thickness in ((_CONTOUR_DARK, width + 2), (_CONTOUR_LIGHT, width)):
        for x, inward in zip(ends[0], (reach, -reach), strict=True):
            for y, down in zip(ends[1], (reach, -reach), strict=True):
                corner = np.array([(x + inward, y), (x, y), (x, y + down)], np.int32)
                cv2.polylines(
                    picture, [corner], isClosed=False, color=(*colour, alpha), thickness=thickness
                )


def _smaller(pixels: Picture, max_side: int) -> Picture:
    rows, columns = fitted(pixels.shape[0], pixels.shape[1], max_side)
    if (rows, columns) == pixels.shape[:2]:
        return pixels
    return _as_picture(cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA))


def _require_picture(pixels: Picture) -> None:
    grey = pixels.ndim == 2
    if pixels.dtype != np.uint8 or not (grey or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise ValueError("A picture is uint8, (rows, columns) or (rows, columns, 3).")


def _encode(picture: Picture, *, flat: bool = False) -> bytes:
    """Return a PNG, written for speed.

    Light compression and one simple filter: a third of the time of OpenCV's defaults, for a file
    of the same size. Noise (a film) goes by Huffman codes alone, flat areas (a heat map) by runs.
    """
    noisy = not flat and (picture.ndim == 2 or picture.shape[2] == 3)
    strategy = cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY if noisy else cv2.IMWRITE_PNG_STRATEGY_RLE
    settings = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, strategy]
    if _PNG_FILTER is not None:
        settings += [_PNG_FILTER, _PNG_FILTER_SUB]
    done, content = cv2.imencode(".png", picture, settings)
    if not done:
        raise ValueError("The picture cannot be written as PNG.")
    return content.tobytes()


def _as_picture(array: Any) -> Picture:
    """Give OpenCV's answer, whose type it does not tell, the type that it has."""
    return cast("Picture", array)
