"""Which way up a film lies and whether it is inverted; how to set it right, and back.

The gate answers both from the pixels, so a header that lies does not matter. Quarter turns and the
inversion lose nothing: what the models see is corrected, the film as it is stored is not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from appliance.domain import Frame
from appliance.quality.defects import Defect, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from appliance.domain import Explanation, Outline

# The gate's words for the side up, in quarter turns against the clock from upright.
_TURNS = {"upright": 0, "turned_left": 1, "upside_down": 2, "turned_right": 3}
_LIES = {1: "lies on its side, turned to the left", 3: "lies on its side, turned to the right"}


@dataclass(frozen=True, slots=True)
class Stance:
    """How a film lies as it is stored.

    Parameters
    ----------
    turns
        Quarter turns against the clock (0 to 3) by which an upright film was turned.
    inverted
        Whether bone is dark.
    """

    turns: int = 0
    inverted: bool = False


UPRIGHT = Stance()


def stance_of(answers: Mapping[str, Mapping[str, float]] | None) -> Stance:
    """Return how the film lies.

    Parameters
    ----------
    answers
        The gate's answer: group (``kind``, ``orientation``, ``polarity``) to code to its share (0
        to 1); None where no gate is ready. What is not likeliest a frontal chest film is left as it
        is: the gate was not taught which way up other things belong.
    """
    if answers is None or _likeliest(answers["kind"]) != "frontal_chest":
        return UPRIGHT
    return Stance(
        turns=_TURNS[_likeliest(answers["orientation"])],
        inverted=_likeliest(answers["polarity"]) == "inverted",
    )


def _likeliest(shares: Mapping[str, float]) -> str:
    return max(shares, key=lambda code: shares[code])


def upright(grey: NDArray[np.uint8], stance: Stance) -> NDArray[np.uint8]:
    """Return the film as it should lie, contiguous; `grey` itself where nothing is wrong."""
    if stance == UPRIGHT:
        return grey
    turned = np.rot90(grey, -stance.turns)
    return np.ascontiguousarray(255 - turned if stance.inverted else turned, dtype=np.uint8)


def as_stored(explanation: Explanation, stance: Stance, rows: int, columns: int) -> Explanation:
    """Bring what was explained on the upright film back to the film as it is stored.

    Parameters
    ----------
    rows, columns
        Size of the film as it is stored.
    """
    if stance.turns == 0:
        return explanation
    frame = explanation.frame
    return replace(
        explanation,
        heat=np.ascontiguousarray(np.rot90(explanation.heat, stance.turns)),
        frame=None if frame is None else _turned_back(frame, stance.turns, rows, columns),
    )


def outline_as_stored(outline: Outline, stance: Stance) -> Outline:
    """Bring a mask of the upright film back to the film as it is stored."""
    if stance.turns == 0:
        return outline
    return replace(outline, mask=np.ascontiguousarray(np.rot90(outline.mask, stance.turns)))


def _turned_back(frame: Frame, turns: int, rows: int, columns: int) -> Frame:
    """Turn a rectangle of the upright film against the clock, onto the stored (rows, columns)."""
    left, top, right, bottom = frame.left, frame.top, frame.right, frame.bottom
    if turns == 1:
        return Frame(top, rows - right, bottom, rows - left)
    if turns == 2:
        return Frame(columns - right, rows - bottom, columns - left, rows - top)
    return Frame(columns - bottom, left, columns - top, right)


def find_stance(stance: Stance) -> list[Defect]:
    """Say what was corrected."""
    found = []
    if stance.inverted:
        found.append(
            Defect(
                "inverted",
                Severity.CORRECTED,
                "This film is inverted: bone is dark. It was turned back for the reading.",
                "Set the polarity at the machine that sends it.",
            )
        )
    if stance.turns == 2:
        found.append(
            Defect(
                "upside_down",
                Severity.CORRECTED,
                "This film stands upside down. It was set upright for the reading.",
                "Send it upright, so that left and right are not mistaken.",
            )
        )
    elif stance.turns:
        found.append(
            Defect(
                "on_its_side",
                Severity.CORRECTED,
                f"This film {_LIES[stance.turns]}. It was set upright for the reading.",
                "Send it upright, so that left and right are not mistaken.",
            )
        )
    return found
