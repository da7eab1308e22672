"""Makes each defect by code on the test films of each chest set and counts what the check finds.

Counts, for each set: how often a defect's own finding is among the findings, and how often an
untouched film gets any finding that stops or questions it. Measures the time on a film of 3000 x
2500. Writes bench/out/quality.json, from which bench/quality_report.py writes the tables of
docs/quality.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from appliance.inference.predict import shares_of
from appliance.quality import Bounds, check_film, check_quality, film_of, stance_of, upright
from bench.chest_sets import FITTED_ON, UNSEEN, Models, Row, rows_of
from bench.film_defects import DEFECTS, MIN_SIDE_PX, blur
from bench.machine import OUT, describe, quantile, save

if TYPE_CHECKING:
    from appliance.domain import Quality
    from bench.chest_sets import Picture

ROOT = Path(__file__).resolve().parent.parent
BLURS = (0.010, 0.020)  # weaker and stronger than the one that the aim is held against
SPEED_FILM_PX = (3000, 2500)
SPEED_ROUNDS = 40


def main() -> None:
    """Measure every set, then the time; write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--most", type=int, default=None, help="films of each set, all by default")
    parser.add_argument("--only-speed", action="store_true", help="keep the last counts")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    models = Models(ROOT / "models")
    film = rows_of(given.data, FITTED_ON[1], ("test",), 1)[0].grey()
    if given.only_speed:
        result: dict[str, Any] = json.loads((OUT / "quality.json").read_text(encoding="utf-8"))
        save("quality", {**result, "machine": describe(), "speed": _speed(film, models)})
        return
    result = {"machine": describe(), "sets": {}}
    for site in (*FITTED_ON, UNSEEN):
        rows = rows_of(given.data, site, ("test",), given.most)
        result["sets"][site] = _measure_set(rows, models)
        print(site, result["sets"][site], flush=True)
    result["speed"] = _speed(film, models)
    save("quality", result)


def check(pixels: Picture, models: Models) -> Quality:
    """Check one grey picture as the pipeline does."""
    stance = stance_of(shares_of(models.kind(pixels), models.gate))
    film = upright(pixels, stance)
    drawn = models.outline(film)
    mask = None if drawn is None else drawn.mask
    general = check_quality(pixels, Bounds(min_side_px=MIN_SIDE_PX))
    return check_film(general, film_of(film, mask), stance)


def _codes(quality: Quality) -> set[str]:
    return {reason.code for reason in quality.reasons}


def _measure_set(rows: list[Row], models: Models) -> dict[str, Any]:
    found: Counter[str] = Counter()
    alarms: Counter[str] = Counter()
    alarmed = stopped = with_cut = unoutlined = 0
    made = 0
    for number, row in enumerate(rows):
        grey = row.grey()
        quality = check(grey, models)
        codes = _codes(quality)
        alarms.update(codes)
        truly = codes & _cut_by_hand(row)
        with_cut += bool(truly)
        alarmed += bool(codes - truly)
        stopped += not quality.fit
        drawn = models.outline(grey)
        if drawn is None:
            unoutlined += 1
            continue
        made += 1
        found.update(_found(grey, drawn.mask > 0, models, number))
    return {
        "films": len(rows),
        "made_on": made,
        "not_outlined": unoutlined,
        "found": {name: found[name] for name in (*DEFECTS, *map(_blur_name, BLURS))},
        "alarms": dict(alarms),
        "truly_cut": with_cut,
        "alarmed": alarmed,
        "stopped": stopped,
    }


def _cut_by_hand(row: Row) -> set[str]:
    """Return the cuts that a film has by its hand-drawn lung mask: an alarm on them is right."""
    mask = row.drawn_mask()
    if mask is None:
        return set()
    edge = max(1, mask.shape[0] // 100)
    cuts = {"apices_cut": mask[:edge], "bases_cut": mask[-edge:]}
    return {code for code, lines in cuts.items() if lines.any()}


def _found(grey: Picture, lungs: Any, models: Models, number: int) -> list[str]:
    """Return the defects that are found when they are made on this film."""
    rng = np.random.default_rng(number)
    names = [
        name
        for name, (code, make) in DEFECTS.items()
        if code in _codes(check(make(grey, lungs, rng), models))
    ]
    names += [
        _blur_name(strength)
        for strength in BLURS
        if "blurred" in _codes(check(blur(grey, lungs, strength), models))
    ]
    return names


def _blur_name(strength: float) -> str:
    return f"blurred, sigma {strength * 100:.1f} % of the lungs' width"


def _speed(film: Picture, models: Models) -> dict[str, Any]:
    """Time the whole check, both models included, on a large film that lies on its side."""
    columns, rows = SPEED_FILM_PX[1], SPEED_FILM_PX[0]
    large = np.asarray(cv2.resize(film, (columns, rows), interpolation=cv2.INTER_CUBIC))
    large = np.ascontiguousarray(255 - np.rot90(large), dtype=np.uint8)
    check(large, models)  # the first one warms up
    times, busy = [], []
    for _ in range(SPEED_ROUNDS):
        started, began = time.perf_counter(), time.process_time()
        check(large, models)
        times.append((time.perf_counter() - started) * 1000)
        busy.append((time.process_time() - began) * 1000)
    return {
        "pixels": [rows, columns],
        "rounds": SPEED_ROUNDS,
        "p50_ms": round(quantile(times, 0.5), 1),
        "p95_ms": round(quantile(times, 0.95), 1),
        "busy_p95_ms": round(quantile(busy, 0.95), 1),
        "load": round(os.getloadavg()[0], 1),
    }


if __name__ == "__main__":
    main()
