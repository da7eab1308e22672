"""A reading that cannot answer carries no number at any exit, whatever lies in it.

The pages' exits are in `tests/web/test_web_pages.py`, the DICOM object's pixels in
`test_secondary_capture.py`.
"""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from appliance import terminal
from appliance.domain import Measurement, Reading, ReadingState, Reason
from appliance.report.compose import json_line
from appliance.report.secondary_capture import build_result
from appliance.terminal import reading_table
from tests.report import samples

UNREAD = [ReadingState.ABSTAINED, ReadingState.REFUSED, ReadingState.FAILED]
# What a fault elsewhere might leave in a reading: every exit has to hold by itself.
NUMBER = 0.7321


def rogue(state: ReadingState) -> Reading:
    return Reading(
        state=state,
        reasons=(Reason("why", "The film is cut at the lung tops."),),
        model=samples.MODEL,
        findings=(samples.finding(NUMBER),),
        measurements=(Measurement("cardiothoracic_ratio", "Ratio", NUMBER, ""),),
        explanation=samples.explanation(),
        research={"pneumonia": NUMBER},
    )


def is_silent(text: str) -> bool:
    return not any(sign in text for sign in ("0.73", "73", "in 100", "left lower"))


@pytest.mark.parametrize("state", UNREAD)
def test_json(state: ReadingState) -> None:
    line = json_line("film", "1.2.3", rogue(state))
    assert line["findings"] == []
    assert line["measurements"] == []
    assert line["explanation"] is None
    assert is_silent(json.dumps(line))
    assert json_line("film", None, rogue(state), research=True)["research"] == {
        "probabilities": {"pneumonia": NUMBER}
    }


@pytest.mark.parametrize("state", UNREAD)
def test_table_and_line(state: ReadingState, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.console().print(reading_table([("film", rogue(state))]))
    terminal.say_reading(Path("film"), rogue(state), None, research=False)
    assert is_silent(capsys.readouterr().out)


@pytest.mark.parametrize("state", UNREAD)
def test_dicom_header(state: ReadingState) -> None:
    content = build_result(
        samples.instance(),
        samples.stored(rogue(state)),
        None,
        None,
        station_name="box",
        software_version="0.1.0",
        intended_use="Chest films.",
    )
    ds = dcmread(BytesIO(content))
    said = " ".join(
        str(element.value) for element in ds if element.VR not in {"OB", "UI", "DA", "TM", "SQ"}
    )
    assert "No result of a model" in said
    assert is_silent(said)


def test_an_answer_says_its_coverage_and_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    finding = samples.finding()
    assert finding.coverage_said == ""
    line = json_line("film", None, samples.reading(explanation=samples.explanation()))
    assert line["explanation"] == {
        "finding": "pneumonia",
        "region": {"code": "left_lower", "label": "left lower lung field"},
    }
    table = reading_table([("film", samples.reading(explanation=samples.explanation()))])
    terminal.console().print(table)
    assert "strongest in the left lower" in " ".join(capsys.readouterr().out.split())
