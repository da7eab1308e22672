"""Where the model looked: the class activation map as a small heat grid, and the place's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from appliance.domain import Explanation, Frame, Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Evidence (of 255) below which there is no peak to name; the overlay draws nothing below it either.
_LEAST_PEAK = 64
# A place is named when it holds this share of the evidence that is at least half of the strongest.
_CLEAR_SHARE = 0.6
# The lungs' outline is not exact, and a cell of the grid is coarse: so far around it (a share of
# its longer side) still counts as lung.
_MARGIN = 0.04
# Width of both lungs over their height, at least.
_LEAST_WIDTH = 0.6
_FIELDS = ("upper", "middle", "lower")
_OUTSIDE = Region("outside", "outside the lung fields")


def explain(
    cam: NDArray[np.float32], code: str, full_evidence: float, frame: Frame | None = None
) -> Explanation:
    """Turn a class activation map into a heat grid on a fixed scale.

    Parameters
    ----------
    cam
        float32, (h, w); its mean plus the bias is the logit (Zhou et al., CVPR 2016), so each
        cell is the evidence, in logits, that its part of the image adds.
    code
        The finding that it speaks for.
    full_evidence
        Evidence (logits, > 0) that is drawn as 255. It belongs to the model, not to the image:
        a film with little evidence gets a faint map, not a stretched one.
    frame
        The part of the image that the model was shown, or None: the whole image.

    Returns
    -------
    Explanation
        uint8 grid, (h, w); negative evidence is 0.
    """
    heat = np.clip(cam / max(full_evidence, 1e-6), 0.0, 1.0)
    return Explanation(code=code, heat=np.rint(heat * 255.0).astype(np.uint8), frame=frame)


def region_of(drawn: Explanation, lungs: NDArray[np.uint8], size: tuple[int, int]) -> Region | None:
    """Name the lung field in which the evidence is strongest.

    Each lung is divided into three fields of the same height. The convention is a frontal film's as
    it is displayed: the patient's left is on the right of the image.

    Parameters
    ----------
    drawn
        The evidence over an upright image.
    lungs
        uint8 (h, w), not 0 inside the outlined lungs: the whole upright image at any scale. An
        outline that is doubtful must not be given.
    size
        Rows and columns of the image, in whose pixels the explanation's frame is.

    Returns
    -------
    Region or None
        A field, or a lung where the evidence lies across its fields, or a place outside the lungs;
        None where there is little evidence, or no place holds most of it.
    """
    peak = int(drawn.heat.max(initial=0))
    if peak < _LEAST_PEAK or not _two_lungs(lungs):
        return None
    evidence = _spread(drawn, lungs.shape, size)
    strong = np.where(evidence >= peak / 2, evidence, 0.0)
    total = float(strong.sum())
    near = _grown(lungs) & (strong > 0)
    middle, found = _midline(lungs), {}
    for side, place in (("right", np.s_[:, :middle]), ("left", np.s_[:, middle:])):
        held = np.where(near[place], strong[place], 0.0).sum(axis=1)
        for name, share in zip(_FIELDS, _thirds(held, lungs[place]), strict=True):
            found[side, name] = share / total
    return _named(found)


def _named(found: dict[tuple[str, str], float]) -> Region | None:
    """Return the place that holds enough of the evidence, the narrowest one."""
    for (side, name), share in found.items():
        if share >= _CLEAR_SHARE:
            return Region(f"{side}_{name}", f"{side} {name} lung field")
    for side in ("right", "left"):
        if sum(found[side, name] for name in _FIELDS) >= _CLEAR_SHARE:
            return Region(side, f"{side} lung")
    return _OUTSIDE if 1 - sum(found.values()) >= _CLEAR_SHARE else None


def _spread(
    drawn: Explanation, shape: tuple[int, ...], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Return the evidence (0 to 255) of each place of a map of `shape`, 0 outside the frame."""
    down, across = shape[0] / size[0], shape[1] / size[1]
    frame = drawn.frame or Frame(0, 0, size[1], size[0])
    top, left = int(frame.top * down), int(frame.left * across)
    bottom = min(max(round(frame.bottom * down), top + 1), shape[0])
    right = min(max(round(frame.right * across), left + 1), shape[1])
    grid = drawn.heat.astype(np.float32)
    inside = cv2.resize(grid, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    evidence = np.zeros(shape[:2], np.float32)
    evidence[top:bottom, left:right] = inside
    return evidence


def _two_lungs(lungs: NDArray[np.uint8]) -> bool:
    """Say whether the outline is wide enough for both: one alone does not tell its side."""
    _, _, width, height = cv2.boundingRect((lungs > 0).astype(np.uint8))
    return width >= _LEAST_WIDTH * height > 0


def _grown(lungs: NDArray[np.uint8]) -> NDArray[np.bool_]:
    reach = max(1, round(_MARGIN * max(lungs.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    grown = cv2.dilate((lungs > 0).astype(np.uint8), disc)
    return np.asarray(grown > 0, dtype=np.bool_)


def _midline(lungs: NDArray[np.uint8]) -> int:
    """Return the column between the lungs: the emptiest of the middle third, nearest its middle."""
    filled = (lungs > 0).sum(axis=0)
    columns = np.flatnonzero(filled)
    first, last = int(columns[0]), int(columns[-1]) + 1
    third = max(1, (last - first) // 3)
    places = np.arange(first + third, max(last - third, first + third + 1))
    away = np.abs(places - (first + last) / 2)
    order = np.lexsort((away, filled[places]))
    return int(places[order[0]])


def _thirds(held: NDArray[np.float32], lung: NDArray[np.uint8]) -> tuple[float, ...]:
    """Return the evidence in each third of a lung's height, from the top; beside it counts too."""
    rows = np.flatnonzero((lung > 0).any(axis=1))
    if rows.size == 0:
        return (0.0, 0.0, 0.0)
    top, height = int(rows[0]), int(rows[-1]) + 1 - int(rows[0])
    cuts = (top + height // 3, top + 2 * height // 3)
    parts = (held[: cuts[0]], held[cuts[0] : cuts[1]], held[cuts[1] :])
    return tuple(float(part.sum()) for part in parts)
