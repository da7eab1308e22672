"""A recipe in miniature: every stage and every gate runs, on a handful of films, within a minute.

What comes out is a package in form only. Its version and its title say so, and its gates are
reported and not obeyed: nothing can be learnt in five steps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from quantize.spec import Phase, PruneSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quantize.data import Sample
    from quantize.spec import Recipe

VERSION = "0.0.0-smoke"
FILMS = 5  # of each site, split and class
_SIDE_PX = 64


def in_miniature(recipe: Recipe) -> Recipe:
    """Shrink a recipe: small pictures, few steps, and pruning even where it has none."""
    train = replace(
        recipe.train,
        batch=4,
        phases=(Phase(32, 2), Phase(_SIDE_PX, 3)),
        checkpoint_steps=2,
    )
    prune = PruneSpec(
        ratio=0.3, rounds=2, recovery_steps=1, importance_batches=1, steps=2, learning_rate=1e-4
    )
    return replace(
        recipe,
        version=VERSION,
        title=f"NOT TO BE SHIPPED, a smoke run: {recipe.title}",
        input=replace(recipe.input, side_px=_SIDE_PX),
        train=train,
        prune=prune,
        int8=replace(recipe.int8, range_images=4),
        aware=None if recipe.aware is None else replace(recipe.aware, steps=1),
    )


def a_few(samples: Sequence[Sample]) -> list[Sample]:
    """Keep the first films of each site, split and class."""
    groups: dict[tuple[str, str, bool], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.site, sample.split, sample.positive), []).append(sample)
    return [sample for members in groups.values() for sample in members[:FILMS]]
