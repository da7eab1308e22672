"""Outlines and what is measured on them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.domain import Frame, Measurement, Outline, Reason
from appliance.errors import InferenceError
from appliance.measure import (
    doubt_about_lungs,
    frame_around,
    frame_or_doubt,
    lung_field_fraction,
    measure,
    outline,
)


def places(*boxes: tuple[int, int, int, int], side: int = 96) -> np.ndarray:
    """Logits of +4 inside the boxes (top, bottom, left, right) and -4 elsewhere."""
    grid = np.full((side, side), -4.0, np.float32)
    for top, bottom, left, right in boxes:
        grid[top:bottom, left:right] = 4.0
    return grid


TWO_LUNGS = places((20, 70, 15, 40), (20, 70, 56, 81))


def lungs(grid: np.ndarray, rows: int = 96, columns: int = 96) -> Outline:
    return outline(grid, rows, columns, "lungs", "Lung fields")


@given(rows=st.integers(20, 400), columns=st.integers(20, 400))
def test_a_mask_has_the_images_own_size_and_two_values(rows, columns):
    mask = lungs(TWO_LUNGS, rows, columns).mask
    assert mask.shape == (rows, columns)
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 255}


def test_two_lungs_are_measured_as_their_share_of_the_image():
    item = measure(lungs(TWO_LUNGS, 480, 960))
    assert isinstance(item, Measurement)
    assert (item.code, item.unit) == ("lung_field_fraction", "1")
    assert item.value == pytest.approx(2 * 50 * 25 / 96**2, abs=0.005)


def test_specks_go_and_holes_close():
    dirty = TWO_LUNGS.copy()
    dirty[5:8, 45:50] = 3.0
    dirty[40:43, 20:25] = -3.0
    assert np.array_equal(lungs(dirty).mask, lungs(TWO_LUNGS).mask)


def test_a_large_gap_stays_open():
    ring = places((10, 86, 10, 86))
    ring[30:66, 30:66] = -4.0
    assert lungs(ring).mask[48, 48] == 0


@pytest.mark.parametrize(
    "grid",
    [
        places(),
        places((40, 50, 40, 60)),
        places((0, 96, 0, 96)),
        places((2, 90, 2, 94)),
        places(*((top, top + 20, left, left + 20) for top in (5, 60) for left in (5, 60))),
    ],
    ids=["nothing", "too small", "everything", "too large", "four patches"],
)
def test_what_cannot_be_two_lungs_is_said_not_measured(grid):
    answer = measure(lungs(grid))
    assert isinstance(answer, Reason)
    assert answer.code == "no_outline"
    assert "could not be outlined" in answer.text


def test_lungs_that_the_heart_joins_are_no_doubt():
    joined = places((20, 70, 15, 81))
    assert doubt_about_lungs(lungs(joined)) is None
    assert lung_field_fraction(lungs(joined)).value > 0.3


def test_an_unknown_region_is_our_fault_not_the_images():
    drawn = outline(TWO_LUNGS, 96, 96, "spleen", "Spleen")
    with pytest.raises(InferenceError, match="spleen"):
        measure(drawn)


def test_a_frame_is_the_box_of_the_outline_and_its_margin():
    drawn = lungs(TWO_LUNGS)
    assert frame_around(drawn, 0.0) == Frame(15, 20, 81, 70)
    assert frame_around(drawn, 0.1) == Frame(8, 15, 88, 75)
    assert (frame_around(drawn, 0.0).width, frame_around(drawn, 0.0).height) == (66, 50)


def test_a_frame_stays_inside_the_image():
    assert frame_around(lungs(TWO_LUNGS), 0.5) == Frame(0, 0, 96, 95)


def test_specks_do_not_widen_a_frame():
    dirty = TWO_LUNGS.copy()
    dirty[2:4, 2:4] = 3.0
    assert frame_around(lungs(dirty), 0.0) == frame_around(lungs(TWO_LUNGS), 0.0)


def test_there_is_no_frame_around_nothing():
    with pytest.raises(ValueError, match="lungs"):
        frame_around(lungs(places()), 0.05)


@given(rows=st.integers(40, 3000), columns=st.integers(40, 3000))
def test_a_frame_found_small_is_that_of_the_full_size(rows, columns):
    frame = frame_or_doubt(TWO_LUNGS, rows, columns, "lungs", 0.05)
    assert isinstance(frame, Frame)
    full = frame_around(lungs(TWO_LUNGS, rows, columns), 0.05)
    away = 2 + max(rows, columns) / 256
    assert abs(frame.left - full.left) <= away
    assert abs(frame.top - full.top) <= away
    assert abs(frame.right - full.right) <= away
    assert abs(frame.bottom - full.bottom) <= away
    assert 0 <= frame.left < frame.right <= columns
    assert 0 <= frame.top < frame.bottom <= rows


def test_a_doubtful_outline_gives_no_frame():
    doubt = frame_or_doubt(places((40, 50, 40, 60)), 500, 400, "lungs", 0.05)
    assert isinstance(doubt, Reason)
    with pytest.raises(InferenceError, match="spleen"):
        frame_or_doubt(TWO_LUNGS, 96, 96, "spleen", 0.05)
