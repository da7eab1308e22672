"""What the command line shows a person: one line a fact, aligned, plain when piped."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from appliance.domain import RESEARCH_ONLY, AdmissionOutcome, Lane, ReadingState
from appliance.report.compose import json_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from appliance.domain import (
        Admission,
        Check,
        DecodedImage,
        Measurement,
        Reading,
        SystemReport,
    )
    from appliance.worklist import Overview

_MARKS: dict[ReadingState, tuple[str, str, str]] = {
    # state: mark, plain mark, style (the colours of the pages)
    ReadingState.READ: ("●", "*", "#1F6F43"),
    ReadingState.ABSTAINED: ("◆", "?", "#8A5A00"),
    ReadingState.REFUSED: ("▢", "-", "#5B4B8A"),
    ReadingState.FAILED: ("✕", "x", "#5F6B70"),
}
_STATE_WORDS = {
    ReadingState.READ: "read",
    ReadingState.ABSTAINED: "not sure",
    ReadingState.REFUSED: "not read",
    ReadingState.FAILED: "failed",
}


def console() -> Console:
    """Return the console for people: colour and width only on a terminal."""
    return Console(soft_wrap=False, highlight=False, width=None if sys.stdout.isatty() else 110)


def say(text: str) -> None:
    """Print one line at once, also into a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say_json(value: Any) -> None:
    """Print one JSON value on one line."""
    say(json.dumps(value, ensure_ascii=False))


def say_reading(
    path: Path, reading: Reading, image: DecodedImage | None, *, research: bool
) -> None:
    """Print one reading as a JSON line."""
    uid = None if image is None else image.header.sop_instance_uid
    say_json(json_line(str(path), uid, reading, research=research))


# C-STORE status (PS3.4 B.2.3) of each outcome; a conflict is told from what is not understood.
_STATUSES = {AdmissionOutcome.ACCEPTED: "0000", AdmissionOutcome.DUPLICATE: "0000"}


def admission_line(path: Path, admission: Admission) -> str:
    """Return the door's answer for one file: status, word, UID, file, reason."""
    reason = admission.reason
    status = _STATUSES.get(admission.outcome)
    if status is None and reason is not None:
        status = {"uid_conflict": "0111", "disk_full": "A700"}.get(reason.code, "C000")
    line = f"{status or 'C000'}  {admission.outcome!s:<11}  {admission.sop_instance_uid or '-'}"
    return f"{line}  {path}" + ("" if reason is None else f"  {reason.text}")


def reading_table(rows: Iterable[tuple[str, Reading]]) -> Table:
    """Return a table of readings: name, state, what was found, by which model."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("file", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("the box's reading", ratio=1)
    table.add_column("model", no_wrap=True)
    table.add_column("ms", justify="right", no_wrap=True)
    for name, reading in rows:
        table.add_row(
            name, _state(reading), _what(reading), _model(reading), f"{reading.timings.total:.0f}"
        )
    return table


def _state(reading: Reading) -> Text:
    mark, plain, style = _MARKS[reading.state]
    shown = mark if _unicode() else plain
    return Text(f"{shown} {_STATE_WORDS[reading.state]}", style=style)


def _unicode() -> bool:
    return "utf" in (sys.stdout.encoding or "").lower()


def _what(reading: Reading) -> str:
    if reading.state is not ReadingState.READ:
        return reading.reasons[0].text if reading.reasons else ""
    found = [
        f"{finding.signs}: {finding.word} ({finding.number} in 100,"
        f" {'at or above' if finding.positive else 'below'} the operating point"
        f" {finding.operating_point.threshold * 100:.0f}, {finding.operating_point.state})"
        for finding in reading.findings
    ]
    drawn = reading.explanation
    place = [] if drawn is None or drawn.region is None else [f"strongest {drawn.region.place}"]
    return "; ".join([*found, *place, *(_measured(item) for item in reading.measurements)])


def _measured(item: Measurement) -> str:
    if item.unit == "1":  # a share, without a unit
        return f"{item.label}: {item.value:.0%}"
    return f"{item.label}: {item.value:g} {item.unit}"


def _model(reading: Reading) -> str:
    model = reading.model
    if model is None:
        return ""
    return f"{model.id} {model.version}" + (f"\n{RESEARCH_ONLY}" if model.research_only else "")


def check_table(checks: Sequence[Check]) -> Table:
    """Return a table of self-tests."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for check in checks:
        mark = ("●" if check.ok else "✕") if _unicode() else ("ok" if check.ok else "!!")
        style = "#1F6F43" if check.ok else "#B3261E"
        table.add_row(Text(mark, style=style), check.label, check.text)
    return table


def fact_table(rows: Iterable[tuple[str, str]]) -> Table:
    """Return a table of facts: label and value."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for label, value in rows:
        table.add_row(Text(label, style="bold"), value)
    return table


def package_table(facts: Iterable[Mapping[str, str]]) -> Table:
    """Return a table of model packages."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("model", "version", "sha256", "state", "title"):
        table.add_column(column)
    for fact in facts:
        table.add_row(
            fact["id"], fact["version"], fact["sha256"][:12], fact["state"], fact["title"]
        )
    return table


def status_object(report: SystemReport, overview: Overview) -> dict[str, Any]:
    """Return what ``waypost status --json`` prints."""
    return {
        "station": {
            "name": report.station_name,
            "ae_title": report.ae_title,
            "dicom": report.dicom_address,
            "software_version": report.software_version,
        },
        "instances": dict(overview.by_state),
        "cases": {"open": overview.open_cases, "reviewed": overview.reviewed_cases},
        "outbox": [
            {
                "target": item.target,
                "lane": Lane(item.lane).name.lower(),
                "state": item.state,
                "count": item.count,
                "oldest_at": item.oldest_at.isoformat(),
            }
            for item in overview.outbox
        ],
        "disk": {
            "free_bytes": report.disk_free_bytes,
            "total_bytes": report.disk_total_bytes,
        },
        "models": [asdict(model) for model in report.models],
        "backend": report.models[0].backend if report.models else None,
        "backends": dict(report.backends),
        "health": [asdict(check) for check in report.checks],
    }


def status_table(report: SystemReport, overview: Overview) -> Group:
    """Return what ``waypost status`` shows a person."""
    states = ", ".join(f"{n} {state}" for state, n in overview.by_state.items() if n)
    rows = [
        ("station", f"{report.station_name}, Waypost {report.software_version}"),
        ("DICOM", f"{report.ae_title} at {report.dicom_address}"),
        ("cases", f"{overview.open_cases} open, {overview.reviewed_cases} reviewed"),
        ("instances", states or "none yet"),
        *(("model", f"{m.id} {m.version} on {m.backend}") for m in report.models),
        *(
            (f"to {i.target}", f"{i.count} {i.state}, lane {Lane(i.lane).name.lower()}")
            for i in overview.outbox
        ),
    ]
    return Group(fact_table(rows), Text(""), check_table(report.checks))
