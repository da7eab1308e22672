"""The workbench's command, and the manifest written and read again; no torch needed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.manifest import MANIFEST_NAME, load_manifest
from quantize.__main__ import main
from quantize.manifest_writer import toml

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "models" / "cxr-pneumonia" / "1.0.0"


def test_a_manifest_written_again_is_the_same(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(PACKAGE, copy)
    (copy / MANIFEST_NAME).write_text(toml(load_manifest(PACKAGE)), encoding="utf-8")
    assert (copy / MANIFEST_NAME).read_bytes() == (PACKAGE / MANIFEST_NAME).read_bytes()


@pytest.mark.slow
def test_anyone_with_the_data_measures_what_the_manifest_says(waypost_data: Path) -> None:
    arguments = ["evaluate", str(PACKAGE), "--data", str(waypost_data), "--json"]
    result = CliRunner().invoke(main, [*arguments, "--set", "cxr_nih_adult"])
    assert result.exit_code == 0, result.output
    listed = {r.split: r for r in load_manifest(PACKAGE).results if r.data_set == "cxr_nih_adult"}
    measured = json.loads(result.output)
    assert [entry["split"] for entry in measured] == ["val", "test"]
    for entry in measured:
        auroc = listed[entry["split"]].auroc
        assert auroc is not None
        # another processor may round a sum the other way; a decision of 195 is half a percent
        assert entry["auroc"]["value"] == pytest.approx(auroc.value, abs=0.005)
        assert entry["fp32_auroc"] is None


def test_an_unknown_set_is_said(tmp_path: Path) -> None:
    arguments = ["evaluate", str(PACKAGE), "--data", str(tmp_path), "--set", "moon"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "moon is none of the package's data sets" in result.output


def test_absent_data_are_said(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["evaluate", str(PACKAGE), "--data", str(tmp_path)])
    assert result.exit_code == 1
    assert "labels.csv is missing" in result.output


def test_another_split_is_not_measured(tmp_path: Path) -> None:
    folder = tmp_path / "cxr_nih_adult"
    folder.mkdir()
    rows = ["file,label,patient,split"]
    rows += [f"{n}.jpg,pneumonia,p{n},{s}" for n, s in enumerate(("train", "val", "test"))]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    arguments = ["evaluate", str(PACKAGE), "--data", str(tmp_path), "--set", "cxr_nih_adult"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "is not the one that the manifest names" in result.output.replace("\n", " ")
