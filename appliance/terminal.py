"""What the command line shows a person: one line a fact, aligned, plain when piped."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from appliance.domain import Check, Reading, ReadingState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
    return "; ".join(
        f"signs of {finding.label.lower()}: {probability_word(finding.probability)}"
        f" ({finding.probability * 100:.0f} in 100,"
        f" {'at or above' if finding.positive else 'below'} the operating point"
        f" {finding.operating_point.threshold * 100:.0f})"
        for finding in reading.findings
    )


def probability_word(probability: float) -> str:
    """Return unlikely (below 20 in 100), possible (below 50), likely (below 80) or very likely."""
    for bound, word in ((0.2, "unlikely"), (0.5, "possible"), (0.8, "likely")):
        if probability < bound:
            return word
    return "very likely"


def _model(reading: Reading) -> str:
    return "" if reading.model is None else f"{reading.model.id} {reading.model.version}"


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
