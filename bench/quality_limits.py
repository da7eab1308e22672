"""Derives the limits of the quality check from training and validation films, never from test ones.

For each measurement: the worst hospital's 1st (or 99th) percentile of untouched films, and the
worst hospital's 95th (or 5th) percentile of films with the defect made by code. The limit lies
midway; where the two overlap, it lies at the untouched films' bound. Of a set that has hand-drawn
lung masks, only films whose mask does not run off them are untouched as to cuts. Writes
appliance/quality/fitted.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from appliance.quality import film_of, measure_film
from appliance.quality.limits import Limits
from appliance.quality.side import side_features
from bench.chest_sets import FITTED_ON, Models, Row, rows_of
from bench.film_defects import DEFECTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Figures = NDArray[np.float64]

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "appliance" / "quality" / "fitted.py"
FILMS = 160  # of each hospital, for the limits
FILMS_SIDE = 400  # of each hospital's training films, for the side of the heart
UNTOUCHED, DEFECTIVE = 0.01, 0.05  # tails
MIRRORED_TAIL = 0.03  # of the untouched validation films of the worst hospital
RIDGE = 10.0
FEWEST = 40  # films by which a hospital can be the worst one
# measurement: the defect that moves it, and whether a defect lies above the limit
MEASURES = {
    "cut_top": ("lung tops cut", True),
    "cut_bottom": ("lung bases cut", True),
    "field_share": ("wide borders", False),
    "black_share": ("over-exposed", True),
    "white_share": ("under-exposed", True),
    "field_contrast": ("low contrast", False),
    "sharpness": ("blurred", False),
}
NO_SIDE = Limits(*[0.0] * 8, side_weights=(0.0,) * 64)


def main() -> None:
    """Measure, derive, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    models = Models(ROOT / "models")
    limits = {name: _limit(name, *found) for name, found in _measured(data, models).items()}
    weights, side = _fit_side(data, models)
    _write(limits, side, weights)


def _measured(data: Path, models: Models) -> dict[str, tuple[list[Figures], list[Figures]]]:
    """Return for each measurement the values a hospital, untouched and with its defect."""
    found: dict[str, tuple[list[Figures], list[Figures]]] = {name: ([], []) for name in MEASURES}
    for site in FITTED_ON:
        untouched: dict[str, list[float]] = {name: [] for name in MEASURES}
        defective: dict[str, list[float]] = {name: [] for name in MEASURES}
        rows = rows_of(data, site, ("train", "val"), FILMS)
        has_masks = any(row.mask for row in rows)
        for number, row in enumerate(rows):
            names = set(MEASURES) - (_unsure_cuts(row) if has_masks else set())
            _measure_row(row, models, (number, names), (untouched, defective))
        for name, (clean, spoilt) in found.items():
            clean.append(np.array(untouched[name]))
            spoilt.append(np.array(defective[name]))
        print(f"{site}: measured", flush=True)
    return found


def _measure_row(
    row: Row, models: Models, what: tuple[int, set[str]], into: tuple[dict[str, list[float]], ...]
) -> None:
    """Measure one film as it is and with each of its defects; `what`: its number, and which."""
    grey = row.grey()
    drawn = models.outline(grey)
    if drawn is None:
        return
    lungs = drawn.mask > 0
    whole = measure_film(film_of(grey, drawn.mask), NO_SIDE)
    for name, (defect, _) in MEASURES.items():
        if name not in whole or name not in what[1]:
            continue
        into[0][name].append(whole[name])
        spoilt = DEFECTS[defect][1](grey, lungs, np.random.default_rng(what[0]))
        outlined = models.outline(spoilt)
        mask = None if outlined is None else outlined.mask
        values = measure_film(film_of(spoilt, mask), NO_SIDE)
        if name in values:
            into[1][name].append(values[name])


def _unsure_cuts(row: Row) -> set[str]:
    """Return the cuts that the film has by its hand-drawn mask, or may have where it has none."""
    mask = row.drawn_mask()
    if mask is None:
        return {"cut_top", "cut_bottom"}
    edge = max(1, mask.shape[0] // 100)
    cuts = {"cut_top": mask[:edge], "cut_bottom": mask[-edge:]}
    return {name for name, lines in cuts.items() if lines.any()}


def _limit(name: str, clean: list[Figures], spoilt: list[Figures]) -> float:
    above = MEASURES[name][1]
    sign = 1.0 if above else -1.0
    bound = max(float(np.quantile(sign * v, 1 - UNTOUCHED)) for v in clean if v.size >= FEWEST)
    least = min(float(np.quantile(sign * v, DEFECTIVE)) for v in spoilt if v.size >= FEWEST)
    limit = sign * max(bound, (bound + least) / 2)
    print(f"{name:16} untouched {sign * bound:8.3f}  defective {sign * least:8.3f}  {limit:8.3f}")
    return limit


def _fit_side(data: Path, models: Models) -> tuple[Figures, float]:
    """Fit the side of the heart: ridge-penalized logistic regression, every hospital alike."""
    parts = [_side_rows(data, site, "train", models) for site in FITTED_ON]
    features = np.concatenate(parts)
    weights = np.concatenate([np.full(len(part), len(features) / len(part)) for part in parts])
    weights /= len(parts)
    fitted = np.zeros(features.shape[1])
    for _ in range(20):  # Newton; a film counts with its mirror image, whose features are -f
        right = 1 / (1 + np.exp(features @ fitted))
        gradient = RIDGE * fitted - features.T @ (weights * right)
        curve = (features.T * (weights * right * (1 - right))) @ features
        fitted -= np.linalg.solve(curve + RIDGE * np.eye(fitted.size), gradient)
    fitted = np.round(fitted, 3)
    scores = [_side_rows(data, site, "val", models) @ fitted for site in FITTED_ON]
    limit = min(float(np.quantile(s, MIRRORED_TAIL)) for s in scores if s.size >= FEWEST)
    for site, score in zip(FITTED_ON, scores, strict=True):
        print(
            f"{site}: {score.size} validation films, heart on its side {(score > 0).mean():.3f},"
            f" mirror image below the limit {(-score < limit).mean():.3f}"
        )
    return fitted, limit


def _side_rows(data: Path, site: str, split: str, models: Models) -> Figures:
    found = []
    for row in rows_of(data, site, (split,), FILMS_SIDE):
        grey = row.grey()
        drawn = models.outline(grey)
        if drawn is not None:
            found.append(side_features(film_of(grey, drawn.mask)))
    return np.array(found, dtype=np.float64)


def _write(limits: dict[str, float], side: float, weights: Figures) -> None:
    lines = "\n".join(f"    {name}={_rounded(value)}," for name, value in limits.items())
    per_line = np.array_split(weights, 8)
    table = "\n".join("        " + " ".join(f"{w:g}," for w in part) for part in per_line)
    TARGET.write_text(
        '"""Where each measurement becomes a defect: written by ``bench/quality_limits.py``."""\n\n'
        "from __future__ import annotations\n\n"
        "from appliance.quality.limits import Limits\n\n"
        f"# fmt: off\nLIMITS = Limits(\n{lines}\n    heart_side={_rounded(side)},\n"
        f"    side_weights=(\n{table}\n    ),\n)\n",
        encoding="utf-8",
    )
    print(f"written: {TARGET.relative_to(ROOT)}")


def _rounded(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


if __name__ == "__main__":
    main()
