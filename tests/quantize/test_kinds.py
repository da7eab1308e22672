"""The way to the gate, on drawn images; the parts that need no torch run everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantize.data import DataError
from quantize.kinds_data import kinds_sha256, read_kinds
from quantize.kinds_evaluate import shares
from quantize.kinds_pictures import drawn, out_of_place, piece, turned
from quantize.kinds_spec import KindSite, read_kind_recipe
from quantize.phantoms import phantom
from quantize.spec import RecipeError
from tests.quantize.drawn_sets import GATE_RECIPE, kinds_folder

__all__ = ["kinds_folder"]


def test_every_drawing_is_a_picture() -> None:
    rng = np.random.default_rng(0)
    pictures = [drawn(64, rng) for _ in range(120)]
    assert all(p.shape == (64, 64) and p.dtype == np.uint8 for p in pictures)
    assert len({p.tobytes() for p in pictures}) == 120


def test_a_piece_is_small_and_a_film_out_of_place_keeps_its_greys() -> None:
    rng = np.random.default_rng(0)
    film = phantom(120, rng)
    for _ in range(20):
        assert max(piece(film, rng).shape) <= 0.33 * 120
        moved = out_of_place(film, rng)
        assert moved.shape == film.shape
        assert np.array_equal(np.sort(moved, axis=None), np.sort(film, axis=None))
        assert not np.array_equal(moved, film)


def test_turning_and_inverting_by_hand() -> None:
    film = np.array([[0, 1], [2, 3]], np.uint8)
    assert turned(film, 1, inverted=False).tolist() == [[1, 3], [0, 2]]
    assert turned(film, 2, inverted=True).tolist() == [[252, 253], [254, 255]]


def test_shares_sum_to_one_also_of_large_logits() -> None:
    assert shares(np.array([[1000.0, 1000.0, -1000.0]])).tolist() == [[0.5, 0.5, 0.0]]


def test_a_site_that_is_only_measured_is_all_test(kinds_folder: Path) -> None:
    site = KindSite("junk", "other", "measure", "t", "l", "s")
    samples = read_kinds(kinds_folder, site)
    assert {sample.split for sample in samples} == {"test"}
    assert kinds_sha256(samples) == kinds_sha256(samples[::-1])
    with pytest.raises(DataError):
        read_kinds(kinds_folder, KindSite("absent", "other", "train", "t", "l", "s"))


def test_the_groups_of_the_shipped_recipe() -> None:
    recipe = read_kind_recipe(Path(__file__).parents[2] / "quantize/recipes/gate.toml")
    assert recipe.codes("orientation") == ["upright", "turned_left", "upside_down", "turned_right"]
    assert recipe.group("kind") == slice(0, 5)
    assert recipe.group("polarity") == slice(9, 11)
    measured = {site.name for site in recipe.sites if site.use == "measure"}
    assert measured == {"qc_not_chest", "cxr_tb_pakistan"}


def test_a_use_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(GATE_RECIPE.replace('use = "measure"', 'use = "look"'))
    with pytest.raises(RecipeError, match="look"):
        read_kind_recipe(path)
