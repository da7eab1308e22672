"""What the gate tells apart, measured with the device's own preprocessing and engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from appliance.manifest import SiteResult
from quantize.data import read_grey
from quantize.kinds_pictures import CHEST, turned
from quantize.metrics import auroc_interval, even_weights, share, weighted_quantile
from quantize.segment_evaluate import run_graph

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from quantize.kinds_data import Kinded
    from quantize.kinds_spec import KindRecipe

    Figures = NDArray[np.float64]
    Images = list[NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A graph that is asked, and how.

    Parameters
    ----------
    optimize
        False runs it node by node; see `quantize.segment_evaluate.run_graph`.
    """

    graph: Path
    recipe: KindRecipe
    optimize: bool = True

    def logits(self, images: Images) -> Figures:
        """Return the logits (n, outputs)."""
        spec = self.recipe.input
        answers = run_graph(self.graph, images, spec, optimize=self.optimize)
        return np.array([logits for logits, _ in answers], dtype=np.float64)

    def chest(self, logits: Figures) -> Figures:
        """Return the probability (n,) that each is a frontal chest film, of all kinds."""
        return shares(logits[:, self.recipe.group("kind")])[:, self._place(CHEST)]

    def told(self, logits: Figures, group: str) -> NDArray[np.intp]:
        """Return the place (n,) of the likeliest answer of a group."""
        return np.asarray(logits[:, self.recipe.group(group)].argmax(axis=1))

    def _place(self, kind: str) -> int:
        return self.recipe.codes("kind").index(kind)


def shares(logits: Figures) -> Figures:
    """Softmax over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def threshold_of(asked: Asked, samples: Sequence[Kinded], images: Images) -> float:
    """Return the probability below which the recipe's share of good films lies.

    Parameters
    ----------
    samples, images
        Validation films of the chest; every site weighs the same.
    """
    scores = asked.chest(asked.logits(images))
    sites = np.array([sample.site for sample in samples])
    weights = even_weights(np.ones(scores.size, dtype=np.bool_), sites)
    return weighted_quantile(scores, weights, asked.recipe.refused_share)


def images_of(root: Path, samples: Sequence[Kinded]) -> Images:
    """Decode the samples' images at their own sizes."""
    return [read_grey(root / s.site / s.file) for s in samples]


def measure_kind(
    samples: Sequence[Kinded],
    images: Images,
    graphs: tuple[Asked, Asked | None, Asked],
    threshold: float,
    chest_scores: Figures | None,
) -> SiteResult:
    """Measure one split of one site.

    Parameters
    ----------
    graphs
        The CPU graph, the FP32 graph (or None) and the TensorRT graph.
    chest_scores
        Probabilities of the trained sites' test films, against which a site that is no chest gets
        its AUROC; None for none.
    """
    cpu, fp32, tensorrt = graphs
    logits = cpu.logits(images)
    scores = cpu.chest(logits)
    n = len(samples)
    is_chest = samples[0].kind == CHEST
    passed = int((scores >= threshold).sum())
    right = cpu.recipe.codes("kind").index(samples[0].kind)
    change = None if fp32 is None else _change(scores, fp32.chest(fp32.logits(images)), threshold)
    other_engine = _change(scores, tensorrt.chest(tensorrt.logits(images)), threshold)
    rank = None
    if not is_chest and chest_scores is not None:
        truth = np.concatenate([np.ones(chest_scores.size), np.zeros(n)]).astype(np.bool_)
        rank = auroc_interval(truth, np.concatenate([chest_scores, scores]))
    return SiteResult(
        data_set=samples[0].site,
        split=samples[0].split,
        n_positive=n if is_chest else 0,
        n_negative=0 if is_chest else n,
        abstained=share(0, n),
        auroc=rank,
        sensitivity=share(passed, n) if is_chest else None,
        specificity=None if is_chest else share(n - passed, n),
        flips=None if change is None else share(change[0], n),
        mean_probability_change=None if change is None else change[1],
        tensorrt_flips=share(other_engine[0], n),
        tensorrt_mean_probability_change=other_engine[1],
        kind=share(int((cpu.told(logits, "kind") == right).sum()), n),
        upright=share(_sides_told(cpu, images), n) if is_chest else None,
        polarity=share(_polarities_told(cpu, images), n) if is_chest else None,
    )


def _change(ours: Figures, theirs: Figures, threshold: float) -> tuple[int, float]:
    flipped = (ours >= threshold) != (theirs >= threshold)
    return int(flipped.sum()), float(np.abs(ours - theirs).mean())


def _sides_told(asked: Asked, films: Images) -> int:
    """Count the films whose side up is told in all four positions."""
    right = np.ones(len(films), dtype=np.bool_)
    for turns in range(4):
        views = [turned(film, turns, inverted=False) for film in films]
        right &= asked.told(asked.logits(views), "orientation") == turns
    return int(right.sum())


def _polarities_told(asked: Asked, films: Images) -> int:
    """Count the films whose polarity is told as they are and inverted."""
    right = np.ones(len(films), dtype=np.bool_)
    for inverted in (False, True):
        views = [turned(film, 0, inverted=inverted) for film in films]
        right &= asked.told(asked.logits(views), "polarity") == int(inverted)
    return int(right.sum())
