from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from appliance.cli import main
from tests.builders import make_cr, make_png, make_us
from tests.models import manifest, without_gate


@pytest.fixture
def waypost(tmp_path, monkeypatch):
    monkeypatch.setenv("WAYPOST_HOME", str(tmp_path / "home"))

    def call(*arguments: object):
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    return call


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Let drawn films be read: a box without the gate."""
    monkeypatch.setenv("WAYPOST_MODELS", str(without_gate(tmp_path / "packages")))


@pytest.fixture
def chest(tmp_path, drawn):
    path = tmp_path / "chest.dcm"
    path.write_bytes(make_cr(rows=300, columns=280))
    return path


def lines(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_read_prints_one_json_object_a_line(waypost, chest, tmp_path):
    scan = tmp_path / "scan.dcm"
    scan.write_bytes(make_us())
    result = waypost("read", "--json", chest, scan)
    first, second = lines(result)
    assert result.exit_code == 3
    assert first["source"] == str(chest)
    assert first["sop_instance_uid"] == "1.2.3.4.5"
    assert first["state"] in {"read", "abstained"}
    assert second["state"] == "refused"
    assert second["findings"] == second["measurements"] == []
    assert second["reasons"][0]["code"] == "no_model_for_modality"


def test_read_is_0_when_all_are_read_and_4_when_one_failed(waypost, chest, tmp_path):
    assert waypost("read", chest).exit_code == 0
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(chest.read_bytes()[:-20000])
    result = waypost("read", "--json", chest, cut)
    assert result.exit_code == 4
    assert lines(result)[1]["state"] == "failed"
    assert lines(result)[1]["reasons"][0]["text"]


def test_read_shows_people_a_table(waypost, chest):
    result = waypost("read", chest)
    assert "chest.dcm" in result.stdout
    assert "cxr-pneumonia" in result.stdout


def test_research_is_printed_only_when_asked(waypost, chest):
    assert "research" not in lines(waypost("read", "--json", chest))[0]
    line = lines(waypost("read", "--json", "--research", chest))[0]
    assert 0.0 <= line["research"]["probabilities"]["pneumonia"] <= 1.0


def test_explain_writes_the_overlay(waypost, chest, tmp_path):
    line = lines(waypost("read", "--json", "--explain", tmp_path / "out", chest))[0]
    written = (tmp_path / "out" / "chest.overlay.png").is_file()
    assert written is (line["state"] == "read")


def test_a_model_that_is_not_here_is_said_in_a_sentence(waypost, chest):
    result = waypost("read", "--model", "cxr-moon", chest)
    assert result.exit_code == 1
    assert "There is no model cxr-moon here" in result.stderr


@pytest.mark.usefixtures("drawn")
def test_a_picture_is_read_and_what_is_unknown_is_said(waypost, tmp_path):
    path = tmp_path / "film.png"
    ramp = np.tile(np.linspace(0, 255, 300).astype(np.uint8), (300, 1))
    path.write_bytes(make_png(ramp))
    line = lines(waypost("read", "--json", path))[0]
    assert line["state"] in {"read", "abstained"}
    assert "no_header" in [reason["code"] for reason in line["reasons"]]


def test_a_picture_of_something_else_is_refused(waypost, tmp_path):
    path = tmp_path / "film.png"
    ramp = np.tile(np.linspace(0, 255, 300).astype(np.uint8), (300, 1))
    path.write_bytes(make_png(ramp))
    result = waypost("read", "--json", path)
    assert result.exit_code == 3
    assert lines(result)[0]["reasons"][0]["code"] == "other_kind"


def test_admit_answers_like_c_store_and_status_counts(waypost, chest, tmp_path):
    report = tmp_path / "report.dcm"
    report.write_bytes(b"no image at all")
    data = tmp_path / "data"
    result = waypost("admit", "--data", data, chest, chest, report)
    answers = [line.split()[:2] for line in result.stdout.splitlines()]
    assert answers[:2] == [["0000", "accepted"], ["0000", "duplicate"]]
    assert answers[2][1] == "quarantined"
    assert result.exit_code == 3
    status = json.loads(waypost("status", "--json", "--data", data).stdout)
    assert status["instances"]["arrived"] == 1
    assert status["instances"]["quarantined"] == 1
    assert status["disk"]["free_bytes"] > 0
    assert "cxr-pneumonia" in {model["id"] for model in status["models"]}
    assert "arrived" in waypost("status", "--data", data).stdout


def test_check_passes_here(waypost):
    result = waypost("check", "--json")
    checks = {check["code"]: check for check in json.loads(result.stdout)["checks"]}
    assert result.exit_code == 0, checks
    assert checks["database"]["ok"]
    assert any(code.startswith("model_cxr-pneumonia") for code in checks)
    assert "Database" in waypost("check").stdout


def test_models_are_listed_and_verified(waypost, tmp_path, monkeypatch):

    facts = lines(waypost("models", "list", "--json"))
    assert ("cxr-pneumonia", "whole") in {(fact["id"], fact["state"]) for fact in facts}
    assert "whole" in waypost("models", "list").stdout
    assert waypost("models", "verify").exit_code == 0
    copy = tmp_path / "models" / "cxr-pneumonia" / "9.0.0"
    shutil.copytree(manifest().directory, copy)
    (copy / "golden.npz").write_bytes(b"other")
    result = waypost("models", "verify", copy)
    assert result.exit_code == 1
    assert "sha256" in " ".join(result.stdout.split())
    monkeypatch.setenv("WAYPOST_MODELS", str(tmp_path / "models"))
    result = waypost("check", "--json")
    assert result.exit_code == 1
    assert "no model reads here" in result.stdout


def test_a_wrong_configuration_is_one_sentence(waypost, tmp_path, chest):
    path = tmp_path / "waypost.toml"
    path.write_text("[station]\ncolour = 1\n")
    result = waypost("read", "--config", path, chest)
    assert result.exit_code == 1
    assert "unknown key station.colour" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "options",
    [["--dicom", "11112"], ["--web", "127.0.0.1:x"], ["--ae-title", "a title that is too long"]],
)
def test_run_refuses_what_it_cannot_be_told(waypost, tmp_path, options):
    result = waypost("run", "--data", tmp_path / "data", *options)
    assert result.exit_code == 1
    assert result.stderr.startswith("waypost: ")
