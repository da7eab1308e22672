"""Has something changed at a sending station? Watched without labels. Pure: value in, value out.

Each station, model version and channel is a stream of its own. The first `REFERENCE` images of a
stream say what is usual there; every later image is held against them by cumulative sums (Page,
Biometrika 41:100, 1954). A score, a brightness or a distance enters by its rank among the reference
values, so that the limits hold whatever their distribution is; a rate enters by its likelihood
ratio (Reynolds and Stoumbos, Journal of Quality Technology 31:87, 1999). `bench/drift.py` finds the
limits by simulation and measures what they give (docs/drift.md).
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left, bisect_right, insort
from dataclasses import asdict, dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

REFERENCE = 300
"""Images that say what is usual at a station."""

SUMMARY_BYTES = 2048

# The limits of the cumulative sums, as `bench/drift.py --limits` finds them: all directions below
# together raise at most one false alarm in so many stable images of a stream.
FALSE_ALARM_IMAGES = 5000
RANK_LIMIT = 20.0
RATE_LIMIT = 12.0

_SLACK = 0.25  # standard deviations; half the shift of the mean that is to be found soonest
_ODDS = 2.5  # change of the odds of a rate that is to be found soonest
_BLOCK = 20  # images a point of the chart
_POINTS = 24  # points of the chart
_DETAIL_PX = 512
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Observation:
    """What one image tells of its station; None where the image does not tell it.

    Parameters
    ----------
    score
        Calibrated probability, 0 to 1, also of an image that the box abstained from.
    brightness
        Mean grey level, 0 to 255, of an image that is fit to read.
    detail
        Fine structure of such an image (`detail_of`): low where blurred, high where noisy.
    distance
        Distance of the image's embedding from what the gate knows.
    unfit
        Whether the image failed the quality check.
    abnormal
        Whether a finding reached its operating point.
    """

    score: float | None = None
    brightness: float | None = None
    detail: float | None = None
    distance: float | None = None
    unfit: bool | None = None
    abnormal: bool | None = None


# What is watched, in the order in which it is shown: name, and the directions that alarm.
RANKED: Mapping[str, tuple[str, ...]] = {
    "score": ("higher", "lower", "wider", "narrower"),
    "brightness": ("higher", "lower"),
    "detail": ("higher", "lower"),
    "distance": ("higher",),
}
RATES: Mapping[str, tuple[str, ...]] = {"unfit": ("higher",), "abnormal": ("higher", "lower")}
WORDS: Mapping[str, str] = {
    "score": "The model's scores",
    "brightness": "The films' brightness values",
    "detail": "The films' amounts of fine detail",
    "distance": "The distances from what the gate knows",
    "unfit": "Films that are not fit to read",
    "abnormal": "Films that are called abnormal",
}
_CHANGES: Mapping[str, str] = {
    "higher": "are higher or more frequent",
    "lower": "are lower or less frequent",
    "wider": "lie further apart",
    "narrower": "lie closer together",
}


@dataclass(slots=True)
class Track:
    """One statistic of a stream.

    Parameters
    ----------
    reference
        Sorted reference values of a ranked statistic; of a rate its count of ones, alone.
    seen
        Images that have entered, the reference among them.
    sums
        The cumulative sum of each direction.
    alarm, alarm_after
        The direction that crossed its limit and after how many images past the reference.
    chart
        Means of `_BLOCK` images each, the newest last; the last but not yet full block is apart.
    """

    reference: list[float] = field(default_factory=list)
    seen: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    alarm: str | None = None
    alarm_after: int | None = None
    chart: list[float] = field(default_factory=list)
    block: list[float] = field(default_factory=list)

    @property
    def watching(self) -> bool:
        """Whether the reference is complete."""
        return self.seen >= REFERENCE


@dataclass(frozen=True, slots=True)
class Alarm:
    """A statistic that has left what is usual at its station."""

    statistic: str
    direction: str
    after: int

    @property
    def text(self) -> str:
        """What has happened, what it can mean and what to do."""
        return (
            f"{WORDS[self.statistic]} {_CHANGES[self.direction]} than in the first {REFERENCE} "
            f"images, noticed {self.after} images later. Ask whether the machine, its settings or "
            "the people who come have changed, and have a person read these films first."
        )


class Stream:
    """The statistics of one station, model version and channel.

    Parameters
    ----------
    tracks
        Statistic to its track; what is missing starts empty.
    """

    def __init__(self, tracks: Mapping[str, Track] | None = None) -> None:
        given = tracks or {}
        self.tracks = {name: given.get(name, Track()) for name in (*RANKED, *RATES)}

    def observe(self, seen: Observation) -> list[Alarm]:
        """Take one image in; return the alarms that it raises for the first time."""
        raised = []
        for name, track in self.tracks.items():
            value = getattr(seen, name)
            if value is None:
                continue
            _draw(track, float(value))
            watching = track.watching
            track.seen += 1
            if not watching:
                _learn(track, name, float(value))
            elif track.alarm is None:
                raised += _step(track, name, float(value))
        return raised

    def alarms(self) -> list[Alarm]:
        """Return the alarms that stand."""
        return [
            Alarm(name, track.alarm, track.alarm_after or 0)
            for name, track in self.tracks.items()
            if track.alarm is not None
        ]

    @property
    def seen(self) -> int:
        """Images of this stream."""
        return max(track.seen for track in self.tracks.values())

    def to_json(self) -> str:
        """Return the stream as it is kept."""
        return json.dumps({name: asdict(track) for name, track in self.tracks.items()})

    @classmethod
    def from_json(cls, text: str) -> Stream:
        """Return the stream that was kept; what another version kept otherwise begins anew."""
        try:
            return cls({name: Track(**body) for name, body in json.loads(text).items()})
        except (ValueError, TypeError, AttributeError):
            return cls()


def detail_of(pixels: NDArray[np.uint8]) -> float:
    """Return the mean size of the Laplacian, grey levels, in the middle of an image.

    Parameters
    ----------
    pixels
        uint8, (rows, columns) or (rows, columns, 3); at most `_DETAIL_PX` a side are looked at, in
        the image's own resolution, where noise and blur show most.
    """
    rows, columns = pixels.shape[:2]
    high, wide = min(rows, _DETAIL_PX), min(columns, _DETAIL_PX)
    top, left = (rows - high) // 2, (columns - wide) // 2
    grey = pixels[top : top + high, left : left + wide].astype(np.int16)
    if grey.ndim == 3:
        grey = grey[:, :, 1]  # green carries most of the luma
    inside = 4 * grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float(np.abs(inside - around).mean()) if inside.size else 0.0


def _learn(track: Track, name: str, value: float) -> None:
    if name in RANKED:
        insort(track.reference, round(value, 6))
    else:
        track.reference = [track.reference[0] + value if track.reference else value]


def _step(track: Track, name: str, value: float) -> list[Alarm]:
    """Add to the sums; the first that reaches its limit stands until the stream begins anew."""
    if name in RANKED:
        steps, limit = ranked_steps(track.reference, value), RANK_LIMIT
        directions = RANKED[name]
    else:
        steps, limit = rate_steps(track.reference[0], value), RATE_LIMIT
        directions = RATES[name]
    for direction in directions:
        total = max(0.0, track.sums.get(direction, 0.0) + steps[direction])
        track.sums[direction] = round(total, 6)
        if total >= limit:
            track.alarm, track.alarm_after = direction, track.seen - REFERENCE
            return [Alarm(name, direction, track.alarm_after)]
    return []


def ranked_steps(reference: Sequence[float], value: float) -> dict[str, float]:
    """Return the step of each direction.

    The value's place among the reference, 0 to 1, is even where nothing has changed (ties count
    half); the normal score of it has mean 0 and variance 1. How far the place lies from the middle
    is even too, and tells a spread that changed.
    """
    value = round(value, 6)
    below, up_to = bisect_left(reference, value), bisect_right(reference, value)
    place = ((below + up_to) / 2 + 0.5) / (len(reference) + 1)
    inward = 0.5 / (len(reference) + 1)
    score = _NORMAL.inv_cdf(place)
    apart = _NORMAL.inv_cdf(min(max(abs(2 * place - 1), inward), 1 - inward))
    return {
        "higher": score - _SLACK,
        "lower": -score - _SLACK,
        "wider": apart - _SLACK,
        "narrower": -apart - _SLACK,
    }


def rate_steps(ones: float, value: float) -> dict[str, float]:
    """Return the step of each direction: the log likelihood ratio of the changed rate."""
    usual = (ones + 0.5) / (REFERENCE + 1)  # Jeffreys' estimate is never 0 or 1
    steps = {}
    for direction, odds in (("higher", _ODDS), ("lower", 1 / _ODDS)):
        changed = usual * odds / (1 - usual + usual * odds)
        one, none = math.log(changed / usual), math.log((1 - changed) / (1 - usual))
        steps[direction] = one if value else none
    return steps


def _draw(track: Track, value: float) -> None:
    track.block.append(round(value, 6))
    if len(track.block) == _BLOCK:
        track.chart = [*track.chart, round(sum(track.block) / _BLOCK, 4)][-_POINTS:]
        track.block = []


@dataclass(frozen=True, slots=True)
class StationWeek:
    """Counts of one station, model version and channel over one week; no patient's data.

    Parameters
    ----------
    images, scored, unfit, abnormal
        Images that were read or refused by the quality check, and how many of them had a score,
        failed the check, were called abnormal.
    histogram
        Scored images in each tenth of the probability.
    """

    station: str
    model: str
    channel: str
    images: int
    scored: int
    unfit: int
    abnormal: int
    histogram: tuple[int, ...]
    alarms: tuple[str, ...]


def weekly_summary(box: str, ends_on: str, weeks: Sequence[StationWeek]) -> str:
    """Return the week as one line of JSON, at most `SUMMARY_BYTES` in UTF-8.

    Where not all stations fit, those without an alarm and with the fewest images are left out, and
    their number is told.
    """
    ordered = sorted(weeks, key=lambda week: (not week.alarms, -week.images, week.station))
    for kept in range(len(ordered), -1, -1):
        body: dict[str, Any] = {
            "box": box[:64],
            "week_ends_on": ends_on,
            "false_alarm_in_images": FALSE_ALARM_IMAGES,
            "stations": [_told(week) for week in ordered[:kept]],
            "stations_left_out": len(ordered) - kept,
        }
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        if len(text.encode()) <= SUMMARY_BYTES:
            return text
    raise AssertionError  # an empty week has under 300 bytes


def _told(week: StationWeek) -> dict[str, Any]:
    return {
        "station": week.station[:16],
        "model": week.model,
        "channel": week.channel,
        "images": week.images,
        "scored": week.scored,
        "unfit": week.unfit,
        "abnormal": week.abnormal,
        "scores": list(week.histogram),
        "alarms": list(week.alarms),
    }
