from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from appliance.domain import Explanation, Frame
from appliance.report.overlay import (
    EVIDENCE_FLOOR,
    as_bgr,
    blend,
    film_png,
    fitted,
    heat_png,
    overlay_png,
    ramp,
)
from tests.report import samples


def decode(png: bytes) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture


def lightness(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb[None].astype(np.float32) / 255, cv2.COLOR_RGB2Lab)[0, :, 0]


def test_the_ramp_is_perceptually_even_and_survives_greyscale() -> None:
    light = lightness(ramp())
    steps = np.diff(light[::16])
    assert steps.min() > 0.6 * steps.mean()
    assert steps.max() < 1.4 * steps.mean()
    grey = cv2.cvtColor(ramp()[None], cv2.COLOR_RGB2GRAY)[0].astype(int)
    assert np.all(np.diff(grey[::4]) > 0)


def test_the_film_is_kept_exactly_up_to_the_longest_side() -> None:
    pixels = samples.film(300, 200)
    assert np.array_equal(decode(film_png(pixels)), pixels)
    colour = np.dstack([pixels, pixels // 2, 255 - pixels])
    assert np.array_equal(decode(film_png(colour))[..., ::-1], colour)
    assert decode(film_png(pixels, max_side=100)).shape == (100, 67)


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 4), np.uint16), np.zeros((4, 4, 4), np.uint8), np.zeros(4, np.uint8)],
)
def test_what_is_no_picture_is_a_fault_of_the_caller(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="picture"):
        film_png(pixels)


def test_the_heat_lies_where_the_evidence_is() -> None:
    picture = decode(heat_png(samples.explanation(), 1000, 900))
    assert picture.shape == (1000, 900, 4)
    opacity = picture[..., 3]
    assert opacity[611, 650] >= 0.5 * 255  # the middle of cell (5, 6)
    assert opacity[100, 100] == 0
    y, x = np.nonzero(opacity)
    assert abs(y.mean() - 611) < 25
    assert abs(x.mean() - 650) < 25


def test_no_evidence_is_no_colour() -> None:
    for top in (0, int(EVIDENCE_FLOOR * 255) - 1):
        assert not decode(heat_png(samples.explanation(top), 500, 400))[..., 3].any()


def test_evidence_everywhere_has_no_hole() -> None:
    full = Explanation("x", np.full((7, 7), 255, np.uint8))
    assert decode(heat_png(full, 200, 200))[..., 3].min() > 100


def test_the_contour_runs_at_half_of_the_maximum() -> None:
    picture = decode(heat_png(samples.explanation(200), 900, 900))
    line = np.all(picture[..., :3] > 235, axis=2) & (picture[..., 3] == 255)
    assert line.any()
    y, x = np.nonzero(line)
    distance = np.hypot(y - 550, x - 650) / 100  # cells; half is at sqrt(2.4 ln 2) = 1.29
    assert 1.1 < distance.mean() < 1.6
    assert distance.std() < 0.15


@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24)),
    st.integers(min_value=1, max_value=400),
    st.integers(min_value=1, max_value=400),
)
@settings(max_examples=60, deadline=None)
def test_any_grid_over_any_film(heat: np.ndarray, rows: int, columns: int) -> None:
    picture = decode(heat_png(Explanation("x", heat), rows, columns, max_side=128))
    assert picture.shape == (*fitted(rows, columns, 128), 4)
    if heat.max() <= EVIDENCE_FLOOR * 255:
        assert not picture[..., 3].any()


@given(st.integers(1, 10_000), st.integers(1, 10_000), st.integers(1, 4096))
def test_fitted_keeps_the_aspect(rows: int, columns: int, side: int) -> None:
    small_rows, small_columns = fitted(rows, columns, side)
    assert 1 <= small_rows <= min(rows, side)
    assert 1 <= small_columns <= min(columns, side)
    scale = min(1.0, side / max(rows, columns))
    assert abs(small_rows - rows * scale) <= 1
    assert abs(small_columns - columns * scale) <= 1


def test_the_overlay_leaves_the_film_alone_where_there_is_no_evidence() -> None:
    pixels = samples.film(1000, 900)
    blended = decode(overlay_png(pixels, samples.explanation()))
    assert blended.shape == (1000, 900, 3)
    assert np.array_equal(blended[:300, :300], as_bgr(pixels)[:300, :300])
    assert np.ptp(blended[611, 650].astype(int)) > 40  # coloured in the middle
    assert decode(overlay_png(samples.film(3000, 10), samples.explanation())).shape[0] == 2048


def test_a_heat_map_of_another_size_is_brought_to_the_film() -> None:
    film = as_bgr(samples.film(100, 80))
    heat = np.zeros((50, 40, 4), np.uint8)
    assert np.array_equal(blend(film, heat), film)
    heat[..., 3] = 255
    assert not blend(film, heat).any()


def hot_cell(row: int, column: int, frame: Frame | None) -> Explanation:
    heat = np.zeros((7, 7), np.uint8)
    heat[row, column] = 255
    return Explanation("pneumonia", heat, frame)


FRAME = Frame(left=300, top=200, right=1000, bottom=900)  # seven cells of 100 pixels


@pytest.mark.parametrize(("row", "column"), [(3, 3), (1, 5), (5, 2)])
@pytest.mark.parametrize("max_side", [1200, 600])
def test_a_hot_cell_lands_in_its_frame(row: int, column: int, max_side: int) -> None:
    picture = decode(heat_png(hot_cell(row, column, FRAME), 1000, 1200, max_side=max_side))
    scale = max_side / 1200
    x, y = (300 + 100 * column + 50) * scale, (200 + 100 * row + 50) * scale
    opacity = picture[..., 3].copy()
    assert opacity[round(y), round(x)] >= 0.5 * 255
    reach = round(130 * scale)
    around = opacity[round(y) - reach : round(y) + reach, round(x) - reach : round(x) + reach]
    assert around.size
    ys, xs = np.nonzero(around)
    assert abs(ys.mean() - reach) < 3
    assert abs(xs.mean() - reach) < 3
    around[...] = 0
    corners = np.count_nonzero(opacity)
    assert 0 < corners < 0.01 * opacity.size  # nothing else but the marks


def test_nothing_is_drawn_outside_a_frame_but_the_width_of_its_marks() -> None:
    full = Explanation("x", np.full((7, 7), 255, np.uint8), FRAME)
    opacity = decode(heat_png(full, 1000, 1200, max_side=1200))[..., 3]
    inside = np.zeros_like(opacity, bool)
    inside[198:902, 298:1002] = True
    assert not opacity[~inside].any()
    assert opacity[550, 650] >= 0.5 * 255


def test_the_heat_fades_towards_an_edge_of_the_frame_and_draws_no_box() -> None:
    full = Explanation("x", np.full((7, 7), 255, np.uint8), FRAME)
    across = decode(heat_png(full, 1000, 1200, max_side=1200))[550, 300:500, 3].astype(int)
    assert across[0] < 10
    assert np.all(np.diff(across) >= -1)
    assert np.abs(np.diff(across)).max() <= 6


def test_the_films_own_edge_does_not_fade() -> None:
    frame = Frame(left=0, top=200, right=1200, bottom=1000)
    full = Explanation("x", np.full((7, 7), 255, np.uint8), frame)
    opacity = decode(heat_png(full, 1000, 1200, max_side=1200))[..., 3]
    assert opacity[600, [0, 1199]].min() > 100
    assert opacity[999, 600] > 100
    assert opacity[201, 600] < 10


def test_a_frame_of_the_whole_film_is_no_frame() -> None:
    whole = heat_png(hot_cell(2, 4, Frame(0, 0, 500, 400)), 400, 500)
    assert whole == heat_png(hot_cell(2, 4, None), 400, 500)


def test_a_model_that_saw_nothing_still_shows_what_it_was_shown() -> None:
    none = Explanation("x", np.zeros((7, 7), np.uint8), FRAME)
    opacity = decode(heat_png(none, 1000, 1200, max_side=1200))[..., 3]
    assert 0 < np.count_nonzero(opacity) < 0.01 * opacity.size
    assert opacity[200, 320] == opacity[220, 300] > 0
    assert not opacity[300:800, 400:900].any()


def test_the_overlay_of_a_large_film_scales_the_frame() -> None:
    pixels = samples.film(4000, 3000)
    frame = Frame(left=900, top=600, right=3000, bottom=2700)
    blended = decode(overlay_png(pixels, hot_cell(3, 3, frame)))
    assert blended.shape == (2048, 1536, 3)
    assert np.ptp(blended[round(1650 * 0.512), round(1950 * 0.512)].astype(int)) > 40
    assert np.ptp(blended[round(2000 * 0.512), round(1500 * 0.512)].astype(int)) == 0


@pytest.mark.parametrize("frame", [Frame(-9, -9, 20, 20), Frame(99, 99, 100, 100)])
def test_a_tiny_or_overhanging_frame_is_drawn_all_the_same(frame: Frame) -> None:
    assert decode(heat_png(hot_cell(0, 0, frame), 100, 100, max_side=10)).shape == (10, 10, 4)


@pytest.mark.bench
def test_how_long_a_film_and_its_heat_map_take(
    record_property: Callable[[str, object], None],
) -> None:
    """The aim is 60 ms together for a film of 2000 x 1800 on two cores that nobody else uses."""
    noise = np.random.default_rng(0).normal(0, 3, (2000, 1800))
    pixels = np.clip(samples.film(2000, 1800) + noise, 0, 255).astype(np.uint8)
    taken = []
    for _ in range(5):
        started = time.perf_counter()
        film_png(pixels)
        heat_png(samples.explanation(), 2000, 1800)
        taken.append(time.perf_counter() - started)
    record_property("film_and_heat_ms", round(min(taken) * 1000, 1))
