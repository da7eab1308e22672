"""Fine-tuning under rounding: it rounds as the INT8 graphs do, and is used where it is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the workbench environment (torch)")
onnx = pytest.importorskip("onnx", reason="needs the workbench environment (onnx)")

from quantize import recipe as straight_way  # noqa: E402
from quantize.aware import fine_tune, round_as_int8, rounded, rounded_weights  # noqa: E402
from quantize.data import Sample  # noqa: E402
from quantize.decide import Platt  # noqa: E402
from quantize.evaluate import Rules  # noqa: E402
from quantize.export import HEAD_BIAS  # noqa: E402
from quantize.network import Lite0  # noqa: E402
from quantize.prune import Films  # noqa: E402
from quantize.spec import AwareSpec, Recipe, read_recipe  # noqa: E402
from quantize.train import Labelled  # noqa: E402

pytestmark = [pytest.mark.workbench, pytest.mark.filterwarnings("default")]
SPEC = AwareSpec(steps=2, learning_rate=1e-4)


def films(recipe: Recipe) -> Films:
    rng = np.random.default_rng(0)
    samples = [Sample("a", str(n), n % 2 == 0, "train", str(n)) for n in range(8)]
    images = [rng.integers(0, 256, (40, 40)).astype(np.uint8) for _ in samples]
    small = replace(recipe.input, side_px=32)
    return Films(Labelled(samples, images), replace(recipe.train, batch=4), small)


def test_weights_are_rounded_for_each_channel_and_gradients_pass() -> None:
    weight = torch.randn(3, 4, 3, 3) * torch.tensor([0.01, 1.0, 100.0]).reshape(3, 1, 1, 1)
    weight.requires_grad_(True)
    made = rounded_weights(weight)
    for before, after in zip(weight, made, strict=True):
        step = before.detach().abs().max() / 127
        assert float((before - after).detach().abs().max()) <= float(step) * 0.5001
        assert len(after.detach().unique()) > 10
    made.sum().backward()
    assert torch.equal(weight.grad, torch.ones_like(weight))


def test_activations_are_rounded_over_their_own_range() -> None:
    x = torch.cat([torch.zeros(1), torch.linspace(-1, 3, 1000)])
    made = rounded(x)
    assert len(made.unique()) <= 256
    assert float((made - x).abs().max()) <= 4 / 255
    assert float(made[0]) == 0  # a zero stays zero


def test_the_first_layers_and_the_classifier_stay_as_they_are() -> None:
    torch.manual_seed(0)
    network = Lite0(1).eval()
    film = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        plain, stem = network(film)[0], network.stem(film)
        names = list(network.state_dict())
        round_as_int8(network, fp32_convolutions=1)
        assert torch.equal(network.stem(film), stem)
        assert not torch.equal(network(film)[0], plain)
    assert list(network.state_dict()) == names


def test_what_comes_out_is_in_floating_point_and_learnt(recipe_path: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    teacher = Lite0(1).eval()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    shown = films(read_recipe(recipe_path))
    seen: list[int] = []
    tuned = fine_tune(
        (teacher, teacher), shown, SPEC, 2, tmp_path, lambda step, _: seen.append(step)
    )
    assert seen == [1, 2]
    assert all(torch.equal(before[n], v) for n, v in teacher.state_dict().items())
    assert any(not torch.equal(before[n], v) for n, v in tuned.state_dict().items())
    plain = Lite0(1).eval()
    plain.load_state_dict(tuned.state_dict())
    film = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        # another memory layout adds in another order
        assert torch.allclose(tuned.eval()(film)[0], plain(film)[0], atol=2e-4)
    fine_tune((teacher, teacher), shown, SPEC, 2, tmp_path, lambda step, _: seen.append(step))
    assert seen == [1, 2]  # the checkpoint was of the last step


@pytest.mark.parametrize("costly", [False, True])
def test_the_recipe_tunes_only_what_eight_bits_damage(
    recipe_path: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, costly: bool
) -> None:
    text = recipe_path.read_text()
    recipe_path.write_text(f"{text}\n[aware]\nsteps = 1\nlearning_rate = 1e-4\n")
    monkeypatch.setattr(straight_way, "damaged", lambda _: costly)
    work = tmp_path / "work"
    recipe = read_recipe(recipe_path)
    straight_way.run(recipe, data, tmp_path / "out", work, lambda *_: None, smoke=True)
    assert (work / straight_way.AWARE_WEIGHTS).is_file() is costly
    assert (work / straight_way.FP32_GRAPH).is_file()


def test_eight_bits_are_judged_on_validation_films(
    recipe_path: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = Rules(Platt(1.0, 0.0), threshold=0.9, lower=0.5, upper=0.5)
    monkeypatch.setattr(straight_way, "decide_stage", lambda _: rules)
    recipe = read_recipe(recipe_path)
    work = tmp_path / "work"
    straight_way.run(recipe, data, tmp_path / "out", work, lambda *_: None, smoke=True)
    bench = straight_way.gather(straight_way.in_miniature(recipe), data, work, smoke=True)
    fp32 = work / straight_way.FP32_GRAPH
    (work / straight_way.CPU_GRAPH).write_bytes(fp32.read_bytes())
    (work / straight_way.TENSORRT_GRAPH).write_bytes(fp32.read_bytes())
    assert not straight_way.damaged(bench)  # the same graph three times
    rules = Rules(Platt(1.0, 1000.0), threshold=0.9, lower=0.5, upper=0.5)
    shifted = onnx.load(fp32)
    bias = next(entry for entry in shifted.graph.initializer if entry.name == HEAD_BIAS)
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(1, -2000, np.float32), HEAD_BIAS))
    onnx.save(shifted, work / straight_way.CPU_GRAPH)
    assert straight_way.damaged(bench)
