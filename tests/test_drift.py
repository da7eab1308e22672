"""The watch over a stream: small and seeded here; the figures are those of `bench/drift.py`."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest

from appliance import drift
from appliance.drift import Observation, StationWeek, Stream, weekly_summary


def usual(rng: random.Random) -> Observation:
    abnormal = rng.random() < 0.2
    score = min(max(rng.gauss(0.7 if abnormal else 0.25, 0.1), 0.0), 1.0)
    return Observation(
        score=score,
        brightness=rng.gauss(120, 10),
        detail=rng.gauss(6, 1),
        distance=rng.random(),
        unfit=rng.random() < 0.03,
        abnormal=abnormal,
    )


def learned(seed: int) -> tuple[Stream, random.Random]:
    rng, stream = random.Random(seed), Stream()
    for _ in range(drift.REFERENCE):
        assert stream.observe(usual(rng)) == []
    return stream, rng


def test_a_stable_station_is_quiet():
    alarms = 0
    for seed in range(12):
        stream, rng = learned(seed)
        alarms += sum(len(stream.observe(usual(rng))) for _ in range(1000))
    assert alarms <= 3  # 1 in FALSE_ALARM_IMAGES: 2.4 are expected of 12 streams of 1,000


@pytest.mark.parametrize(
    ("statistic", "direction", "change"),
    [
        ("score", "higher", lambda seen: replace(seen, score=min(seen.score + 0.15, 1.0))),
        ("score", "lower", lambda seen: replace(seen, score=seen.score * 0.6)),
        ("score", "narrower", lambda seen: replace(seen, score=0.26 + seen.score / 100)),
        ("brightness", "higher", lambda seen: replace(seen, brightness=seen.brightness + 8)),
        ("score", "wider", lambda seen: replace(seen, score=0.02 if seen.score < 0.25 else 0.98)),
        ("detail", "lower", lambda seen: replace(seen, detail=seen.detail - 0.7)),
        ("distance", "higher", lambda seen: replace(seen, distance=seen.distance + 0.3)),
        ("unfit", "higher", lambda seen: replace(seen, unfit=random.random() < 0.15)),
        ("abnormal", "higher", lambda seen: replace(seen, abnormal=random.random() < 0.5)),
        ("abnormal", "lower", lambda seen: replace(seen, abnormal=False)),
    ],
)
def test_each_change_is_found_soon_by_its_own_statistic(statistic, direction, change):
    random.seed(4)
    stream, rng = learned(1)
    found = None
    for image in range(1, 201):
        for alarm in stream.observe(change(usual(rng))):
            if alarm.statistic == statistic and found is None:
                found = (alarm.direction, image)
    assert found is not None
    assert found[0] == direction
    assert stream.alarms()


def test_an_alarm_is_raised_once_and_stands():
    stream, rng = learned(2)
    raised = []
    for _ in range(300):
        raised += stream.observe(replace(usual(rng), brightness=250.0))
    assert [alarm.statistic for alarm in raised].count("brightness") == 1
    (standing,) = [alarm for alarm in stream.alarms() if alarm.statistic == "brightness"]
    assert standing == next(alarm for alarm in raised if alarm.statistic == "brightness")
    assert f"{standing.after} images later" in standing.text
    assert "person" in standing.text


def test_what_an_image_does_not_tell_does_not_count():
    stream = Stream()
    stream.observe(Observation(unfit=True))
    assert [name for name, track in stream.tracks.items() if track.seen] == ["unfit"]
    assert stream.seen == 1


def test_a_stream_goes_on_where_it_was_kept():
    stream, rng = learned(3)
    copy = Stream.from_json(stream.to_json())
    for _ in range(60):
        seen = replace(usual(rng), score=0.9)
        assert stream.observe(seen) == copy.observe(seen)
    assert stream.to_json() == copy.to_json()
    assert len(stream.tracks["score"].chart) == 18


@pytest.mark.parametrize("text", ["", "[]", '{"score": {"other": 1}}', '{"score": 7}'])
def test_what_another_version_kept_begins_anew(text):
    assert Stream.from_json(text).seen == 0


def test_the_chart_and_what_is_kept_stay_small():
    rng, stream = random.Random(0), Stream()
    for _ in range(3000):
        stream.observe(usual(rng))
    assert all(len(track.chart) <= 24 for track in stream.tracks.values())
    assert len(stream.to_json()) < 20_000


def test_detail_tells_noise_and_blur_at_any_size_and_in_colour():
    flat = np.full((40, 900), 100, np.uint8)
    board = (np.indices((700, 700)).sum(axis=0) % 2 * 10).astype(np.uint8)
    assert drift.detail_of(flat) == 0.0
    assert drift.detail_of(board) == 40.0
    assert drift.detail_of(np.stack([board] * 3, axis=2)) == 40.0
    assert drift.detail_of(np.zeros((1, 1), np.uint8)) == 0.0


def week(number: int, *, alarms: tuple[str, ...] = ()) -> StationWeek:
    return StationWeek(
        station=f"ROOM{number:012d}",
        model="cxr-pneumonia 1.0.0",
        channel="digital",
        images=1000 + number,
        scored=990,
        unfit=10,
        abnormal=200,
        histogram=(99,) * 10,
        alarms=alarms,
    )


def test_a_week_fits_into_two_kilobytes_and_says_what_it_leaves_out():
    weeks = [week(number) for number in range(40)] + [week(0, alarms=("score higher",))]
    text = weekly_summary("clinic é", "2026-11-25", weeks)
    assert len(text.encode()) <= 2048
    told = json.loads(text)
    assert told["stations"][0]["alarms"] == ["score higher"]
    assert told["stations"][1]["images"] == 1039
    assert told["stations_left_out"] == 41 - len(told["stations"])
    assert len(told["stations"]) >= 6


def test_a_week_without_images_is_told_too():
    told = json.loads(weekly_summary("x" * 5000, "2026-11-25", []))
    assert told["stations"] == []
