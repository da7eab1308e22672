"""Two packages on the same films, side by side.

Each decides by its own operating point. The films are those of the first package's recipe, whose
splits must be the ones that its manifest names; a set that the second was trained on in another
split would flatter it, so the splits of the sets that both name must be the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quantize.data import DataError, labels
from quantize.evaluate import GraphLogits, graph_logits, measure
from quantize.films import read_shown
from quantize.metrics import auroc_difference, share
from quantize.remeasure import rules_of, splits_of

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.manifest import Interval, ModelManifest, SiteResult
    from quantize.data import Sample


@dataclass(frozen=True, slots=True)
class Comparison:
    """One split under two models.

    Parameters
    ----------
    auroc_difference
        Second minus first, paired (DeLong); None where the split has one class.
    agreement
        Share of the films on which both decide the same.
    """

    first: str
    second: str
    n: int
    results: tuple[SiteResult, SiteResult]
    auroc_difference: Interval | None
    agreement: Interval


def compare(
    first: ModelManifest, second: ModelManifest, data: Path, sets: tuple[str, ...]
) -> list[Comparison]:
    """Measure both packages on the validation and test splits of the first one's data sets.

    Raises
    ------
    DataError
        If the packages speak of different findings, or a set's splits are not the same in both.
    """
    if first.outputs[0].code != second.outputs[0].code:
        raise DataError(
            f"{first.id} looks for {first.outputs[0].code}, {second.id} for "
            f"{second.outputs[0].code}: they cannot be compared."
        )
    _check_same_splits(first, second)
    return [_compare(first, second, samples, data) for samples in splits_of(first, data, sets)]


def _check_same_splits(first: ModelManifest, second: ModelManifest) -> None:
    theirs = {entry.name: entry for entry in second.data}
    for entry in first.data:
        other = theirs.get(entry.name)
        if other is not None and other.splits != entry.splits:
            raise DataError(
                f"{entry.name} is split otherwise in {second.id} {second.version}: one model may "
                "have been trained on what the other is measured on."
            )


def _compare(
    first: ModelManifest, second: ModelManifest, samples: list[Sample], data: Path
) -> Comparison:
    logits, results, decided = [], [], []
    for model in (first, second):
        rules = rules_of(model)
        images = read_shown(data, samples, model.input)
        said = graph_logits(model.path("model.cpu.onnx"), images, model.input)
        logits.append(said)
        results.append(measure(samples, GraphLogits(said), rules))
        decided.append(rules.platt(said) >= rules.threshold)
    truth = labels(samples)
    both = bool(truth.any() and not truth.all())
    return Comparison(
        first=f"{first.id} {first.version}",
        second=f"{second.id} {second.version}",
        n=len(samples),
        results=(results[0], results[1]),
        auroc_difference=auroc_difference(truth, logits[1], logits[0]) if both else None,
        agreement=share(int(np.sum(decided[0] == decided[1])), truth.size),
    )
