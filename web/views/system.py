"""The system page: how the box is, for the technician."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Blueprint, render_template

from appliance.domain import Lane
from web import words
from web.state import pages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from appliance.worklist import Heartbeat, OutboxCount

VIEW = Blueprint("system", __name__)
# A process that has said nothing for this long is shown as silent.
SILENT_AFTER_S = 60.0

LANES = {
    Lane.REPORT: "readings",
    Lane.PREVIEW: "previews",
    Lane.KEY_IMAGES: "key films",
    Lane.STUDY: "whole studies",
}


@dataclass(frozen=True, slots=True)
class _LaneRow:
    """One target and lane of the outbox: how many wait, are done, or were refused."""

    target: str
    lane: str
    waiting: int
    delivered: int
    dead: int
    oldest: str


@dataclass(frozen=True, slots=True)
class _Beat:
    """A process and when it last gave a sign of life."""

    role: str
    detail: str
    ago: str
    alive: bool


@VIEW.get("/system")
def show() -> str:
    """Return the page."""
    held = pages()
    overview = held.services.worklist.overview()
    now = held.now()
    return render_template(
        "system.html",
        report=held.services.system(),
        overview=overview,
        lanes=_lanes(overview.outbox, now),
        beats=[_beat(beat, now) for beat in overview.heartbeats],
        here="system",
    )


def _lanes(counts: Sequence[OutboxCount], now: datetime) -> list[_LaneRow]:
    grouped: dict[tuple[str, int], list[OutboxCount]] = defaultdict(list)
    for count in counts:
        grouped[count.target, count.lane].append(count)
    return [_lane(key, group, now) for key, group in sorted(grouped.items())]


def _lane(key: tuple[str, int], counts: Sequence[OutboxCount], now: datetime) -> _LaneRow:
    waits = [count for count in counts if count.state in {"ready", "leased"}]
    oldest = min((count.oldest_at for count in waits), default=None)
    return _LaneRow(
        target=key[0],
        lane=LANES[Lane(key[1])],
        waiting=sum(count.count for count in waits),
        delivered=sum(count.count for count in counts if count.state == "delivered"),
        dead=sum(count.count for count in counts if count.state == "dead"),
        oldest="" if oldest is None else words.waiting((now - oldest).total_seconds()),
    )


def _beat(beat: Heartbeat, now: datetime) -> _Beat:
    silence_s = (now - beat.at).total_seconds()
    return _Beat(
        role=beat.role,
        # The worker's detail is a record for the report above, not a line for people.
        detail="" if beat.detail.startswith("{") else beat.detail,
        ago=words.waiting(silence_s),
        alive=silence_s < SILENT_AFTER_S,
    )
