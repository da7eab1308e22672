"""Evidence outside the lungs, other films' greys, planted opacities: what training adds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the workbench environment (torch)")
pytest.importorskip("onnx", reason="needs the workbench environment (onnx)")

from quantize import recipe as straight_way  # noqa: E402
from quantize.augment import Augmenter, take_greys  # noqa: E402
from quantize.data import Sample  # noqa: E402
from quantize.lungs import outside, read_lungs, stray  # noqa: E402
from quantize.spec import read_recipe  # noqa: E402
from quantize.train import Batch, Labelled, draw_batch, loss_of  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.workbench, pytest.mark.filterwarnings("default")]

WHOLE = np.array([[96 / 200, 0, 0], [0, 96 / 100, 0]])  # a film of 100 x 200 onto the square


def film(lungmask: str) -> Sample:
    return Sample("site", "f", positive=True, split="train", patient="p", lungmask=lungmask)


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """Lungs in the left half, and in the whole, of a film."""
    (tmp_path / "site").mkdir()
    left = np.zeros((60, 120), np.uint8)
    left[:, :60] = 255
    cv2.imwrite(str(tmp_path / "site" / "left.png"), left)
    cv2.imwrite(str(tmp_path / "site" / "whole.png"), np.full((60, 120), 255, np.uint8))
    return tmp_path


def test_a_cell_outside_the_mask_is_outside(masks: Path) -> None:
    lungs = read_lungs(masks, [film("left.png"), film("whole.png")])
    assert lungs is not None

    def cells(index: int, placement: np.ndarray) -> np.ndarray:
        return outside(lungs.warped(index, placement, Augmenter(96, None), (100, 200)), 3)

    assert cells(0, WHOLE)[:, 0].max() == 0
    assert cells(0, WHOLE)[:, 2].min() == 1
    assert cells(1, WHOLE).max() == 0
    shifted = WHOLE + np.array([[0, 0, 96], [0, 0, 0]])
    assert cells(1, shifted).min() == 1


def test_a_film_without_a_mask_takes_what_the_masks_share(masks: Path) -> None:
    lungs = read_lungs(masks, [film("left.png"), film("whole.png"), film("")])
    assert lungs is not None
    assert outside(lungs.warped(2, WHOLE, Augmenter(96, None), (100, 200)), 3).max() == 0
    assert read_lungs(masks, [film("")]) is None


def test_only_activation_outside_counts() -> None:
    cam = torch.zeros(1, 1, 2, 2)
    cam[0, 0, 0, 0] = -3.0
    away = torch.ones(1, 2, 2)
    assert float(stray(cam, away)) == pytest.approx(9 / 4)
    away[0, 0, 0] = 0
    assert float(stray(cam, away)) == 0


def test_greys_are_another_films() -> None:
    rng = np.random.default_rng(0)
    dark = rng.integers(0, 100, (40, 40)).astype(np.uint8)
    bright = rng.integers(150, 250, (30, 50)).astype(np.uint8)
    taken = take_greys(dark, bright)
    assert abs(float(taken.mean()) - float(bright.mean())) < 2
    order = np.argsort(dark.reshape(-1), kind="stable")
    assert (np.diff(taken.reshape(-1)[order].astype(int)) >= 0).all()


def test_a_batch_is_repeatable_with_all_of_it(data: Path, recipe_path: Path, masks: Path) -> None:
    recipe = read_recipe(recipe_path)
    spec = replace(recipe.train, plant=1.0, stray_weight=0.1, by_view=False)
    samples = straight_way.gather(recipe, data, masks / "work").split("train")
    images = [np.full((70, 80), 90, np.uint8) for _ in samples]
    lungs = read_lungs(masks, [film("left.png") for _ in samples])
    training = Labelled(samples, images, lungs)
    one, other = (draw_batch(training, spec, recipe.input, 64, 3) for _ in range(2))
    assert torch.equal(one.views, other.views)
    assert one.outside is not None
    assert one.outside.shape == (8, 2, 2)
    assert one.elsewhere is not None
    assert float(one.truth.min()) == 1  # plant = 1: every clear film got an opacity
    assert float(one.elsewhere.max()) == 1


class Sided(torch.nn.Module):
    """Answers with a map that lies on the right whatever it is shown."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        cam = torch.zeros(len(x), 1, 2, 2)
        cam[..., 1] = 3.0
        return cam.mean(dim=(2, 3)), cam


def test_a_map_that_does_not_mirror_costs(recipe_path: Path) -> None:
    spec = replace(read_recipe(recipe_path).train, mirror_weight=1.0)
    batch = Batch(torch.zeros(8, 1, 64, 64), torch.ones(8), None)
    with_it, without = (
        float(loss_of(Sided(), batch, batch.truth[:, None], each))
        for each in (spec, replace(spec, mirror_weight=0.0))
    )
    assert with_it - without == pytest.approx(2.5, abs=1e-5)  # smooth L1 of a difference of 3
