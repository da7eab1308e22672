from __future__ import annotations

import io
from datetime import datetime, timezone
from pathlib import Path

import pytest
from rich.console import Console

from appliance import health, terminal
from appliance.domain import (
    Admission,
    AdmissionOutcome,
    Check,
    ModelSummary,
    ReadingState,
    Reason,
    SystemReport,
)
from appliance.worklist import OutboxCount, Overview
from tests.records import read, without_numbers

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("check", "ok"),
    [
        (health.check_disk(10**10, 10**9), True),
        (health.check_disk(10**9, 10**9), False),
        (health.check_clock(NOW), True),
        (health.check_clock(0.0), False),
        (health.check_outbox(None, 0, NOW), True),
        (health.check_outbox(NOW - 3600, 0, NOW), True),
        (health.check_outbox(NOW - 8 * 86400, 0, NOW), False),
        (health.check_outbox(None, 2, NOW), False),
        (health.check_process("worker", NOW - 5, NOW), True),
        (health.check_process("worker", NOW - 60, NOW), False),
        (health.check_process("worker", None, NOW), False),
        (health.check_model("m 1", None), True),
        (health.check_model("m 1", "damaged"), False),
        (health.check_backend("tensorrt", "no GPU here", chosen=False), True),
        (health.check_backend("tensorrt", "no GPU here", chosen=True), False),
    ],
)
def test_each_check_says_whether_and_why(check, ok):
    assert check.ok is ok
    assert check.text


def test_a_whole_database_is_well(store):
    assert health.check_database(store).ok


def shown(renderable) -> str:
    out = io.StringIO()
    Console(file=out, width=140).print(renderable)
    return out.getvalue()


def test_a_reading_that_cannot_answer_shows_no_number():
    text = shown(terminal.reading_table([("a.dcm", without_numbers(ReadingState.ABSTAINED))]))
    assert "not sure" in text
    assert "41" not in text
    assert "in 100" not in text


def test_a_finding_is_a_word_a_number_and_its_operating_point():
    text = " ".join(shown(terminal.reading_table([("a.dcm", read(0.82))])).split())
    said = "signs of pneumonia: likely (82 in 100, at or above the operating point 40, shipped)"
    assert said in text
    assert "cxr-pneumonia 1.0.0" in text
    assert "below the operating point" in shown(terminal.reading_table([("b", read(0.1))]))


@pytest.mark.parametrize(
    ("outcome", "reason", "status"),
    [
        (AdmissionOutcome.ACCEPTED, None, "0000"),
        (AdmissionOutcome.DUPLICATE, None, "0000"),
        (AdmissionOutcome.QUARANTINED, Reason("uid_conflict", "Other."), "0111"),
        (AdmissionOutcome.QUARANTINED, Reason("not_an_image", "None."), "C000"),
        (AdmissionOutcome.REJECTED, Reason("disk_full", "Full."), "A700"),
    ],
)
def test_the_shell_answers_like_c_store(outcome, reason, status):
    line = terminal.admission_line(Path("a.dcm"), Admission(outcome, "1.2.3", 1, reason))
    assert line.startswith(status)
    assert "a.dcm" in line


def report() -> SystemReport:
    model = ModelSummary("m", "1", "ab" * 32, "cpu", "M", "For x.", "Not y.", research_only=False)
    return SystemReport(
        station_name="Clinic",
        ae_title="WAYPOST",
        dicom_address="127.0.0.1:104",
        software_version="1",
        checks=(Check("disk", "Disk", ok=False, text="Free some space."),),
        models=(model,),
        backends={"cpu": "available"},
        disk_free_bytes=1,
        disk_total_bytes=2,
        targets=("pacs",),
    )


def test_status_tells_a_person_and_a_machine_the_same():
    at = datetime(2027, 1, 1, tzinfo=timezone.utc)
    overview = Overview(
        {"read": 2, "failed": 0}, 2, 0, (OutboxCount("pacs", 3, "ready", 2, at),), (), ()
    )
    machine = terminal.status_object(report(), overview)
    assert machine["instances"] == {"read": 2, "failed": 0}
    assert machine["outbox"][0]["lane"] == "study"
    assert machine["backend"] == "cpu"
    text = shown(terminal.status_table(report(), overview))
    assert "2 read" in text
    assert "failed" not in text
    assert "Free some space." in text


def test_packages_and_checks_are_tables():
    fact = {"id": "m", "version": "1", "sha256": "ab" * 32, "state": "whole", "title": "M"}
    assert "abababababab" in shown(terminal.package_table([fact]))
    assert "Free" in shown(terminal.check_table(report().checks))
