"""Where a new model version's threshold lies, from images that an old one has read too. Pure.

A threshold belongs to one model version: its successor may give every film another score. The
paired run maps it: first by quantiles, so that as many images are called abnormal as before; then
lower where that is needed for the bound. The bound is Wilks's (Ann. Math. Stat. 12:91, 1941): the
share of future images below the m-th smallest of n scores follows a beta distribution, whatever the
scores' own; it holds though the threshold is taken from the same images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from appliance.errors import RefusedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores = NDArray[np.float64]

__all__ = ["CONFIDENCE", "Mapped", "least_positives", "loss_bound", "map_threshold"]

CONFIDENCE = 0.95
_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Mapped:
    """A threshold for the new version.

    Parameters
    ----------
    threshold
        On the new version's probability.
    n, n_positive
        Images in the paired run, and those that the old version called abnormal.
    lost, gained
        Images of the run that only the old version, and that only the new one calls abnormal.
    loss_bound
        Of images like those that the old version calls abnormal, at most this share is missed by
        the new one, with a confidence of 95 %.
    lost_unmapped
        Images that would have been lost at the old version's threshold: what carrying it over
        would have done.
    """

    threshold: float
    n: int
    n_positive: int
    lost: int
    gained: int
    loss_bound: float
    lost_unmapped: int


def least_positives(most_loss: float) -> int:
    """Return how many abnormal images a bound on the loss takes, when none of them is missed."""
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(1 - most_loss))


def loss_bound(below: int, n: int) -> float:
    """Return the upper end (95 %, one-sided) of the share below the smallest score but `below`.

    Parameters
    ----------
    below
        So many of the `n` scores lie below the threshold, which is itself one of them.
    """
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _at_most(below, n, middle) > 1 - CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def map_threshold(old: Scores, old_threshold: float, new: Scores, most_loss: float) -> Mapped:
    """Map a threshold from an old version's probabilities to a new one's.

    Parameters
    ----------
    old, new
        float64 (n,): what both versions said of the same images, 0 to 1.
    old_threshold
        From here on the old version called an image abnormal.
    most_loss
        Of the images that it called abnormal, at most this share may be missed, 0 to 1.

    Raises
    ------
    RefusedError
        Too few images were called abnormal for that bound; the text says how many are needed.
    """
    positive = old >= old_threshold
    n_positive, needed = int(positive.sum()), least_positives(most_loss)
    if n_positive < needed:
        raise RefusedError(
            f"Too few stored images: {n_positive} were called abnormal, {needed} are needed to "
            f"bound the loss at {most_loss * 100:g} in 100. Wait for more, or allow more loss.",
            code="too_few_pairs",
        )
    kept = np.sort(new[positive])
    below = 0
    while _at_most(below + 1, n_positive, most_loss) <= 1 - CONFIDENCE:
        below += 1
    # As many images as before are at or above this one.
    quantile = float(np.sort(new)[::-1][n_positive - 1])
    threshold = min(quantile, float(kept[below]))
    lost = positive & (new < threshold)
    return Mapped(
        threshold=threshold,
        n=old.size,
        n_positive=n_positive,
        lost=int(lost.sum()),
        gained=int((~positive & (new >= threshold)).sum()),
        loss_bound=loss_bound(int(lost.sum()), n_positive),
        lost_unmapped=int((positive & (new < old_threshold)).sum()),
    )


def _at_most(successes: int, n: int, share: float) -> float:
    """Return the binomial probability of at most so many successes."""
    if share <= 0:
        return 1.0
    if share >= 1:
        return float(successes >= n)
    logs = (
        math.lgamma(n + 1)
        - math.lgamma(k + 1)
        - math.lgamma(n - k + 1)
        + k * math.log(share)
        + (n - k) * math.log1p(-share)
        for k in range(successes + 1)
    )
    return min(1.0, math.fsum(math.exp(value) for value in logs))
