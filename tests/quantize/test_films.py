"""A network that asks for a frame is measured on what the device would show it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.manifest import FrameRule, load_manifest
from appliance.preprocess import prepare
from quantize import films
from quantize.data import DataError, Sample
from quantize.phantoms import phantom

RULE = FrameRule(model="cxr-lungs", margin=0.05)


def chest(margin: int) -> np.ndarray:
    """Draw a chest with an empty margin around it."""
    drawn = phantom(200, np.random.default_rng(3))
    return cv2.copyMakeBorder(drawn, *(margin,) * 4, cv2.BORDER_CONSTANT, value=0)


def test_without_a_rule_the_whole_film_is_shown() -> None:
    film = chest(0)
    assert films.shown(film, None) is not film
    assert np.array_equal(films.shown(film, None), film)


def test_the_frame_holds_the_outlined_lungs_and_the_margin() -> None:
    film = chest(40)
    mask = cv2.resize(films.outliner("cxr-lungs").mask(film, 96), film.shape[::-1])
    rows, columns = np.nonzero(mask > 127)
    frame = films.frame_of(film, RULE)
    assert frame.left <= columns.min() + 3
    assert frame.right >= columns.max() - 3
    assert frame.top <= rows.min() + 3
    assert frame.bottom >= rows.max() - 3
    assert frame.width < 0.9 * film.shape[1]


def test_a_picture_without_lungs_is_shown_whole() -> None:
    stripes = np.tile(np.repeat(np.array([0, 255], np.uint8), 8), (90, 8))
    frame = films.frame_of(stripes, RULE)
    assert (frame.width, frame.height) == (128, 90)


def test_what_is_read_is_what_the_device_prepares(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    film = chest(40)
    cv2.imwrite(str(tmp_path / "site" / "a.png"), film)
    folder = max((films.MODELS / "cxr-lungs").iterdir())
    spec = load_manifest(folder).input
    sample = Sample("site", "a.png", positive=True, split="test", patient="p")
    (whole,) = films.read_shown(tmp_path, [sample], spec)
    assert np.array_equal(prepare(whole, spec), prepare(film, spec))
    frame = films.frame_of(film, RULE)
    assert np.array_equal(prepare(films.shown(film, RULE), spec), prepare(film, spec, frame))


def test_a_model_that_is_not_there_is_named() -> None:
    with pytest.raises(DataError, match="no-such-model"):
        films.frame_of(chest(0), FrameRule(model="no-such-model", margin=0.0))
