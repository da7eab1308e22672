from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from appliance.domain import Frame
from appliance.manifest import Exposure, InputSpec, Polarity, Resize
from appliance.preprocess import prepare, prepare_coarse, squeeze, stretch

SPEC = InputSpec(
    side_px=32,
    channels=1,
    polarity=Polarity.BONE_BRIGHT,
    resize=Resize.SQUEEZE,
    mean=0.5,
    std=0.25,
    exposure=Exposure(1, 99),
)
PLAIN = InputSpec(32, 1, Polarity.BONE_BRIGHT, Resize.SQUEEZE, 0.5, 0.25)

frames = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 90), st.integers(1, 90)) | st.just((40, 70, 3))
)


@given(frames, st.sampled_from([SPEC, PLAIN]))
def test_shape_type_and_range(pixels: np.ndarray, spec: InputSpec) -> None:
    batch = prepare(pixels, spec)
    assert batch.shape == (1, 1, 32, 32)
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    assert batch.min() >= -2.0001
    assert batch.max() <= 2.0001


@given(frames)
def test_does_not_change_its_input(pixels: np.ndarray) -> None:
    before = pixels.copy()
    prepare(pixels, SPEC)
    assert (pixels == before).all()


@given(hnp.arrays(np.uint8, (20, 20)))
def test_stretch_keeps_order_and_ends(grey: np.ndarray) -> None:
    out = stretch(grey, 1, 99)
    assert out.dtype == np.uint8
    order = np.argsort(grey, axis=None, kind="stable")
    assert (np.diff(out.reshape(-1)[order].astype(int)) >= 0).all()


def test_stretch_undoes_a_change_of_exposure() -> None:
    rng = np.random.default_rng(0)
    film = rng.integers(0, 200, (64, 64)).astype(np.uint8)
    darker = (film // 2 + 20).astype(np.uint8)
    difference = stretch(film, 1, 99).astype(int) - stretch(darker, 1, 99)
    assert np.abs(difference).max() <= 4


def test_a_flat_frame_stays_what_it_is() -> None:
    flat = np.full((8, 8), 77, np.uint8)
    assert (stretch(flat, 1, 99) == 77).all()


def test_every_value_has_eight_bits_before_normalization() -> None:
    batch = prepare(np.random.default_rng(1).integers(0, 256, (99, 57)).astype(np.uint8), PLAIN)
    steps = (batch * 0.25 + 0.5) * 255
    assert np.abs(steps - np.rint(steps)).max() < 1e-3


def test_the_whole_frame_is_squeezed() -> None:
    wide = np.zeros((50, 200), np.uint8)
    wide[:, 100:] = 255
    small = squeeze(wide, 32)
    assert (small[:, :15] == 0).all()
    assert (small[:, 17:] == 255).all()


@pytest.mark.parametrize("shape", [(500, 20), (20, 500), (20, 20), (500, 500)])
def test_squeeze_keeps_the_mean(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    grey = rng.integers(100, 120, shape).astype(np.uint8)
    assert abs(float(squeeze(grey, 32).mean()) - float(grey.mean())) < 1


def test_grey_and_its_rgb_are_the_same() -> None:
    grey = np.random.default_rng(3).integers(0, 256, (60, 60)).astype(np.uint8)
    assert (prepare(grey, SPEC) == prepare(np.dstack([grey] * 3), SPEC)).all()


@given(frames, st.data())
def test_a_frame_is_cut_first(pixels: np.ndarray, data: st.DataObject) -> None:
    rows, columns = pixels.shape[:2]
    top, left = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    bottom, right = data.draw(st.integers(top + 1, rows)), data.draw(st.integers(left + 1, columns))
    framed = prepare(pixels, SPEC, Frame(left, top, right, bottom))
    assert (framed == prepare(pixels[top:bottom, left:right], SPEC)).all()


def test_a_frame_is_clipped_to_the_image() -> None:
    film = np.random.default_rng(5).integers(0, 256, (60, 50)).astype(np.uint8)
    whole = prepare(film, SPEC)
    assert (prepare(film, SPEC, Frame(-7, -3, 80, 90)) == whole).all()
    assert (prepare(film, SPEC, Frame(-7, -3, 20, 30)) == prepare(film[:30, :20], SPEC)).all()


@pytest.mark.parametrize("shape", [(500, 431), (131, 700), (64, 64), (129, 128)])
def test_a_coarse_input_is_nearly_the_same(shape: tuple[int, int]) -> None:
    small = np.random.default_rng(6).integers(0, 256, (8, 8)).astype(np.uint8)
    film = cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC)
    coarse, fine = prepare_coarse(film, PLAIN), prepare(film, PLAIN)
    assert coarse.shape == fine.shape
    assert np.abs(coarse - fine).mean() < 0.1  # of about 4 from black to white


def test_a_small_image_is_not_made_coarser() -> None:
    film = np.random.default_rng(7).integers(0, 256, (127, 900)).astype(np.uint8)
    assert (prepare_coarse(film, SPEC) == prepare(film, SPEC)).all()
    assert (prepare_coarse(np.dstack([film] * 3), SPEC) == prepare(film, SPEC)).all()


@pytest.mark.parametrize("frame", [Frame(50, 0, 60, 10), Frame(-9, 0, -1, 10), Frame(9, 9, 9, 20)])
def test_a_frame_without_a_pixel_is_a_programming_error(frame: Frame) -> None:
    with pytest.raises(ValueError, match="expected"):
        prepare(np.zeros((20, 20), np.uint8), SPEC, frame)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((0, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_anything_else_is_a_programming_error(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        prepare(pixels, SPEC)


@pytest.mark.bench
def test_a_large_film_takes_less_than_ten_milliseconds() -> None:
    film = np.random.default_rng(4).integers(0, 256, (2000, 2000)).astype(np.uint8)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        prepare(film, InputSpec(192, 1, Polarity.BONE_BRIGHT, Resize.SQUEEZE, 0.5, 0.25))
        times.append(time.perf_counter() - start)
    assert min(times) < 0.010
