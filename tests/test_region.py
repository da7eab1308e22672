"""The name of the place where the evidence is strongest."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.domain import Explanation, Frame
from appliance.explain import region_of

SIZE = (1200, 1000)
# Where the lungs are drawn, as shares of the image: the patient's right lung is at the left.
RIGHT, LEFT = (0.15, 0.45), (0.55, 0.85)
TOP, BOTTOM = 0.2, 0.8


def lungs(rows: int = 300, columns: int = 250, *, joined: bool = False) -> np.ndarray:
    mask = np.zeros((rows, columns), np.uint8)
    for first, last in (RIGHT, LEFT):
        mask[int(TOP * rows) : int(BOTTOM * rows), int(first * columns) : int(last * columns)] = 255
    if joined:  # the heart's shadow counts as lung in one of the sources of masks
        mask[int(0.6 * rows) : int(0.75 * rows), int(0.4 * columns) : int(0.6 * columns)] = 255
    return mask


def spot(x: float, y: float, *, top: float = 255, spread: float = 0.08) -> Explanation:
    down, across = np.mgrid[0.05:1:0.1, 0.05:1:0.1]
    heat = top * np.exp(-((across - x) ** 2 + (down - y) ** 2) / (2 * spread**2))
    return Explanation("pneumonia", heat.astype(np.uint8))


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize(
    ("x", "y", "code", "label"),
    [
        (0.30, 0.30, "right_upper", "right upper lung field"),
        (0.30, 0.50, "right_middle", "right middle lung field"),
        (0.30, 0.70, "right_lower", "right lower lung field"),
        (0.70, 0.30, "left_upper", "left upper lung field"),
        (0.70, 0.50, "left_middle", "left middle lung field"),
        (0.70, 0.70, "left_lower", "left lower lung field"),
        (0.50, 0.03, "outside", "outside the lung fields"),
        (0.03, 0.97, "outside", "outside the lung fields"),
    ],
)
def test_each_field_has_its_name_and_left_is_the_patients(
    x: float, y: float, code: str, label: str, *, joined: bool
) -> None:
    region = region_of(spot(x, y), lungs(joined=joined), SIZE)
    assert region is not None
    assert (region.code, region.label) == (code, label)


def test_a_mirrored_film_is_named_by_the_picture() -> None:
    drawn = spot(0.30, 0.30)
    mirrored = Explanation("pneumonia", np.ascontiguousarray(drawn.heat[:, ::-1]))
    region = region_of(mirrored, np.ascontiguousarray(lungs()[:, ::-1]), SIZE)
    assert region is not None
    assert region.code == "left_upper"


def test_evidence_over_the_fields_of_one_lung_names_the_lung() -> None:
    drawn = spot(0.70, 0.40)
    wide = np.maximum(drawn.heat, spot(0.70, 0.60).heat)
    region = region_of(Explanation("pneumonia", wide), lungs(), SIZE)
    assert region is not None
    assert (region.code, region.label) == ("left", "left lung")


def test_no_clear_peak_has_no_name() -> None:
    both = np.maximum(spot(0.30, 0.5).heat, spot(0.70, 0.5).heat)
    assert region_of(Explanation("pneumonia", both), lungs(), SIZE) is None
    assert region_of(spot(0.3, 0.5, top=60), lungs(), SIZE) is None
    assert region_of(spot(0.3, 0.5), np.zeros_like(lungs()), SIZE) is None


def test_the_evidence_of_a_part_is_placed_by_its_frame() -> None:
    frame = Frame(left=500, top=600, right=1000, bottom=1200)  # the lower right of the picture
    drawn = spot(0.30, 0.20)  # of the frame: x 0.65, y 0.60 of the image
    region = region_of(Explanation("pneumonia", drawn.heat, frame), lungs(), SIZE)
    assert region is not None
    assert region.code in {"left", "left_lower", "left_middle"}


def test_the_scale_of_the_outline_does_not_matter() -> None:
    names = {
        region.code
        for size in ((120, 100), (300, 250), (1200, 1000))
        if (region := region_of(spot(0.30, 0.70), lungs(*size), SIZE)) is not None
    }
    assert names == {"right_lower"}


def test_one_lung_alone_does_not_tell_its_side() -> None:
    mask = lungs()
    mask[:, :125] = 0
    assert region_of(spot(0.70, 0.30), mask, SIZE) is None
