"""The sheet of a reading: the film with its overlay, and what the box says, at its edge."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import cv2
import numpy as np

from appliance.domain import HEAT_LIMITS, RESEARCH_ONLY, PointState, ReadingState
from appliance.report.overlay import blend, fitted, ramp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from appliance.domain import Finding, Reading, StoredReading

    Picture = NDArray[np.uint8]
    Colour = tuple[int, int, int]

LIMITS = "supports a trained person; does not rule out disease; not a certified medical device"
NOT_SURE = "not sure: a person should read this first"

FILM_SIDE = 768
PANEL_WIDTH = 432
_MARGIN = 24
_INNER = PANEL_WIDTH - 2 * _MARGIN

# The reading room's colours as RGB; the states' own are lightened for its dark ground.
_GROUND: Colour = (11, 15, 18)
_TEXT: Colour = (201, 211, 214)
_STRONG: Colour = (240, 244, 244)
_QUIET: Colour = (146, 160, 166)
_RULE: Colour = (46, 58, 64)
_FILL: Colour = (126, 190, 194)
_URGENT: Colour = (255, 140, 128)
_UNSURE: Colour = (232, 184, 96)
_UNFIT: Colour = (186, 170, 240)
_FAILED: Colour = (170, 182, 188)

_READ: Colour = (124, 203, 155)


@dataclass(frozen=True, slots=True)
class _Line:
    """One row of the panel: a text, the bar of a finding, the heat map's legend or a rule."""

    text: str = ""
    size: float = 0.5
    colour: Colour = _TEXT
    bold: bool = False
    gap: int = 6
    kind: Literal["text", "bar", "legend", "rule", "mark", "state"] = "text"
    finding: Finding | None = None

    @property
    def height(self) -> int:
        """Pixels that the row takes, without its gap."""
        fixed = {"bar": 34, "legend": 30, "rule": 1, "mark": 34, "state": 0}
        return fixed.get(self.kind, round(30 * self.size) + 4)


def draw_sheet(
    stored: StoredReading,
    film: Picture | None,
    heat: Picture | None,
    *,
    software_version: str,
    intended_use: str,
) -> Picture:
    """Return the sheet: film at the left, words at the right, never one over the other.

    Parameters
    ----------
    stored
        The reading; only one that is `READ` shows numbers or a heat map.
    film
        uint8, (rows, columns, 3) BGR, or None when there is no picture to show.
    heat
        uint8, (any rows, any columns, 4) BGRA, or None.
    software_version, intended_use
        Printed as they are.

    Returns
    -------
    ndarray
        uint8, (rows, columns, 3) RGB.
    """
    reading = stored.reading
    shows_heat = heat is not None and film is not None and reading.state is ReadingState.READ
    top = [*_heading(reading), *_result(reading)]
    if shows_heat:
        top += [
            _Line("where the model looked", 0.42, _QUIET, gap=20),
            _Line(kind="legend", gap=4),
            *_looked(reading),
        ]
    bottom = _origin(stored, software_version, intended_use)
    picture = _picture(film, heat if shows_heat else None)
    needed = _height(top) + _height(bottom) + 3 * _MARGIN
    rows = max(picture.shape[0], needed)
    sheet = np.full((rows, picture.shape[1] + PANEL_WIDTH, 3), _GROUND, np.uint8)
    offset = (rows - picture.shape[0]) // 2
    sheet[offset : offset + picture.shape[0], : picture.shape[1]] = picture
    panel = np.ascontiguousarray(sheet[:, picture.shape[1] :])
    cv2.line(panel, (0, 0), (0, rows), _RULE, 1)
    _draw(panel, top, _MARGIN)
    _draw(panel, bottom, rows - _MARGIN - _height(bottom))
    sheet[:, picture.shape[1] :] = panel
    return sheet


def _looked(reading: Reading) -> list[_Line]:
    """Say in words where the evidence is strongest, and what the map is worth."""
    drawn, lines = reading.explanation, []
    if drawn is not None and drawn.region is not None:
        lines = _wrapped(f"strongest {drawn.region.place}", 0.5, _TEXT, gap=8)
    return lines + _wrapped(HEAT_LIMITS, 0.42, _QUIET, gap=6)


def likelihood(finding: Finding) -> str:
    """Return a finding's word and number: ``likely (82 in 100)``."""
    return f"{finding.word} ({finding.number} in 100)"


def _heading(reading: Reading) -> list[_Line]:
    word, colour = _state(reading)
    return [
        _Line(word, 0.5, colour, bold=True, gap=0, kind="state"),
        _Line("the box's reading", 0.58, _STRONG, bold=True, gap=0, kind="mark"),
        _Line(kind="rule", gap=10),
        *_research(reading),
    ]


def _research(reading: Reading) -> list[_Line]:
    if reading.model is None or not reading.model.research_only:
        return []
    return [_Line(RESEARCH_ONLY, 0.72, _UNSURE, bold=True, gap=14)]


def _state(reading: Reading) -> tuple[str, Colour]:
    """Return the word and the colour of a state; `_draw_state` gives it its shape."""
    if reading.state is ReadingState.READ:
        is_urgent = any(finding.positive for finding in reading.findings)
        return ("urgent", _URGENT) if is_urgent else ("read", _READ)
    return {
        ReadingState.ABSTAINED: ("not sure", _UNSURE),
        ReadingState.REFUSED: ("not fit to read", _UNFIT),
    }.get(reading.state, ("failed", _FAILED))


def _result(reading: Reading) -> list[_Line]:
    if reading.state is ReadingState.READ:
        lines = [line for finding in reading.findings for line in _finding(finding)]
        lines += [
            _Line(f"{_lower(item.label)}: {_value(item.value)} {item.unit}".strip(), 0.55, gap=12)
            for item in reading.measurements
        ]
        return lines or [_Line("read; see the measurements of the box", 0.55, gap=16)]
    if reading.state is ReadingState.ABSTAINED:
        lines = _wrapped(NOT_SURE, 0.8, _UNSURE, bold=True, gap=18)
    else:
        colour = _UNFIT if reading.state is ReadingState.REFUSED else _FAILED
        lines = _wrapped("not read by the box: a person must read it", 0.8, colour, bold=True)
    for reason in reading.reasons:
        if not any(sign.isdigit() for sign in reason.text):  # no number leaves it
            lines += _wrapped(reason.text, 0.5, _TEXT, gap=14)
    return lines


def _finding(finding: Finding) -> list[_Line]:
    colour = _URGENT if finding.positive else _STRONG
    point = finding.operating_point
    side = "at or above" if finding.positive else "below"
    mark = math.floor(point.threshold * 100 + 0.5)
    said = f"{side} the operating point {point.name.replace('_', ' ')} ({mark} in 100)"
    if point.state is PointState.UNPROVED:
        said += f", {point.state}"
    return [
        *_wrapped(f"{finding.signs}:", 0.6, _TEXT, gap=18),
        *_wrapped(likelihood(finding), 0.92, colour, bold=True, gap=4),
        _Line(kind="bar", gap=10, finding=finding, colour=colour),
        *_wrapped(said, 0.44, _QUIET, gap=2),
        *(_wrapped(finding.coverage_said, 0.4, _QUIET, gap=4) if finding.coverage_said else []),
    ]


def _origin(stored: StoredReading, software_version: str, intended_use: str) -> list[_Line]:
    model = stored.reading.model
    facts = []
    if model is not None:
        facts = [
            ("model", f"{model.id} {model.version}"),
            ("sha256", model.sha256[:12]),
            ("engine", model.backend),
        ]
    facts += [
        ("date", stored.created_at.strftime("%Y-%m-%d %H:%M UTC")),
        ("software", f"Waypost {software_version}"),
    ]
    lines = [_Line(kind="rule", gap=0)]
    for index, (name, value) in enumerate(facts):
        gap = 14 if index == 0 else 2
        lines += _wrapped(f"{name}  {value}", 0.42, _TEXT, gap=gap)
    if intended_use:
        lines += _wrapped(f"for: {intended_use}", 0.42, _QUIET, gap=12)
    return lines + _wrapped(LIMITS, 0.42, _STRONG, gap=12)


def _picture(film: Picture | None, heat: Picture | None) -> Picture:
    """Return the film with its overlay as RGB, no side longer than `FILM_SIDE`."""
    if film is None:
        return np.full((1, 1, 3), _GROUND, np.uint8)
    rows, columns = fitted(film.shape[0], film.shape[1], FILM_SIDE)
    small = cast("Picture", cv2.resize(film, (columns, rows), interpolation=cv2.INTER_AREA))
    if heat is not None:
        small = blend(small, heat)
    return cast("Picture", cv2.cvtColor(small, cv2.COLOR_BGR2RGB))


def _height(lines: Sequence[_Line]) -> int:
    return sum(line.gap + line.height for line in lines)


def _draw(panel: Picture, lines: Sequence[_Line], top: int) -> None:
    for line in lines:
        top += line.gap
        if line.kind == "bar" and line.finding is not None:
            _draw_bar(panel, line.finding, line.colour, top)
        elif line.kind == "legend":
            _draw_legend(panel, top)
        elif line.kind == "rule":
            cv2.line(panel, (_MARGIN, top), (_MARGIN + _INNER, top), _RULE, 1)
        elif line.kind == "state":
            _draw_state(panel, line, top)
        elif line.kind == "mark":
            _draw_mark(panel, top)
            _write(panel, line, (_MARGIN + 34, top + 24))
        else:
            _write(panel, line, (_MARGIN, top + round(24 * line.size) + 2))
        top += line.height


def _draw_bar(panel: Picture, finding: Finding, colour: Colour, top: int) -> None:
    """Draw the probability as a bar, with the operating point marked on it."""
    left, bottom = _MARGIN, top + 18
    length = round(_INNER * min(max(finding.probability, 0.0), 1.0))
    cv2.rectangle(panel, (left, top + 6), (left + _INNER, bottom), _RULE, cv2.FILLED)
    cv2.rectangle(panel, (left, top + 6), (left + length, bottom), colour, cv2.FILLED)
    mark = left + round(_INNER * min(max(finding.operating_point.threshold, 0.0), 1.0))
    cv2.line(panel, (mark, top), (mark, bottom + 6), _GROUND, 6)
    cv2.line(panel, (mark, top), (mark, bottom + 6), _STRONG, 2)


def _draw_legend(panel: Picture, top: int) -> None:
    colours = np.repeat(ramp()[None], 10, axis=0)
    strip = cv2.resize(colours, (_INNER, 10), interpolation=cv2.INTER_LINEAR)
    panel[top : top + 10, _MARGIN : _MARGIN + _INNER] = strip
    _write(panel, _Line("less", 0.4, _QUIET), (_MARGIN, top + 26))
    width = _width("more", 0.4, bold=False)
    _write(panel, _Line("more", 0.4, _QUIET), (_MARGIN + _INNER - width, top + 26))


def _draw_mark(panel: Picture, top: int) -> None:
    """Draw the project's mark: a signpost with one arm."""
    left = _MARGIN
    cv2.rectangle(panel, (left + 7, top + 2), (left + 10, top + 31), _FILL, cv2.FILLED)
    arm = [(left, top + 6), (left + 19, top + 6), (left + 25, top + 11)]
    arm += [(left + 19, top + 16), (left, top + 16)]
    cv2.fillPoly(panel, [np.array(arm, np.int32)], _FILL, cv2.LINE_AA)


def _draw_state(panel: Picture, line: _Line, top: int) -> None:
    """Write the state at the right of the heading, behind its shape: never colour alone."""
    left = _MARGIN + _INNER - _width(line.text, line.size, bold=True)
    _write(panel, line, (left, top + 24))
    x, y = left - 15, top + 18
    if line.text in {"urgent", "not sure"}:
        triangle = [(x, y - 7), (x + 8, y + 6), (x - 8, y + 6)]
        diamond = [(x, y - 8), (x + 7, y), (x, y + 8), (x - 7, y)]
        corners = triangle if line.text == "urgent" else diamond
        cv2.fillPoly(panel, [np.array(corners, np.int32)], line.colour, cv2.LINE_AA)
    elif line.text == "read":
        cv2.circle(panel, (x, y), 6, line.colour, cv2.FILLED, cv2.LINE_AA)
    elif line.text == "failed":
        cv2.line(panel, (x - 5, y - 5), (x + 5, y + 5), line.colour, 2, cv2.LINE_AA)
        cv2.line(panel, (x - 5, y + 5), (x + 5, y - 5), line.colour, 2, cv2.LINE_AA)
    else:
        cv2.rectangle(panel, (x - 6, y - 6), (x + 6, y + 6), line.colour, 2)


def _write(panel: Picture, line: _Line, origin: tuple[int, int]) -> None:
    text = _ascii(line.text)
    cv2.putText(panel, text, origin, _font(bold=line.bold), line.size, line.colour, 1, cv2.LINE_AA)


def _wrapped(
    text: str, size: float, colour: Colour, *, bold: bool = False, gap: int = 18
) -> list[_Line]:
    """Return `text` as rows that fit the panel; a single word that does not is cut."""
    rows = [""]
    for word in _ascii(text).split(" "):
        longer = f"{rows[-1]} {word}" if rows[-1] else word
        if rows[-1] and _width(longer, size, bold=bold) > _INNER:
            rows.append(word)
        else:
            rows[-1] = longer
        while len(rows[-1]) > 1 and _width(rows[-1], size, bold=bold) > _INNER:
            rows[-1] = rows[-1][:-1]
    return [
        _Line(row, size, colour, bold, gap if index == 0 else 2) for index, row in enumerate(rows)
    ]


def _width(text: str, size: float, *, bold: bool) -> int:
    measured: Any = cv2.getTextSize(text, _font(bold=bold), size, 1)
    return int(measured[0][0])


def _font(*, bold: bool) -> int:
    return cv2.FONT_HERSHEY_DUPLEX if bold else cv2.FONT_HERSHEY_SIMPLEX


def _ascii(text: str) -> str:
    """Return what the drawn fonts have: letters without accents, plain dashes and quotes."""
    plain = text.translate(
        {
            0x2018: "'",
            0x2019: "'",
            0x201C: '"',
            0x201D: '"',
            0x2013: "-",
            0x2014: "-",
            0x2026: "...",
        }
    )
    folded = unicodedata.normalize("NFKD", plain)
    kept = "".join(sign for sign in folded if not unicodedata.combining(sign))
    return kept.encode("ascii", "replace").decode("ascii").replace("\n", " ")


def _lower(label: str) -> str:
    return label if label[1:2].isupper() else label[:1].lower() + label[1:]


def _value(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}".rstrip("0").rstrip(".")
