"""How soon the watch finds a changed detector, and how often it cries for nothing.

Films of the test splits are read as the device reads them (quality check, preprocessing, model), as
they are and with each change made by code. Streams are drawn from what was seen: the reference,
then stable images for the false alarms, or changed ones for the delay. `--limits` finds the limits
of the cumulative sums by simulation instead.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import random
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from appliance import drift
from appliance.domain import DecodedImage, Header, ReadingState
from appliance.inference.predict import load_predictor
from appliance.manifest import load_manifest
from appliance.pipeline import Pipeline, Reader
from appliance.scope import Policy
from appliance.worker import observation
from bench.machine import OUT, describe, save

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "models" / "cxr-pneumonia" / "1.0.0"
# Of each site the splits on which the model was neither trained nor calibrated.
SITES = {
    "cxr_ped_pneumonia": ("test",),
    "cxr_nih_adult": ("test",),
    "cxr_covid_hannover": ("train", "val", "test"),
}
STREAMS, STABLE, FOUND_WITHIN = 200, 2000, 200
FILMS = 250  # of each site, drawn at random with a fixed seed
HEADER = Header(
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    modality="CR",
    body_part_examined="CHEST",
    view_position="PA",
    patient_age_years=30.0,
)


def gamma(power: float) -> Callable[[Pixels], Pixels]:
    """Return a change of the display's curve: grey to the power of `power`."""
    table = (255 * (np.arange(256) / 255) ** power).round().astype(np.uint8)
    return lambda pixels: table[pixels]


def gain(factor: float) -> Callable[[Pixels], Pixels]:
    """Return a change of exposure: grey times `factor`, cut at white."""
    table = np.clip(np.arange(256) * factor, 0, 255).round().astype(np.uint8)
    return lambda pixels: table[pixels]


def noise(pixels: Pixels) -> Pixels:
    """Add the noise of a weak exposure: normal, 12 grey levels."""
    added = np.random.default_rng(pixels.size).normal(0, 12, pixels.shape)
    return np.clip(pixels + added, 0, 255).round().astype(np.uint8)


def blur(pixels: Pixels) -> Pixels:
    """Blur as an old screen does: Gaussian, a hundredth of the shorter side."""
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), min(pixels.shape[:2]) / 100), np.uint8)


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "gamma 0.5": gamma(0.5),
    "gamma 0.7": gamma(0.7),
    "gamma 1.4": gamma(1.4),
    "gamma 2.0": gamma(2.0),
    "gain 0.7": gain(0.7),
    "gain 1.2": gain(1.2),
    "gain 1.5": gain(1.5),
    "noise": noise,
    "blur": blur,
}


def main() -> None:
    """Measure, print, write; exit 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("WAYPOST_DATA", "")))
    parser.add_argument("--limits", action="store_true", help="find the limits by simulation")
    parser.add_argument("--site", choices=SITES, help="measure one site, and keep the others'")
    asked = parser.parse_args()
    if asked.limits:
        limits()
        return
    data = asked.data if asked.data.name else ROOT.parent / "shared" / "data"
    known = OUT / "drift.json"
    kept = json.loads(known.read_text("utf-8"))["sites"] if asked.site and known.is_file() else {}
    result = {"machine": describe(), "streams": STREAMS, "stable_images": STABLE, "sites": kept}
    for site in [asked.site] if asked.site else SITES:
        result["sites"][site] = measure(read_films(data / site, SITES[site]))
        print(json.dumps(result["sites"][site], indent=1))
        save("drift", result)
    sites = result["sites"].values()
    quiet = all(site["false_alarms_per_1000"] <= 1 for site in sites)
    soon = all(
        change["found_within_200"] >= 0.95 for site in sites for change in site["changes"].values()
    )
    sys.exit(0 if quiet and soon else "missed: see above")


def measure(films: list[Pixels]) -> dict[str, Any]:
    """Return what the watch does with one site's films."""
    usual = observe(films, lambda pixels: pixels)
    stable = false_alarms(usual)
    return {
        "films": len(films),
        "abnormal": float(np.mean([seen.abnormal for seen in usual if seen.abnormal is not None])),
        **stable,
        "changes": {
            name: delays(usual, observe(films, change)) for name, change in CHANGES.items()
        },
    }


def read_films(site: Path, splits: tuple[str, ...]) -> list[Pixels]:
    """Return films of a site's splits as grey pixels, at most `FILMS`."""
    with (site / "labels.csv").open(encoding="utf-8") as table:
        names = [row["file"] for row in csv.DictReader(table) if row["split"] in splits]
    names = random.Random(0).sample(names, min(FILMS, len(names)))
    films = [cv2.imread(str(site / name), cv2.IMREAD_GRAYSCALE) for name in names]
    return [np.asarray(film, np.uint8) for film in films if film is not None]


def observe(films: list[Pixels], change: Callable[[Pixels], Pixels]) -> list[drift.Observation]:
    """Read the films as the device does, each after the change; what fails is left out."""
    pixels = [films[0]]
    manifest = load_manifest(MODEL)
    reader = Reader(manifest, load_predictor(manifest, threads=1))
    pipeline = Pipeline(lambda _: DecodedImage(pixels[0], HEADER), [reader], Policy())
    found = []
    for film in films:
        pixels[0] = change(film)
        reading, image = pipeline.read(b"")
        assert image is not None
        seen = observation(reading, image)
        if seen is None:
            assert reading.state is ReadingState.FAILED, reading.reasons
            continue
        found.append(seen)
    return found


def false_alarms(usual: list[drift.Observation]) -> dict[str, Any]:
    """Count alarms while nothing changes; after each the stream begins anew."""
    rng = random.Random(1)
    alarms, watched = Counter[str](), 0
    quiet = 0
    for _ in range(STREAMS):
        stream, alone = drift.Stream(), True
        count = 0
        while count < STABLE:
            raised = stream.observe(rng.choice(usual))
            count += stream.tracks["unfit"].seen > drift.REFERENCE
            alarms.update(f"{alarm.statistic} {alarm.direction}" for alarm in raised)
            if raised:
                stream, alone = drift.Stream(), False
        watched += count
        quiet += alone
    return {
        "stable_watched": watched,
        "false_alarms": sum(alarms.values()),
        "false_alarms_per_1000": round(1000 * sum(alarms.values()) / watched, 4),
        "streams_without": quiet,
        "by": dict(alarms.most_common()),
    }


def delays(usual: list[drift.Observation], changed: list[drift.Observation]) -> dict[str, Any]:
    """Return after how many changed images the first alarm came, over many streams."""
    rng = random.Random(2)
    found: list[float] = []
    first = Counter[str]()
    for _ in range(STREAMS):
        stream = drift.Stream()
        for _ in range(drift.REFERENCE):
            stream.observe(rng.choice(usual))
        delay = math.inf
        for image in range(1, 3 * FOUND_WITHIN + 1):
            raised = stream.observe(rng.choice(changed))
            if raised:
                delay = image
                first[raised[0].statistic] += 1
                break
        found.append(delay)
    ordered = sorted(found)
    return {
        "score_above": round(above(usual, changed), 3),
        "unfit": round(float(np.mean([seen.unfit for seen in changed])), 3),
        "found_within_200": sum(delay <= FOUND_WITHIN for delay in found) / STREAMS,
        "median": _finite(ordered[STREAMS // 2]),
        "p95": _finite(ordered[math.ceil(0.95 * STREAMS) - 1]),
        "first": dict(first.most_common()),
    }


def above(usual: list[drift.Observation], changed: list[drift.Observation]) -> float:
    """Chance that the score of a changed film lies above that of an unchanged one."""
    before = np.sort([seen.score for seen in usual if seen.score is not None])
    after = np.array([seen.score for seen in changed if seen.score is not None])
    if not after.size:
        return float("nan")
    low = np.searchsorted(before, after, "left")
    high = np.searchsorted(before, after, "right")
    return float((low + high).mean() / (2 * before.size))


def _finite(value: float) -> int | None:
    return int(value) if math.isfinite(value) else None


def limits(streams: int = 4000, images: int = 1000) -> None:
    """Print the chance of an alarm in 1,000 stable images for candidate limits."""
    rng = np.random.default_rng(1)
    size = drift.REFERENCE
    print("limit of a ranked statistic: chance of an alarm, each direction")
    grid = np.arange(size) / size
    steps = [drift.ranked_steps(list(grid), (place - 0.5) / size) for place in range(size + 1)]
    reference = np.sort(rng.random((streams, size)), axis=1)
    tables = {name: np.array([step[name] for step in steps]) for name in steps[0]}
    totals = {name: np.zeros(streams) for name in tables}
    peaks = {name: np.zeros(streams) for name in tables}
    for _ in range(images):
        place = (reference < rng.random((streams, 1))).sum(axis=1)
        for name, table in tables.items():
            totals[name] = np.maximum(0, totals[name] + table[place])
            peaks[name] = np.maximum(peaks[name], totals[name])
    for limit in (12.0, 16.0, 18.0, 20.0, 22.0, 25.0):
        shares = {name: f"{(peak >= limit).mean():.4f}" for name, peak in peaks.items()}
        print(f"  {limit}: {shares}")
    print("limit of a rate: the most over rates from 0.01 to 0.9, each direction")
    worst: dict[float, dict[str, float]] = {}
    for rate in (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9):
        ones = rng.binomial(size, rate, streams)
        for direction in drift.RATES["abnormal"]:
            yes = np.array([drift.rate_steps(count, 1.0)[direction] for count in ones])
            no = np.array([drift.rate_steps(count, 0.0)[direction] for count in ones])
            total, peak = np.zeros(streams), np.zeros(streams)
            for _ in range(images):
                total = np.maximum(0, total + np.where(rng.random(streams) < rate, yes, no))
                peak = np.maximum(peak, total)
            for limit in (8.0, 10.0, 12.0, 14.0):
                share = float((peak >= limit).mean())
                known = worst.setdefault(limit, {})
                known[direction] = max(known.get(direction, 0.0), share)
    for limit, shares in worst.items():
        print(f"  {limit}: {shares}")


if __name__ == "__main__":
    assert OUT.parent.is_dir()
    main()
