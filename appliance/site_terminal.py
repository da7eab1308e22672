"""What the command line shows of a site's own figures: calibration, choices, the watch."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from appliance import drift
from appliance.site_calibration import roc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.calibrating import Paired, Report
    from appliance.domain import ChosenPoint
    from appliance.manifest import Interval
    from appliance.references import Imported
    from appliance.signing import Entry
    from appliance.site_calibration import ThresholdFigures
    from appliance.watch import Watched

_GOOD, _BAD, _QUIET = "#1F6F43", "#B3261E", "#5F6B70"
_BARS, _PLAIN_BARS = "▁▂▃▄▅▆▇█", "_.-~=+*#"
_CORNERS = 200  # corners of the ROC curve that are printed for machines


def imported_line(imported: Imported) -> str:
    """Return what an import did."""
    counts = ", ".join(f"{count} {word}" for word, count in imported.by_outcome.items())
    total = sum(imported.by_outcome.values())
    done = "imported" if imported.kept else "would be imported (nothing was kept)"
    return f"{total} reference results {done}: {counts}"


def report_text(report: Report) -> Group:
    """Return the site's figures for a person."""
    subject, gathered = report.subject, report.gathered
    cohort = gathered.cohort
    prevalence = report.question.prevalence
    at = f"{cohort.prevalence:.1%}, the sample's own" if prevalence is None else f"{prevalence:.1%}"
    kinds = ", ".join(str(kind) for kind in report.question.kinds)
    facts = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for label, value in (
        ("model", f"{subject.model_id} {subject.model_version}, {subject.channel} films"),
        ("reference", f"{cohort.n_positive} positive, {cohort.n_negative} negative ({kinds})"),
        (
            "left out",
            f"{gathered.n_unknown} unknown, {gathered.n_without_score} without a score",
        ),
        (
            "not sure",
            f"of {gathered.n_abstained} the box was not sure; they count by their score",
        ),
        ("AUROC", _interval(report.auroc, 1, 3)),
        ("positives", at),
        ("in use", f"{report.current.threshold * 100:.1f} in 100, {report.current_name}"),
    ):
        facts.add_row(Text(label, style="bold"), value)
    return Group(facts, Text(""), _threshold_table(report), Text(""), _strata_table(report))


def _threshold_table(report: Report) -> Table:
    table = _table()
    columns = ["threshold", "sensitivity %", "specificity %", "PPV %", "NPV %", "found", "tests"]
    columns += ["tests a case"] + (["cost a case"] if report.question.costs else [])
    for column in columns:
        table.add_column(column, justify="right", no_wrap=column != "threshold")
    marks = {
        report.suggested.threshold: f"finds {report.question.needs.sensitivity:.0%}",
        report.shipped.threshold: "as shipped",
        report.current.threshold: "in use",
    }
    named = {row.threshold: row for row in (report.suggested, report.shipped, report.current)}
    rows = {**{row.threshold: row for row in report.rows}, **named}
    for threshold in sorted(rows):
        row, mark = rows[threshold], marks.get(threshold, "")
        cells = [
            f"{mark + ' ' if mark else ''}{threshold * 100:.1f}",
            _interval(row.sensitivity),
            _interval(row.specificity),
            _interval(row.ppv),
            _interval(row.npv),
            f"{row.found_per_100:.1f}",
            f"{row.tests_per_100:.1f}",
            _number(row.tests_per_case),
        ]
        cells += [_number(row.cost_per_case)] if report.question.costs else []
        table.add_row(*cells, style="bold" if mark else "")
    table.caption = "found, tests: among 100 people; 95 % intervals in brackets"
    table.caption_justify = "left"
    return table


def _strata_table(report: Report) -> Table:
    needs = report.question.needs
    table = _table()
    for column in ("part", "positive", "negative", "AUROC", "sensitivity %", "specificity %"):
        table.add_column(column, justify="left" if column == "part" else "right")
    for part in report.strata:
        known = part.figures is not None
        table.add_row(
            f"{part.name}: {part.value}",
            str(part.n_positive),
            str(part.n_negative),
            _interval(part.auroc, 1, 3) if known else Text("too small", style=_QUIET),
            _interval(part.figures.sensitivity) if part.figures else "",
            _interval(part.figures.specificity) if part.figures else "",
        )
    table.caption = (
        f"at the threshold in use; a part needs {needs.n_positive} positive and"
        f" {needs.n_negative} negative"
    )
    table.caption_justify = "left"
    return table


def _table() -> Table:
    return Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))


def _interval(interval: Interval | None, scale: float = 100.0, digits: int = 0) -> str:
    if interval is None or math.isnan(interval.value):
        return "-"
    value, low, high = (scale * end for end in (interval.value, interval.low, interval.high))
    return f"{value:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def report_object(report: Report) -> dict[str, Any]:
    """Return what ``waypost calibrate report --json`` prints."""
    subject, question, gathered = report.subject, report.question, report.gathered
    cohort = gathered.cohort
    false, found, thresholds = roc(cohort)
    step = max(1, math.ceil(len(false) / _CORNERS))
    corners = sorted({*range(0, len(false), step), len(false) - 1})
    return {
        "model": {
            "id": subject.model_id,
            "version": subject.model_version,
            "sha256": subject.model_sha256,
        },
        "output": subject.output,
        "channel": str(subject.channel),
        "reference_kinds": [str(kind) for kind in question.kinds],
        "n_positive": cohort.n_positive,
        "n_negative": cohort.n_negative,
        "n_unknown": gathered.n_unknown,
        "n_without_score": gathered.n_without_score,
        "n_abstained": gathered.n_abstained,
        "cohort_sha256": gathered.digest,
        "prevalence": cohort.prevalence if question.prevalence is None else question.prevalence,
        "wanted": asdict(question.needs),
        "costs": asdict(question.costs) if question.costs else None,
        "auroc": asdict(report.auroc),
        "roc": [
            {
                "threshold": float(thresholds[i]) if math.isfinite(thresholds[i]) else None,
                "sensitivity": float(found[i]),
                "specificity": 1 - float(false[i]),
            }
            for i in corners
        ],
        "thresholds": [_figures(row) for row in report.rows],
        "in_use": {"name": report.current_name, **_figures(report.current)},
        "as_shipped": _figures(report.shipped),
        "suggested": _figures(report.suggested),
        "strata": [asdict(part) for part in report.strata],
    }


def _figures(row: ThresholdFigures) -> dict[str, Any]:
    return asdict(row)


def chosen_line(point: ChosenPoint) -> str:
    """Return what was chosen."""
    return (
        f"{point.model_id} {point.model_version}, {point.channel} films: operating point"
        f" {point.threshold * 100:.1f} in 100, {point.name}; it holds from the next film on"
    )


def paired_line(paired: Paired) -> str:
    """Return what a paired run found."""
    found = paired.mapped
    return (
        f"{found.n} stored images, {found.n_positive} of them abnormal to {paired.old_version} on"
        f" {paired.old_backend}; at the mapped point {found.lost} of these are missed (at most"
        f" {found.loss_bound * 100:.1f} in 100, 95 % sure) and {found.gained} others called"
        f" abnormal; the old threshold would have missed {found.lost_unmapped}"
    )


def record_text(entries: Sequence[Entry], troubles: Sequence[str]) -> Group:
    """Return the signed record, and whether it is whole."""
    table = _table()
    for column in ("", "day", "model", "films", "in 100", "by", "why"):
        table.add_column(column)
    for place, entry in enumerate(entries, start=1):
        told = entry.content
        table.add_row(
            str(place),
            told["chosen_at"][:10],
            f"{told['model']['id']} {told['model']['version']}",
            told["channel"],
            f"{told['threshold'] * 100:.1f}",
            told["by"],
            told["reason"],
        )
    if troubles:
        verdict = Text("\n".join(troubles), style=_BAD)
    elif entries:
        verdict = Text("The record is whole.", style=_GOOD)
    else:
        verdict = Text("Nothing was chosen here; every model uses what its package brings.")
    return Group(table, Text(""), verdict) if entries else Group(verdict)


def watched_object(watched: Watched) -> dict[str, Any]:
    """Return one stream as ``waypost drift --json`` prints it."""
    return {
        "station": watched.key.station,
        "model": {"id": watched.key.model_id, "version": watched.key.model_version},
        "channel": str(watched.key.channel),
        "images": watched.stream.seen,
        "updated_at": watched.updated_at.isoformat(),
        "false_alarm_in_images": drift.FALSE_ALARM_IMAGES,
        "alarms": [{**asdict(alarm), "text": alarm.text} for alarm in watched.stream.alarms()],
        "statistics": {
            name: {
                "seen": track.seen,
                "watching": track.watching,
                "sums": track.sums,
                "chart": track.chart,
            }
            for name, track in watched.stream.tracks.items()
            if track.seen
        },
    }


def watch_text(states: Sequence[Watched]) -> Group:
    """Return the stations with a small chart of each statistic."""
    if not states:
        return Group(Text("No image was watched yet."))
    parts: list[Any] = []
    for watched in states:
        key = watched.key
        parts += [
            Text(
                f"{key.station}  {key.model_id} {key.model_version}, {key.channel} films,"
                f" {watched.stream.seen} images",
                style="bold",
            ),
            _tracks(watched),
            *(Text(f"{_urgent()} {alarm.text}", style=_BAD) for alarm in watched.stream.alarms()),
            Text(""),
        ]
    rate = f"One false alarm in {drift.FALSE_ALARM_IMAGES} stable images of a station."
    return Group(*parts, Text(rate, style=_QUIET))


def _tracks(watched: Watched) -> Table:
    table = _table()
    table.show_header = False
    for name, track in watched.stream.tracks.items():
        if not track.seen:
            continue
        if track.alarm is not None:
            state = Text(f"alarm: {track.alarm}", style=_BAD)
        elif track.watching:
            state = Text("as usual", style=_GOOD)
        else:
            state = Text(f"learning, {track.seen} of {drift.REFERENCE}", style=_QUIET)
        table.add_row(f"  {name}", _bars(track.chart), state)
    return table


def _urgent() -> str:
    return "▲" if _unicode() else "!!"


def _unicode() -> bool:
    return "utf" in (sys.stdout.encoding or "").lower()


def _bars(values: Sequence[float]) -> str:
    """Return a chart of one line: each bar is a mean over some images, low to high."""
    bars = _BARS if _unicode() else _PLAIN_BARS
    low, high = min(values, default=0.0), max(values, default=0.0)
    span = high - low or 1.0
    return "".join(bars[round((value - low) / span * (len(bars) - 1))] for value in values)
