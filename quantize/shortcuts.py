"""What can be told without looking at the chest: the figure that a network has to beat.

Two models see no anatomy: one is given twelve statistics of the whole picture (brightness, spread,
percentiles, sharpness, borders), the other its outer ring alone. Both look at the picture as the
network gets it, after resize and exposure stretch, and are trained on a site's own training split.
Where they tell the classes apart, the classes differ by machine, exposure or cropping, and a
network that does no better may have learnt nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from appliance.preprocess import squeeze, stretch
from quantize.data import labels, read_grey
from quantize.metrics import auroc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from appliance.manifest import InputSpec
    from quantize.data import Sample

ALL_SITES = "all sites"
SIDE_PX = 96
RING = 0.08  # of the side, at each edge
_RING_PX = 25  # the ring is read off a picture of this side, where it is two pixels wide
_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)


@dataclass(frozen=True, slots=True)
class Shortcut:
    """How well a model without anatomy does on a site's test split."""

    site: str
    kind: str
    auroc: float


def statistics(picture: NDArray[np.uint8]) -> list[float]:
    """Twelve numbers of a square uint8 picture; none says where anything is, but the border."""
    grey = picture.astype(np.float32)
    ring = _ring(picture.shape[0], max(1, round(RING * picture.shape[0])))
    detail = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 2)).mean()
    values = [grey.mean(), grey.std(), *np.percentile(grey, _PERCENTILES), np.log1p(detail)]
    return [float(v) for v in (*values, grey[ring].mean(), grey[ring].std())]


def border(picture: NDArray[np.uint8]) -> list[float]:
    """Grey values of the outer ring of a square uint8 picture, shrunk."""
    size = (_RING_PX, _RING_PX)
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    ring: list[float] = small[_ring(_RING_PX, round(RING * _RING_PX))].tolist()
    return ring


def _ring(side: int, width: int) -> NDArray[np.bool_]:
    ring = np.ones((side, side), dtype=np.bool_)
    ring[width:-width, width:-width] = False
    return ring


KINDS: dict[str, Callable[[NDArray[np.uint8]], list[float]]] = {
    "image statistics": statistics,
    "the border alone": border,
}


def shortcuts(data: Path, samples: Sequence[Sample], spec: InputSpec) -> list[Shortcut]:
    """Train the models without anatomy on every site and measure them on its test split.

    Where a site has one class only, the hospital itself tells the class: then all sites are also
    taken together.

    Returns
    -------
    list[Shortcut]
        For each site and kind the better of a linear model and of boosted trees.
    """
    sites = {
        name: [s for s in samples if s.site == name]
        for name in dict.fromkeys(s.site for s in samples)
    }
    groups = {name: members for name, members in sites.items() if _tells_classes(members)}
    if len(groups) < len(sites) and _tells_classes(samples):
        groups[ALL_SITES] = list(samples)
    return [
        Shortcut(name, kind, _best(data, members, spec, look))
        for name, members in groups.items()
        for kind, look in KINDS.items()
    ]


def _tells_classes(samples: Sequence[Sample]) -> bool:
    """Whether both classes are in the training and in the test split."""
    groups = {(s.split, s.positive) for s in samples if s.split in ("train", "test")}
    return len(groups) == 4


def _best(
    data: Path, samples: Sequence[Sample], spec: InputSpec, look: Callable[..., list[float]]
) -> float:
    splits = [[s for s in samples if s.split == name] for name in ("train", "test")]
    known, unknown = (np.array([look(_seen(data, s, spec)) for s in split]) for split in splits)
    truths = [labels(split) for split in splits]
    return max(
        auroc(truths[1], model.fit(known, truths[0]).predict_proba(unknown)[:, 1])
        for model in _models()
    )


def _seen(data: Path, sample: Sample, spec: InputSpec) -> NDArray[np.uint8]:
    picture = squeeze(read_grey(data / sample.site / sample.file), SIDE_PX)
    if spec.exposure is None:
        return picture
    return stretch(picture, spec.exposure.low_percentile, spec.exposure.high_percentile)


def _models() -> tuple[object, ...]:
    linear = LogisticRegression(C=0.3, max_iter=2000, class_weight="balanced")
    trees = HistGradientBoostingClassifier(
        max_iter=100, max_leaf_nodes=8, l2_regularization=1.0, random_state=0
    )
    return make_pipeline(StandardScaler(), linear), trees
