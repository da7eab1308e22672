"""Writes the tables of docs/quality.md from what bench/quality.py left: no figure by hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import film_defects
from bench.chest_sets import FITTED_ON, UNSEEN
from bench.film_defects import DEFECTS
from bench.report import machine
from quantize.metrics import share

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "bench" / "out" / "quality.json"
TARGET = ROOT / "docs" / "quality.md"
START, END = "<!-- measured: begin -->", "<!-- measured: end -->"
SITES = (*FITTED_ON, UNSEEN)


def main() -> None:
    """Put the tables between their marks."""
    if not OUT.is_file():
        sys.exit("not measured yet: run make bench-quality")
    result = json.loads(OUT.read_text(encoding="utf-8"))
    head, rest = TARGET.read_text(encoding="utf-8").split(START)
    tail = rest.split(END)[1]
    TARGET.write_text(f"{head}{START}\n{tables(result)}\n{END}{tail}", encoding="utf-8")
    print(f"written: {TARGET.relative_to(ROOT)}")


def tables(result: dict[str, Any]) -> str:
    """Return what was measured, in Markdown."""
    return "\n".join(
        (_found(result["sets"]), "", _alarms(result["sets"]), "", _speed(result)),
    )


def _found(sets: dict[str, Any]) -> str:
    blurs = [name for name in next(iter(sets.values()))["found"] if name not in DEFECTS]
    lines = [
        _FOUND.format(
            cut=film_defects.CUT * 100,
            clipped=film_defects.CLIPPED * 100,
            blur=film_defects.BLUR * 100,
            levels=film_defects.FLAT_LEVELS,
            narrow=film_defects.BORDER[0] * 100,
            wide=film_defects.BORDER[1] * 100,
            small=film_defects.SMALL_PX,
            asked=film_defects.MIN_SIDE_PX,
        ),
        "| defect | " + " | ".join(_title(site, sets[site]) for site in SITES) + " |",
        "| --- |" + " --- |" * len(SITES),
    ]
    for name in (*DEFECTS, *blurs):
        cells = (_share(sets[site]["found"][name], sets[site]["made_on"]) for site in SITES)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _alarms(sets: dict[str, Any]) -> str:
    codes = sorted({code for found in sets.values() for code in found["alarms"]})
    lines = [
        _ALARMS,
        "| alarm | " + " | ".join(_title(site, sets[site]) for site in SITES) + " |",
        "| --- |" + " --- |" * len(SITES),
    ]
    rows = {
        "any": [sets[site]["alarmed"] for site in SITES],
        "stopped": [sets[site]["stopped"] for site in SITES],
        "cut by the hand-drawn mask too": [sets[site]["truly_cut"] for site in SITES],
        **{f"`{code}`": [sets[site]["alarms"].get(code, 0) for site in SITES] for code in codes},
    }
    for name, counts in rows.items():
        cells = (_share(n, sets[site]["films"]) for n, site in zip(counts, SITES, strict=True))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _title(site: str, found: dict[str, Any]) -> str:
    unseen = ", *unseen*" if site == UNSEEN else ""
    return f"{site} ({found['films']}{unseen})"


def _share(count: int, of: int) -> str:
    interval = share(count, of)
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _speed(result: dict[str, Any]) -> str:
    speed = result["speed"]
    rows, columns = speed["pixels"]
    return f"""### Time

The whole check of one film of {rows} x {columns} pixels that lies on its side and is inverted, gate
and outline included, one thread, {speed["rounds"]} rounds: p50 {speed["p50_ms"]} ms, p95
{speed["p95_ms"]} ms by the clock, at a load average of {speed["load"]}; p95 of the processor time
{speed["busy_p95_ms"]} ms, which is what it takes with a core to itself. {machine(result)}"""


_FOUND = """### Found

Defects made by code on the test films of each set: share found, with Wilson's 95 % interval. *Cut*:
each lung lacks {cut:.0f} % of its height at least; *over-exposed*: {clipped:.0f} % of the lungs'
pixels black; *under-exposed*: {clipped:.0f} % of what lies between the lungs white; *blurred*: a
Gaussian of {blur:.1f} % of the lungs' width; *low contrast*: {levels:.0f} of 255 grey levels from
the 5th to the 95th percentile; *wide borders*: {narrow:.0f} to {wide:.0f} % of the film's side on
each side; *too few pixels*: {small} on the shorter side, {asked} asked for.
"""
_ALARMS = """### Alarms on untouched films

*Any*: films with any finding, apart from a cut that their hand-drawn lung mask shows too.
*Stopped*: films that would not be read, those with such a cut too. Below: films with each finding.
"""


if __name__ == "__main__":
    main()
