"""Reference results as a table of text (CSV): read whole, or refused with each line's mistake."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from appliance.domain import ReferenceKind, ReferenceOutcome
from appliance.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_W = TypeVar("_W", bound=Enum)

STUDY_COLUMNS = ("study_instance_uid", "accession_number")
NEEDED_COLUMNS = ("kind", "result", "date")
_SHOWN = 20  # mistakes that are told at once
_LONGEST_VALUE = 64


@dataclass(frozen=True, slots=True)
class ReferenceRow:
    """One line of the file.

    Parameters
    ----------
    line
        Its number in the file, from 1; the heading is line 1.
    local
        The file's other columns: name to value, without the empty ones.
    """

    line: int
    study_instance_uid: str
    accession_number: str
    kind: ReferenceKind
    outcome: ReferenceOutcome
    result_on: str
    local: Mapping[str, str] = field(default_factory=dict)


def parse(content: bytes, today: date) -> list[ReferenceRow]:
    """Read the lines of a CSV file in UTF-8, separated by comma, semicolon or tab.

    Raises
    ------
    RefusedError
        A column is missing or a line is wrong; the text names every such line. Nothing is
        returned of a file with a mistake.
    """
    lines = _lines(content)
    heading = [name.strip().lower() for name in lines[0][1]]
    _check_heading(heading)
    rows: list[ReferenceRow] = []
    mistakes = []
    for number, cells in lines[1:]:
        if not any(cell.strip() for cell in cells):
            continue
        try:
            rows.append(_row(number, heading, cells, today))
        except ValueError as error:
            mistakes.append((number, str(error)))
    refuse(mistakes)
    if not rows:
        raise RefusedError("The file has a heading and no lines.", code="reference_rows")
    return rows


def refuse(mistakes: Sequence[tuple[int, str]]) -> None:
    """Raise `RefusedError` with every mistake (line, sentence), or do nothing without one."""
    if not mistakes:
        return
    told = [f"  line {number}: {text}" for number, text in mistakes[:_SHOWN]]
    if len(mistakes) > _SHOWN:
        told.append(f"  and {len(mistakes) - _SHOWN} more")
    count = "1 line needs" if len(mistakes) == 1 else f"{len(mistakes)} lines need"
    raise RefusedError(
        "\n".join([f"Nothing was imported; {count} mending:", *told]), code="reference_rows"
    )


def _lines(content: bytes) -> list[tuple[int, list[str]]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise RefusedError(
            f"Line {line} is not UTF-8. Save the table as CSV in UTF-8.", code="reference_rows"
        ) from error
    first = text.split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    lines, start = [], 1
    try:
        for cells in reader:
            lines.append((start, cells))
            start = reader.line_num + 1
    except csv.Error as error:
        raise RefusedError(f"Line {start} is not CSV: {error}.", code="reference_rows") from error
    if not lines:
        raise RefusedError("The file is empty.", code="reference_rows")
    return lines


def _check_heading(heading: Sequence[str]) -> None:
    missing = [name for name in NEEDED_COLUMNS if name not in heading]
    if not any(name in heading for name in STUDY_COLUMNS):
        missing.insert(0, " or ".join(STUDY_COLUMNS))
    twice = sorted({name for name in heading if heading.count(name) > 1})
    if missing or twice or "" in heading:
        what = f"no column {missing[0]}" if missing else "a column without a name"
        if twice and twice != [""]:
            what = f"the column {twice[-1]} twice"
        raise RefusedError(
            f"The heading has {what}. It needs {' or '.join(STUDY_COLUMNS)}, and "
            f"{', '.join(NEEDED_COLUMNS)}; every other column is a local one.",
            code="reference_rows",
        )


def _row(number: int, heading: Sequence[str], cells: Sequence[str], today: date) -> ReferenceRow:
    if len(cells) != len(heading):
        raise ValueError(f"{len(cells)} cells under {len(heading)} headings.")
    values = {name: cell.strip() for name, cell in zip(heading, cells, strict=True)}
    study, accession = (values.pop(name, "") for name in STUDY_COLUMNS)
    if not study and not accession:
        raise ValueError("neither a study instance UID nor an accession number.")
    kind = _word(ReferenceKind, "kind", values.pop("kind"))
    outcome = _word(ReferenceOutcome, "result", values.pop("result"))
    result_on = day_of(values.pop("date"), today)
    long = [name for name, value in values.items() if len(value) > _LONGEST_VALUE]
    if long:
        raise ValueError(f"{long[0]} has more than {_LONGEST_VALUE} characters.")
    local = {name: value for name, value in values.items() if value}
    return ReferenceRow(number, study, accession, kind, outcome, result_on, local)


def _word(words: type[_W], column: str, text: str) -> _W:
    try:
        return words(text.lower())
    except ValueError:
        known = ", ".join(str(word) for word in words)
        raise ValueError(f"{column} is {text!r}; write one of {known}.") from None


def day_of(text: str, today: date) -> str:
    """Return a day as it is written, when it is one and not after `today`.

    Raises
    ------
    ValueError
        The text says what is wrong with it.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise ValueError(f"date is {text!r}; write it as 2026-03-01.")
    if day > today:
        raise ValueError(f"date is {text}, which is still to come.")
    return text
