"""Beside the straight way: a site left out, several ratios of pruning, two packages compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the workbench environment (torch)")
pytest.importorskip("torch_pruning", reason="needs the workbench environment (torch-pruning)")

from click.testing import CliRunner  # noqa: E402

from appliance.manifest import load_manifest  # noqa: E402
from quantize.__main__ import main  # noqa: E402
from quantize.compare import compare  # noqa: E402
from quantize.data import DataError  # noqa: E402
from quantize.leave_out import leave_out  # noqa: E402
from quantize.metrics import words  # noqa: E402
from quantize.pareto import pareto  # noqa: E402
from quantize.spec import RecipeError, read_recipe  # noqa: E402

pytestmark = [
    pytest.mark.workbench,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("default"),
]
PACKAGE = Path(__file__).resolve().parent.parent.parent / "models" / "cxr-pneumonia" / "1.0.0"


def silent(step: int, measured: dict[str, float]) -> None:
    return None


def test_each_site_is_left_out_once(data: Path, recipe_path: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    recipe = read_recipe(recipe_path)
    with pytest.raises(RecipeError, match="cannot be left out"):
        leave_out(recipe, data, tmp_path / "work", silent, smoke=True)
    both = tuple(
        replace(site, spec=replace(site.spec, negative=("none",), measure_only=False))
        for site in recipe.sites
    )
    results = leave_out(replace(recipe, sites=both), data, tmp_path / "work", silent, smoke=True)
    assert [r.data_set for r in results] == ["site_a", "site_b"]
    # all splits of the site that was left out count as its test
    assert {r.n_positive + r.n_negative for r in results} == {10}


def test_several_ratios_share_one_training(data: Path, recipe_path: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    recipe = read_recipe(recipe_path)
    with pytest.raises(RecipeError, match=r"needs a \[prune\] table"):
        pareto(recipe, (0.3,), data, tmp_path / "work", silent)
    points = pareto(recipe, (0.5,), data, tmp_path / "work", silent, smoke=True)
    assert [point.ratio for point in points] == [0.0, 0.5]
    assert points[1].size_bytes < 0.6 * points[0].size_bytes
    assert (tmp_path / "work" / "pareto.svg").is_file()
    assert len(json.loads((tmp_path / "work" / "pareto.json").read_text())) == 2


def test_a_package_is_as_good_as_itself(waypost_data: Path) -> None:
    model = load_manifest(PACKAGE)
    arguments = ["compare", str(PACKAGE), str(PACKAGE), "--data", str(waypost_data)]
    shown = CliRunner().invoke(main, [*arguments, "--set", "cxr_covid_hannover"])
    listed = next(r for r in model.results if r.data_set == "cxr_covid_hannover")
    assert shown.output.count(words(listed.sensitivity)) == 2, shown.output
    assert shown.output.count(words(listed.abstained)) == 2
    rows = compare(model, model, waypost_data, ("cxr_covid_hannover",))
    (row,) = rows
    assert row.results[0] == row.results[1]
    assert row.agreement.value == 1
    assert row.auroc_difference is None  # one class only


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    model = load_manifest(PACKAGE)
    other = replace(model, outputs=(replace(model.outputs[0], code="other"),))
    with pytest.raises(DataError, match="cannot be compared"):
        compare(model, other, tmp_path, ())
    entry = replace(model.data[0], splits=model.data[0].splits[:1])
    with pytest.raises(DataError, match="is split otherwise"):
        compare(model, replace(model, data=(entry, *model.data[1:])), tmp_path, ())
