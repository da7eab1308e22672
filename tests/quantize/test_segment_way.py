"""The whole way to a model that outlines; needs the workbench's environment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="needs the workbench environment (torch)")
pytest.importorskip("onnx", reason="needs the workbench environment (onnx)")

from appliance.inference.predict import check_golden, load_predictor  # noqa: E402
from appliance.manifest import Task, load_manifest  # noqa: E402
from quantize import segment, segment_remeasure  # noqa: E402
from quantize.__main__ import main  # noqa: E402
from quantize.augment import Augmenter  # noqa: E402
from quantize.segment_data import Films, Outlined, load_films, read_outlined  # noqa: E402
from quantize.segment_evaluate import dice  # noqa: E402
from quantize.segment_network import Outliner  # noqa: E402
from quantize.segment_spec import read_outline_recipe  # noqa: E402
from quantize.segment_train import _pair, train_outliner  # noqa: E402
from tests.quantize.drawn_sets import lungs_recipe, ward  # noqa: E402

__all__ = ["lungs_recipe", "ward"]

pytestmark = [pytest.mark.workbench, pytest.mark.filterwarnings("default")]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_way_makes_a_package_that_the_device_takes(
    ward: Path, lungs_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    recipe = read_outline_recipe(lungs_recipe)
    out, work = tmp_path / "cxr-lungs" / "1.0.0", tmp_path / "work"
    steps: list[int] = []
    manifest = segment.run(recipe, ward, out, work, lambda step, _measured: steps.append(step))
    assert steps == list(range(1, 7))
    assert manifest == load_manifest(out)
    assert manifest.task is Task.SEGMENTATION
    assert [(r.data_set, r.split) for r in manifest.results] == [("ward", "val"), ("ward", "test")]
    assert check_golden(load_predictor(manifest, threads=1), manifest).ok
    card = (out / "card.md").read_text()
    assert "not a certified medical device" in card
    assert manifest.version in card
    monkeypatch.setattr(segment_remeasure, "ROOT", tmp_path)
    (tmp_path / "quantize/recipes").mkdir(parents=True)
    (tmp_path / "quantize/recipes/toy-lungs.toml").write_text(lungs_recipe.read_text())
    ended = CliRunner().invoke(main, ["evaluate", str(out), "--data", str(ward)])
    assert ended.exit_code == 0, ended.output
    assert "Dice" in ended.output
    (ward / "ward" / "labels.csv").write_text(
        (ward / "ward" / "labels.csv").read_text().replace("3.png,test", "3.png,val")
    )
    ended = CliRunner().invoke(main, ["evaluate", str(out), "--data", str(ward)])
    assert ended.exit_code == 1
    assert "not the one that the manifest names" in ended.output


def test_training_goes_on_from_its_checkpoint(
    ward: Path, lungs_recipe: Path, tmp_path: Path
) -> None:
    torch.set_num_threads(1)
    recipe = read_outline_recipe(lungs_recipe)
    spec = replace(recipe.train, checkpoint_steps=2)
    films = load_films(ward, read_outlined(ward, "ward", "mask")[:4])

    class StoppedError(Exception):
        pass

    def stop(step: int, _measured: dict[str, float]) -> None:
        if step == 4:
            raise StoppedError

    torch.manual_seed(0)
    with pytest.raises(StoppedError):
        train_outliner(Outliner(1), films, spec, recipe.input, tmp_path, stop)
    seen: list[int] = []
    train_outliner(
        Outliner(1), films, spec, recipe.input, tmp_path, lambda step, _m: seen.append(step)
    )
    assert seen == [5, 6]


def test_a_view_and_its_mask_are_framed_alike() -> None:
    mask = np.zeros((120, 120), np.uint8)
    mask[30:90, 40:80] = 255
    films = Films([Outlined("s", "f", "m", "train", "p")], [mask], [mask])
    augmenter = Augmenter(96, None, erase=0.0)
    rng = np.random.default_rng(1)
    overlaps = []
    for _ in range(60):
        view, half = _pair(films, 0, None, augmenter, rng)  # its own greys
        drawn = cv2.resize(half, (96, 96))
        middle = (int(view.min()) + int(view.max())) / 2
        bright = np.where(view > middle, np.uint8(255), np.uint8(0))
        overlaps.append(max(dice(bright, drawn), dice(255 - bright, drawn)))
    assert np.median(overlaps) > 0.9
