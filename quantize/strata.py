"""The same figures for parts of a test split: men and women, ages, views, as far as they are known.

A figure over all films can hide that one group is served worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quantize.data import labels
from quantize.metrics import auprc, auroc_interval, brier, share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.manifest import Interval
    from quantize.data import Sample
    from quantize.evaluate import Rules, SplitOutputs
    from quantize.metrics import Scores

LEAST = 5  # of each class, below which an AUROC says nothing
_AGES = ((0, 15), (15, 40), (40, 65), (65, 200))


@dataclass(frozen=True, slots=True)
class Stratum:
    """Figures of one part of one site's test split; None where it lacks a class."""

    data_set: str
    name: str
    n_positive: int
    n_negative: int
    auroc: Interval | None
    auprc: float | None
    brier: float
    sensitivity: Interval | None
    specificity: Interval | None


def strata(outputs: Sequence[SplitOutputs], rules: Rules) -> list[Stratum]:
    """Measure every test split as a whole and in its parts."""
    found = []
    for part in outputs:
        if part.samples[0].split != "test":
            continue
        for name, members in _groups(part.samples).items():
            samples = [part.samples[i] for i in members]
            found.append(_measure(samples, name, part.cpu.logits[members], rules))
    return found


def _groups(samples: Sequence[Sample]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {"all": list(range(len(samples)))}
    for index, sample in enumerate(samples):
        for name in _names(sample):
            groups.setdefault(name, []).append(index)
    parts = {name: groups[name] for name in sorted(groups) if name != "all"}
    whole = groups["all"]
    return {"all": whole} | {name: m for name, m in parts.items() if len(m) < len(whole)}


def _names(sample: Sample) -> list[str]:
    names = []
    if sample.sex:
        names.append(f"sex {sample.sex}")
    if sample.view:
        names.append(f"view {sample.view.upper()}")
    if sample.age is not None:
        low, high = next(band for band in _AGES if sample.age < band[1])
        names.append(f"age {low:02d} to {high - 1}" if high < 200 else f"age {low} and more")
    return names


def _measure(samples: Sequence[Sample], name: str, logits: Scores, rules: Rules) -> Stratum:
    truth = labels(samples)
    n_positive, n_negative = int(truth.sum()), int((~truth).sum())
    probabilities = rules.platt(logits)
    decided = probabilities >= rules.threshold
    enough = min(n_positive, n_negative) >= LEAST
    return Stratum(
        data_set=samples[0].site,
        name=name,
        n_positive=n_positive,
        n_negative=n_negative,
        auroc=auroc_interval(truth, logits) if enough else None,
        auprc=auprc(truth, logits) if enough else None,
        brier=brier(truth, probabilities),
        sensitivity=share(int(np.sum(decided & truth)), n_positive) if n_positive else None,
        specificity=share(int(np.sum(~decided & ~truth)), n_negative) if n_negative else None,
    )
