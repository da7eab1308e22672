"""Cutting channels; needs the workbench's environment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the workbench environment (torch)")
pytest.importorskip("torch_pruning", reason="needs the workbench environment (torch-pruning)")

from quantize.data import Sample  # noqa: E402
from quantize.network import Lite0  # noqa: E402
from quantize.prune import ROUND_TO, Films, kept_share, load_network, prune, settle  # noqa: E402
from quantize.spec import PruneSpec, Recipe, RecipeError, read_recipe  # noqa: E402
from quantize.train import Labelled  # noqa: E402

pytestmark = [pytest.mark.workbench, pytest.mark.filterwarnings("default")]
SPEC = PruneSpec(
    ratio=0.3, rounds=2, recovery_steps=1, importance_batches=1, steps=3, learning_rate=1e-3
)


def silent(step: int, measured: dict[str, float]) -> None:
    return None


def films(recipe: Recipe) -> Films:
    rng = np.random.default_rng(0)
    samples = [Sample("a", str(n), n % 2 == 0, "train", str(n)) for n in range(8)]
    images = [rng.integers(0, 256, (40, 40)).astype(np.uint8) for _ in samples]
    small = replace(recipe.input, side_px=32)
    return Films(Labelled(samples, images), replace(recipe.train, batch=4), small)


@pytest.fixture
def teacher() -> Lite0:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return Lite0(1).eval()


def test_a_cut_network_is_read_back_from_its_weights(
    teacher: Lite0, recipe_path: Path, tmp_path: Path
) -> None:
    thin = prune(teacher, films(read_recipe(recipe_path)), SPEC, tmp_path / "work", silent)
    assert 0.3 < kept_share(thin, teacher) < 0.7
    assert {
        m.out_channels % ROUND_TO for m in thin.modules() if isinstance(m, torch.nn.Conv2d)
    } == {
        0,
        1,  # the classifier, which is not cut
    }
    torch.save(thin.state_dict(), tmp_path / "thin.pt")
    again = load_network(tmp_path / "thin.pt").eval()
    film = torch.randn(2, 1, 64, 64)
    with torch.inference_mode():
        (logits, cam), (logits_again, cam_again) = thin.eval()(film), again(film)
    # another memory layout adds in another order
    assert torch.allclose(logits, logits_again, atol=2e-4)
    assert torch.allclose(cam, cam_again, atol=2e-4)
    assert torch.allclose(cam.mean(dim=(2, 3)) + thin.bias, logits, atol=2e-4)


def test_an_uncut_network_is_read_as_it_is(teacher: Lite0, tmp_path: Path) -> None:
    torch.save(teacher.state_dict(), tmp_path / "whole.pt")
    again = load_network(tmp_path / "whole.pt").eval()
    film = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(again(film)[0], teacher(film)[0])


def test_a_cut_distillation_goes_on_where_it_was(
    teacher: Lite0, recipe_path: Path, tmp_path: Path
) -> None:
    recipe = read_recipe(recipe_path)  # a checkpoint each two steps

    class CutError(Exception):
        pass

    def cut(step: int, measured: dict[str, float]) -> None:
        if step == 3:
            raise CutError

    longer = replace(SPEC, steps=4)
    whole = prune(teacher, films(recipe), longer, tmp_path / "whole", silent)
    with pytest.raises(CutError):
        prune(teacher, films(recipe), longer, tmp_path / "parts", cut)
    seen: list[int] = []
    parts = prune(
        teacher, films(recipe), longer, tmp_path / "parts", lambda step, _: seen.append(step)
    )
    assert seen == [3, 4]  # the checkpoint of step 2 was the last
    for one, other in zip(whole.state_dict().values(), parts.state_dict().values(), strict=True):
        assert torch.allclose(one, other, atol=2e-4)


def test_a_recipe_may_prune(recipe_path: Path) -> None:
    assert read_recipe(recipe_path).prune is None
    table = "\n[prune]\nratio = {}\nrounds = 2\nrecovery_steps = 1\nimportance_batches = 1\n"
    table += "steps = 2\nlearning_rate = 1e-3\n"
    text = recipe_path.read_text()
    recipe_path.write_text(text + table.format(0.3))
    assert read_recipe(recipe_path).prune == PruneSpec(0.3, 2, 1, 1, 2, 1e-3, 0.7)
    recipe_path.write_text(text + table.format(1.3))
    with pytest.raises(RecipeError, match="ratio lies between"):
        read_recipe(recipe_path)


def test_settled_statistics_are_those_of_the_films(teacher: Lite0, recipe_path: Path) -> None:
    shown = films(read_recipe(recipe_path))
    settled = settle(teacher, shown, SPEC)
    assert not settled.training
    assert float(settled.stem_norm.running_mean.abs().max()) > 0
    before = settled.stem_norm.running_mean.clone()
    again = settle(settled, shown, SPEC).stem_norm
    assert torch.allclose(again.running_mean, before, atol=1e-5)
    assert again.momentum == pytest.approx(0.01)
