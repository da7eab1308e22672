"""Each defect of a drawn film is found, has its words, and a good film has none."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from appliance.domain import Quality
from appliance.quality import (
    Bounds,
    Stance,
    check_film,
    check_quality,
    film_of,
    measure_film,
    small_size,
)
from appliance.quality.fitted import LIMITS
from appliance.quality.picture import field_of
from appliance.quality.side import find_side, measure_side
from appliance.quality.stance import UPRIGHT
from tests.quality.drawn import SIDE, chest, film, lungs


def checked(pixels: np.ndarray, mask: np.ndarray | None, stance: Stance = UPRIGHT) -> Quality:
    return check_film(check_quality(pixels, Bounds()), film_of(pixels, mask), stance)


def codes(pixels: np.ndarray, mask: np.ndarray | None) -> list[str]:
    quality = checked(pixels, mask)
    return [r.code for r in quality.reasons if r.code != "mirrored"]  # a drawing has no heart


def test_a_good_film_has_no_defect():
    assert codes(chest(), lungs()) == []


def cut_top() -> tuple[np.ndarray, np.ndarray]:
    first = round(SIDE * 0.25)
    return chest()[first:], lungs()[first:]


def cut_bottom() -> tuple[np.ndarray, np.ndarray]:
    last = round(SIDE * 0.65)
    return chest()[:last], lungs()[:last]


def bordered(grey: int) -> tuple[np.ndarray, np.ndarray]:
    wide = (60, 60, 60, 60)
    film = cv2.copyMakeBorder(chest(), *wide, cv2.BORDER_CONSTANT, value=(grey,))
    return film, cv2.copyMakeBorder(lungs(), *wide, cv2.BORDER_CONSTANT, value=(0,))


def changed(change) -> tuple[np.ndarray, np.ndarray]:
    return np.clip(change(chest().astype(np.float32)), 0, 255).astype(np.uint8), lungs()


@pytest.mark.parametrize(
    ("picture", "code"),
    [
        (cut_top(), "apices_cut"),
        (cut_bottom(), "bases_cut"),
        (bordered(0), "wide_borders"),
        (bordered(255), "wide_borders"),
        (changed(lambda film: (film - 90) * 1.5), "over_exposed"),
        (changed(lambda film: film * 1.8), "under_exposed"),
        (changed(lambda film: 128 + (film - 128) * 0.22), "low_contrast"),
        (changed(lambda film: cv2.GaussianBlur(film, (0, 0), 4)), "blurred"),
        ((chest(), None), "lungs_not_outlined"),
    ],
)
def test_each_defect_is_found(picture, code):
    assert code in codes(*picture)


@pytest.mark.parametrize(
    ("picture", "fit"),
    [(cut_top(), False), (bordered(0), True), ((chest(), None), True)],
)
def test_only_what_must_be_taken_again_stops_a_film(picture, fit):
    pixels, mask = picture
    quality = checked(pixels, mask)
    assert quality.fit is fit
    assert all(reason.text.endswith(".") for reason in quality.reasons)


def test_what_is_corrected_is_said_and_does_not_stop_a_film():
    quality = checked(chest(), lungs(), Stance(turns=2, inverted=True))
    assert quality.fit
    assert [r.code for r in quality.reasons][:2] == ["inverted", "upside_down"]


def test_what_stops_a_film_is_said_first():
    pixels, mask = cut_top()
    quality = checked(pixels, mask, Stance(inverted=True))
    assert [r.code for r in quality.reasons][:2] == ["apices_cut", "inverted"]


def test_a_mirror_image_has_the_opposite_score():
    limits = replace(LIMITS, side_weights=tuple(np.linspace(-1, 1, 64).tolist()))
    straight = measure_side(film(), limits)["heart_side"]
    mirror = film(chest()[:, ::-1].copy(), lungs()[:, ::-1].copy())
    assert measure_side(mirror, limits)["heart_side"] == pytest.approx(-straight, abs=0.05)
    assert abs(straight) > 0.1


def test_a_low_score_of_the_heart_is_a_warning_only():
    found = find_side({"heart_side": LIMITS.heart_side - 1}, LIMITS)
    assert [(d.code, str(d.severity)) for d in found] == [("mirrored", "warning")]
    assert find_side({}, LIMITS) == []


def test_borders_are_measured_from_each_side_and_a_letter_in_them_does_not_count():
    picture = cv2.copyMakeBorder(chest(200), 30, 10, 0, 50, cv2.BORDER_CONSTANT, value=(0,))
    picture[5:20, 5:13] = 255
    field = field_of(picture)
    assert (field.left, field.top, field.right, field.bottom) == (0, 30, 200, 230)


def test_a_blank_picture_is_its_own_field():
    field = field_of(np.full((40, 50), 90, np.uint8))
    assert (field.width, field.height) == (50, 40)


def test_a_large_film_is_measured_like_its_small_copy():
    large = cv2.resize(chest(512), (1500, 1500), interpolation=cv2.INTER_LINEAR)
    assert small_size(1500, 1500) == (512, 512)
    small, big = (measure_film(film_of(p, lungs(512))) for p in (chest(512), large))
    for name, value in small.items():
        assert big[name] == pytest.approx(value, rel=0.15, abs=0.05), name


@given(
    pixels=hnp.arrays(np.uint8, st.tuples(st.integers(1, 60), st.integers(1, 60))),
    share=st.floats(0, 1),
)
def test_any_film_and_any_outline_are_measured(pixels, share):
    mask = np.zeros(pixels.shape, np.uint8)
    mask[: round(share * len(pixels))] = 255
    values = measure_film(film_of(pixels, mask))
    assert all(np.isfinite(value) for value in values.values())
