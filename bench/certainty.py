"""What a probability is worth: calibration error, and how often the right answer stays open.

Measured with the shipped CPU graph on each validation and test split of each package that looks for
a finding: the coverage of the conformal answer (Mondrian: each class by itself) beside its nominal
one, the share that the box is not sure of, and the calibration error.

    python bench/certainty.py --data DIR

docs/certainty.md is written of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from appliance.manifest import Task, load_manifest
from quantize.data import labels
from quantize.metrics import calibration_error, even_weights, share, words
from quantize.remeasure import outputs_of, rules_of, splits_of

if TYPE_CHECKING:
    from appliance.manifest import ModelManifest
    from quantize.data import Sample

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "certainty.md"
MOST_ERROR = 0.05
POINTS = 0.02  # the coverage shall be within so much of the nominal one


def main() -> None:
    """Measure every package and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    asked = parser.parse_args()
    manifests = [load_manifest(path.parent) for path in sorted(ROOT.glob("models/*/*/*.toml"))]
    parts = [part(m, asked.data) for m in manifests if m.task is Task.CLASSIFICATION]
    PAGE.write_text("\n".join([_HEAD, *parts]), encoding="utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}")


_HEAD = f"""# What a probability is worth

Written by `bench/certainty.py` from what it measured; nothing here is typed by hand. Shares with
their 95 % intervals (Wilson).

*Coverage*: the share of films whose right answer is among those that the model leaves open, for
films with the signs and for those without, and the mean of the two. Between the two bounds of its
manifest both answers stay open, and the box says "not sure". It shall be within
{POINTS * 100:.0f} points of the nominal one; where it is higher, the box promises less than it
keeps. *ECE*: the calibration error, the classes weighted as the probabilities are meant; it shall
be at most {MOST_ERROR:.2f}. The bounds were taken on the validation splits of the hospitals that
were trained on; at a hospital that was not, neither has to hold.
"""


def part(manifest: ModelManifest, data: Path) -> str:
    """Write the section of one package."""
    nominal = 1 - manifest.abstention[0].alpha
    rows = [row(manifest, samples, data, nominal) for samples in splits_of(manifest, data, ())]
    missed = [name for name, _, faults in rows for _ in faults]
    lines = [
        f"## {manifest.id} {manifest.version}",
        "",
        f"Nominal coverage {nominal:.2f}. {_verdict(missed, rows)}",
        "",
        "| set | with / without | coverage, with | without | mean | not sure | ECE | not met |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(f"| {name} | {' | '.join(cells)} | {'; '.join(f) or '-'} |" for name, cells, f in rows),
        "",
    ]
    return "\n".join(lines)


def _verdict(missed: list[str], rows: list[tuple[str, list[str], list[str]]]) -> str:
    if not missed:
        return "Everything is met on every split."
    return (
        f"{len(dict.fromkeys(missed))} of {len(rows)} splits miss something; the last column says "
        "what. There the box's number is worth less than it says."
    )


def row(
    manifest: ModelManifest, samples: list[Sample], data: Path, nominal: float
) -> tuple[str, list[str], list[str]]:
    """Return the name of a split, its cells, and what is not met there."""
    rules, truth = rules_of(manifest), labels(samples)
    values = rules.platt(outputs_of(manifest, samples, data, None).cpu.logits)
    held = {True: values >= rules.lower, False: values <= rules.upper}
    cells, each = [f"{int(truth.sum())} / {int((~truth).sum())}"], []
    for side in (True, False):
        members = truth if side else ~truth
        inside, n = int((held[side] & members).sum()), int(members.sum())
        cells.append(words(share(inside, n)) if n else "-")
        each += [inside / n] if n else []
    mean = float(np.mean(each))
    unsure = int(((values > rules.lower) & (values < rules.upper)).sum())
    cells += [f"{mean:.3f}", words(share(unsure, truth.size))]
    faults = []
    if abs(mean - nominal) > POINTS:
        faults.append("coverage too low" if mean < nominal else "coverage higher than promised")
    if truth.any() and not truth.all():
        sites = np.array([sample.site for sample in samples])
        error = calibration_error(truth, values, even_weights(truth, sites))
        cells.append(f"{error:.3f}")
        faults += ["calibration error"] if error > MOST_ERROR else []
    else:
        cells.append("-")
    return f"{samples[0].site}, {samples[0].split}", cells, faults


if __name__ == "__main__":
    main()
