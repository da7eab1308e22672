"""The way to a model that outlines, on drawn films; the parts that need no torch run everywhere."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from quantize.data import DataError
from quantize.segment_data import load_films, outlined_sha256, read_outlined
from quantize.segment_evaluate import dice, mean_interval
from quantize.segment_spec import read_outline_recipe
from quantize.spec import RecipeError
from tests.quantize.drawn_sets import LUNGS_RECIPE, ward

__all__ = ["ward"]


def test_only_rows_with_a_mask_are_read(ward: Path) -> None:
    samples = read_outlined(ward, "ward", "mask")
    assert len(samples) == 11
    films = load_films(ward, samples)
    assert set(np.unique(films.masks[0])) == {0, 255}


def test_a_patient_in_two_splits_is_an_error(ward: Path) -> None:
    table = ward / "ward" / "labels.csv"
    table.write_text(table.read_text().replace("p2,", "p0,"))
    with pytest.raises(DataError, match="two splits"):
        read_outlined(ward, "ward", "mask")


def test_a_mask_of_another_size_is_an_error(ward: Path) -> None:
    cv2.imwrite(str(ward / "ward" / "m0.png"), np.zeros((50, 60), np.uint8))
    with pytest.raises(DataError, match="another size"):
        load_films(ward, read_outlined(ward, "ward", "mask"))


def test_a_split_is_hashed_by_its_members_not_their_order(ward: Path) -> None:
    samples = read_outlined(ward, "ward", "mask")
    assert outlined_sha256(samples) == outlined_sha256(samples[::-1])
    assert outlined_sha256(samples) != outlined_sha256(samples[1:])


def test_dice_is_the_overlap() -> None:
    left = np.zeros((10, 10), np.uint8)
    left[:, :5] = 255
    assert dice(left, left) == 1.0
    assert dice(left, 255 - left) == 0.0
    assert dice(left, np.full((10, 10), 255, np.uint8)) == pytest.approx(2 / 3)
    assert dice(np.zeros_like(left), np.zeros_like(left)) == 1.0


def test_the_interval_resamples_patients_not_films() -> None:
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(0.9, 0.05, 20), 10)
    one_each = mean_interval(values, [str(i) for i in range(200)])
    twenty = mean_interval(values, [str(i // 10) for i in range(200)])
    assert one_each.value == twenty.value
    assert twenty.high - twenty.low > 2 * (one_each.high - one_each.low)


def test_a_recipe_with_a_key_too_many_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(LUNGS_RECIPE.replace("seed = ", "sead = "))
    with pytest.raises(RecipeError, match="sead"):
        read_outline_recipe(path)
