"""The whole way to the gate; needs the workbench's environment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the workbench environment (torch)")
pytest.importorskip("onnx", reason="needs the workbench environment (onnx)")

from appliance.inference.predict import check_golden, load_predictor  # noqa: E402
from appliance.manifest import Task, load_manifest  # noqa: E402
from quantize import kinds  # noqa: E402
from quantize.kinds_data import load_kinds, read_kinds  # noqa: E402
from quantize.kinds_spec import read_kind_recipe  # noqa: E402
from quantize.kinds_train import Painter  # noqa: E402
from tests.quantize.drawn_sets import gate_recipe, kinds_folder  # noqa: E402

__all__ = ["gate_recipe", "kinds_folder"]

pytestmark = [pytest.mark.workbench, pytest.mark.filterwarnings("default")]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_way_makes_a_package_that_the_device_takes(
    kinds_folder: Path, gate_recipe: Path, tmp_path: Path
) -> None:
    torch.set_num_threads(1)
    recipe = read_kind_recipe(gate_recipe)
    out = tmp_path / "gate" / "1.0.0"
    manifest = kinds.run(
        recipe, kinds_folder, out, tmp_path / "work", lambda _step, _measured: None
    )
    assert manifest == load_manifest(out)
    assert manifest.task is Task.KIND
    assert [output.group for output in manifest.outputs][:6] == ["kind"] * 5 + ["orientation"]
    assert check_golden(load_predictor(manifest, threads=1), manifest).ok
    junk = next(r for r in manifest.results if r.data_set == "junk")
    assert junk.auroc is not None
    assert junk.specificity is not None
    assert junk.upright is None
    film = next(r for r in manifest.results if (r.data_set, r.split) == ("chest", "test"))
    assert film.upright is not None
    assert film.polarity is not None
    assert "not a certified medical device" in (out / "card.md").read_text()


def test_a_view_of_an_ultrasound_image_has_no_side_up(
    gate_recipe: Path, kinds_folder: Path
) -> None:
    recipe = read_kind_recipe(gate_recipe)
    samples = [
        s
        for site in recipe.sites
        if site.use == "train"
        for s in read_kinds(kinds_folder, site)
        if s.split == "train"
    ]
    painter = Painter(recipe, load_kinds(kinds_folder, samples))
    rng = np.random.default_rng(0)
    views = [painter.view(rng) for _ in range(60)]
    assert {view.kind for view in views} == set(range(5))
    for view in views:
        assert (view.orientation >= 0) == (view.kind == 0)
        assert (view.inverted >= 0) == (view.kind == 0)
        assert view.image.shape == (64, 64)
