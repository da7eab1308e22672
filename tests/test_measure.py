"""Outlines and what is measured on them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.domain import Measurement, Outline, Reason
from appliance.errors import InferenceError
from appliance.measure import doubt_about_lungs, lung_field_fraction, measure, outline


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
