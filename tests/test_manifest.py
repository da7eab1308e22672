from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from appliance.errors import ManifestError
from appliance.manifest import MANIFEST_NAME, FrameRule, Task, load_manifest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = sorted(path.parent for path in (ROOT / "models").glob(f"*/*/{MANIFEST_NAME}"))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    copy = tmp_path / "package"
    shutil.copytree(ROOT / "models" / "cxr-pneumonia" / "1.0.0", copy)
    return copy


def edit(package: Path, pattern: str, replacement: str) -> None:
    path = package / MANIFEST_NAME
    text, count = re.subn(pattern, replacement, path.read_text(encoding="utf-8"), count=1)
    assert count == 1, f"{pattern} is not in the manifest"
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("directory", PACKAGES, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_every_shipped_package_is_whole(directory: Path) -> None:
    manifest = load_manifest(directory)
    assert (manifest.id, manifest.version) == (directory.parent.name, directory.name)
    assert set(manifest.files) == {p.name for p in directory.iterdir()} - {MANIFEST_NAME}


def test_says_what_the_device_needs(package: Path) -> None:
    manifest = load_manifest(package)
    assert manifest.task is Task.CLASSIFICATION
    assert [output.code for output in manifest.outputs] == ["pneumonia"]
    assert manifest.sha256 == manifest.files["model.cpu.onnx"]
    assert manifest.path("card.md").is_file()
    assert 0 < manifest.operating_points[0].threshold < 1
    assert manifest.intended_use.modalities == ("CR", "DX")
    assert any("never rules out" in limit for limit in manifest.intended_use.limits)
    assert any("not a certified" in limit for limit in manifest.intended_use.limits)


def test_names_licence_and_hash_of_every_data_set(package: Path) -> None:
    for data in load_manifest(package).data:
        assert data.licence
        assert all(re.fullmatch("[0-9a-f]{64}", split.sha256) for split in data.splits)


def test_says_every_sites_result(package: Path) -> None:
    results = {(r.data_set, r.split): r for r in load_manifest(package).results}
    assert results["cxr_covid_hannover", "test"].sensitivity is not None
    assert results["cxr_covid_hannover", "test"].auroc is None
    assert results["cxr_tb_pakistan", "test"].specificity is not None
    children = results["cxr_ped_pneumonia", "test"]
    assert children.auroc is not None
    assert children.auroc.low <= children.auroc.value <= children.auroc.high


def test_the_card_is_the_manifests(package: Path) -> None:
    card = (package / "card.md").read_text(encoding="utf-8")
    for result in load_manifest(package).results:
        assert result.data_set in card
        if result.auroc is not None:
            assert f"{result.auroc.value:.3f}" in card


@pytest.mark.parametrize("name", ["model.cpu.onnx", "model.trt.onnx", "golden.npz", "card.md"])
def test_a_changed_file_is_refused(package: Path, name: str) -> None:
    with (package / name).open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(ManifestError, match=r"not the file that its manifest names.*install"):
        load_manifest(package)


def test_a_missing_file_is_refused(package: Path) -> None:
    (package / "golden.npz").unlink()
    with pytest.raises(ManifestError, match=r"golden\.npz cannot be read.*install"):
        load_manifest(package)


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        load_manifest(tmp_path)


@pytest.mark.parametrize(
    ("pattern", "replacement", "sentence"),
    [
        (r"(?m)^schema = 1$", "schema = 1\nspeed = 3", "unknown key 'speed'"),
        (r"(?m)^side_px = ", "colour = 1\nside_px = ", "unknown key 'colour'"),
        (r"(?m)^title = .*\n", "", "lacks the key 'title'"),
        (r"(?m)^threshold = .*\n", "", "lacks the key 'threshold'"),
        (r"(?m)^side_px = \d+", 'side_px = "big"', "must be of type int"),
        (r"(?m)^side_px = \d+", "side_px = true", "must be of type int"),
        (r"(?m)^schema = 1$", "schema = 2", "has schema 2"),
        (r"(?m)^threshold = .*$", "threshold = 1.5", "not between 0 and 1"),
        (r"(?m)^lower = .*$", "lower = 0.9999999", "cross"),
        (r"(?m)^task = .*$", 'task = "guess"', "this appliance knows 'classification'"),
        (r'(?m)^output = "pneumonia"$', 'output = "gout"', "'gout', which it does not list"),
        (r"(?m)^age_years = .*$", "age_years = [1.0]", "must have 2 entries"),
        (r"(?m)^age_years = .*$", "age_years = 3.0", "must be a list"),
        (r"(?m)^age_years = .*$", 'age_years = [1, "x"]', "intended_use.age_years[1] must be of"),
        (
            r"(?m)^\[\[operating_points\]\]$",
            "\\g<0>\nx = 1",
            "operating_points[0] has the unknown key",
        ),
        (r"(?m)^exposure = .*$", "exposure = 3", "must be a table"),
        (r"(?m)^exposure = .*$", "\\g<0>\nframe = 3", "input.frame must be a table"),
        (r"(?m)^exposure = .*$", "\\g<0>\nframe = {margin = 0.1}", "lacks the key 'model'"),
        (
            r"(?m)^exposure = .*$",
            '\\g<0>\nframe = {model = "cxr-lungs", margin = 0.6}',
            "the margin of the frame is not between 0 and 0.5",
        ),
        (r"(?m)^mean = ", "mean = = ", "not valid TOML"),
        (r'(?m)^"card.md" = .*$', '"../card.md" = "00"', "not a plain file name"),
        (r'(?m)^"card.md" = .*$', '"card.md" = 7', "must be a table of texts"),
        (r'(?m)^"golden.npz" = .*\n', "", "lists no golden.npz"),
    ],
)
def test_what_is_wrong_is_said(
    package: Path, pattern: str, replacement: str, sentence: str
) -> None:
    edit(package, pattern, replacement)
    with pytest.raises(ManifestError, match=re.escape(sentence)):
        load_manifest(package)


FRAME = 'frame = {model = "cxr-lungs", margin = 0.05}'


def test_a_model_may_ask_for_a_frame(package: Path) -> None:
    without = load_manifest(package)
    assert without.input.frame is None
    edit(package, r"(?m)^exposure = .*$", rf"\g<0>\n{FRAME}")
    manifest = load_manifest(package)
    assert manifest.input.frame == FrameRule("cxr-lungs", 0.05)
    assert manifest.sha256 == without.sha256


def test_the_frame_may_be_a_table_of_its_own(package: Path) -> None:
    table = '[input.frame]\nmodel = "cxr-lungs"\nmargin = 0\n\n[[outputs]]'
    edit(package, r"(?m)^\[\[outputs\]\]$", table)
    assert load_manifest(package).input.frame == FrameRule("cxr-lungs", 0.0)


def test_only_a_classifier_has_a_frame(tmp_path: Path) -> None:
    copy = tmp_path / "package"
    shutil.copytree(ROOT / "models" / "cxr-lungs" / "1.0.0", copy)
    edit(copy, r"(?m)^side_px = .*$", rf"\g<0>\n{FRAME}")
    with pytest.raises(ManifestError, match="only a model of the task 'classification'"):
        load_manifest(copy)
