"""A model for research only reads nothing until an administrator switches it on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from appliance.config import Config, Models, parse_config
from appliance.domain import RESEARCH_ONLY, ModelRef, Reading, ReadingState
from appliance.manifest import MANIFEST_NAME, load_manifest
from appliance.report.compose import json_line
from appliance.terminal import reading_table
from appliance.wiring.models import SWITCHED_OFF, current_models, model_summaries
from appliance.wiring.reading import load_models
from tests.models import MODELS, copy_package, manifest

if TYPE_CHECKING:
    from pathlib import Path

SWITCHED_ON = replace(Config(), models=Models(research=True))


def write_research(folder: Path, model_id: str, version: str = "9.0.0") -> Path:
    """Write the shipped classifier as a package that is for research only."""
    package = copy_package("cxr-pneumonia", folder)
    text = (package / MANIFEST_NAME).read_text("utf-8")
    text = text.replace('id = "cxr-pneumonia"', f'id = "{model_id}"\nresearch_only = true', 1)
    text = text.replace(f'version = "{manifest().version}"', f'version = "{version}"', 1)
    (package / MANIFEST_NAME).write_text(text, "utf-8")
    place = folder / model_id / version
    place.parent.mkdir(exist_ok=True)
    return package.rename(place)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WAYPOST_MODELS", str(tmp_path / "none"))
    (tmp_path / "models").mkdir()
    return tmp_path


def test_an_old_manifest_is_no_research() -> None:
    assert all(not load_manifest(path.parent).research_only for path in MODELS.glob("*/1.0.0/*.md"))


def test_the_switch_is_off_unless_the_file_says_so() -> None:
    assert not parse_config("").models.research
    assert parse_config("[models]\nresearch = true").models.research


def test_it_does_not_read_until_it_is_switched_on(data: Path) -> None:
    write_research(data / "models", "cxr-tb")
    off, on = load_models(Config(), data), load_models(SWITCHED_ON, data)
    assert off.readers == ()
    assert [(check.ok, check.text) for check in off.checks] == [(True, SWITCHED_OFF)]
    assert [reader.manifest.id for reader in on.readers] == ["cxr-tb"]
    assert on.readers[0].predictor.ref.research_only
    (summary,) = model_summaries(data, "cpu")
    assert summary.research_only


def test_a_newer_research_version_leaves_the_reading_to_the_older_one(data: Path) -> None:
    write_research(data / "models", "cxr-pneumonia")
    copy_package("cxr-pneumonia", data / "models")
    assert [m.directory.name for m in current_models(data)] == [manifest().version]
    assert [m.directory.name for m in current_models(data, research=True)] == ["9.0.0"]


def test_the_words_stand_beside_the_result() -> None:
    ref = ModelRef("cxr-tb", "1.0.0", "ab" * 32, "cpu", research_only=True)
    reading = Reading(ReadingState.ABSTAINED, model=ref)
    assert json_line("a", None, reading)["model"]["research_only"] is True
    plain = replace(reading, model=replace(ref, research_only=False))
    assert set(json_line("a", None, plain)["model"]) == {"id", "version", "sha256", "backend"}
    (cell,) = reading_table([("a", reading)]).columns[3].cells
    assert RESEARCH_ONLY in str(cell)
