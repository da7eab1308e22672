"""Every recipe that ships: read, refused where it must be, run in miniature on the real data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from quantize.__main__ import main
from quantize.data import DataError, read_site
from quantize.gates import GateError, require
from quantize.medmnist import unpack
from quantize.spec import RecipeError, read_recipe

RECIPES = Path(__file__).resolve().parent.parent.parent / "quantize" / "recipes"
CLASSIFIERS = ("cxr-pneumonia", "cxr-tb", "pneumoniamnist")


@pytest.mark.parametrize("name", [*CLASSIFIERS, "cxr-tb-pakistan"])
def test_a_recipe_is_read(name: str) -> None:
    recipe = read_recipe(RECIPES / f"{name}.toml")
    assert recipe.id == name
    assert recipe.research == recipe.title.startswith("Research only")


def test_no_gate_can_be_left_out(recipe_path: Path) -> None:
    text = recipe_path.read_text()
    recipe_path.write_text(text + "\n[gates]\nflips = 0.5\n")
    with pytest.raises(RecipeError, match="no gate can be loosened"):
        read_recipe(recipe_path)


def test_unknown_patients_are_for_research_only(recipe_path: Path) -> None:
    text = recipe_path.read_text()
    recipe_path.write_text(
        text.replace("measure_only = false", "patients_unknown = true\nmeasure_only = false")
    )
    with pytest.raises(RecipeError, match="research only"):
        read_recipe(recipe_path)


@pytest.mark.workbench
@pytest.mark.filterwarnings("default")
def test_the_set_of_two_machines_is_refused_before_any_training(waypost_data: Path) -> None:
    pytest.importorskip("sklearn", reason="needs the workbench environment (scikit-learn)")
    pytest.importorskip("torch", reason="needs the workbench environment (torch)")
    pytest.importorskip("onnx", reason="needs the workbench environment (onnx)")
    from quantize.judge import judge_data  # noqa: PLC0415 - needs the workbench
    from quantize.shortcuts import shortcuts  # noqa: PLC0415

    recipe = read_recipe(RECIPES / "cxr-tb-pakistan.toml")
    samples = read_site(waypost_data, recipe.sites[0].spec)
    verdicts = judge_data(shortcuts(waypost_data, samples, recipe.input))
    assert [verdict.passed for verdict in verdicts] == [False, False]
    with pytest.raises(GateError, match=r"can be told with an AUROC of (0\.99|1\.00)"):
        require(verdicts)


@pytest.mark.workbench
@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", ["cxr-tb", "cxr-tb-pakistan", "pneumoniamnist"])
def test_the_documentation_says_what_the_shortcuts_reach(
    name: str, waypost_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("sklearn", reason="needs the workbench environment (scikit-learn)")
    from quantize.shortcuts import shortcuts  # noqa: PLC0415 - needs the workbench

    recipe, data = read_recipe(RECIPES / f"{name}.toml"), waypost_data
    if name == "pneumoniamnist":
        unpack(name, waypost_data, tmp_path)
        data = tmp_path
    site = recipe.sites[0].spec
    found = shortcuts(data, read_site(data, site), recipe.input)
    page = (RECIPES.parent.parent / "docs" / "workbench.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `{site.name}`")]
    said = [float(cell) for cell in row.strip("| ").split("|")[1:]]
    assert said == pytest.approx([s.auroc for s in found], abs=0.005)  # another libm, another tree


def write_arrays(folder: Path) -> None:
    rng = np.random.default_rng(0)
    (folder / "pneumoniamnist").mkdir(parents=True)
    arrays = {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = rng.integers(0, 256, (6, 28, 28)).astype(np.uint8)
        arrays[f"{split}_labels"] = (np.arange(6) % 2)[:, None]
    arrays["train_images"][2] = arrays["val_images"][4]
    np.savez(folder / "pneumoniamnist" / "pneumoniamnist.npz", **arrays)


def test_arrays_become_a_set_without_what_was_copied(tmp_path: Path) -> None:
    write_arrays(tmp_path / "in")
    unpack("pneumoniamnist", tmp_path / "in", tmp_path / "out")
    spec = read_recipe(RECIPES / "pneumoniamnist.toml").sites[0].spec
    samples = read_site(tmp_path / "out", spec)
    assert [sum(s.split == name for s in samples) for name in ("train", "val", "test")] == [5, 6, 6]
    assert "train/00002.png" not in {s.file for s in samples}
    with pytest.raises(DataError, match="none of the known sets"):
        unpack("moon", tmp_path / "in", tmp_path / "out")
    with pytest.raises(DataError, match="is missing"):
        unpack("pneumoniamnist", tmp_path, tmp_path / "out")


@pytest.mark.workbench
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_recipe_runs_in_miniature(name: str, waypost_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch_pruning", reason="needs the workbench environment (torch-pruning)")
    data = waypost_data
    if name == "pneumoniamnist":
        unpack(name, waypost_data, tmp_path)
        data = tmp_path
    recipe = str(RECIPES / f"{name}.toml")
    arguments = ["run", recipe, "--data", str(data), "--smoke", "--threads", "1"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "0.0.0-smoke" in result.output
    assert "planted opacities" in result.output


@pytest.mark.workbench
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("default")
def test_a_refused_model_is_not_packaged(data: Path, recipe_path: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the workbench environment (torch)")
    work, out = tmp_path / "work", tmp_path / "out"
    arguments = ["run", str(recipe_path), "--data", str(data), "--out", str(out)]
    result = CliRunner().invoke(main, [*arguments, "--work", str(work), "--threads", "1"])
    assert result.exit_code == 1, result.output
    assert "refuse this model" in result.output
    assert not out.exists()
    kept = work / "gates.json"
    assert not kept.exists() or not all(g["passed"] for g in json.loads(kept.read_text()))
