"""What a hospital that was never seen gets: each site is left out of a training once.

The network is trained, made INT8, calibrated and given its operating point on the other sites only;
then it reads every film of the site left out. This is measured and never packaged.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from quantize import recipe as straight_way
from quantize.evaluate import GraphLogits, graph_logits, measure
from quantize.spec import RecipeError

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.manifest import SiteResult
    from quantize.spec import Recipe, Site


def leave_out(
    recipe: Recipe, data: Path, work: Path, report: straight_way.Report
) -> list[SiteResult]:
    """Leave each trained site out once and measure on all its films.

    Raises
    ------
    RecipeError
        If the recipe trains on fewer than two sites.
    """
    trained = [site for site in recipe.sites if not site.spec.measure_only]
    if len(trained) < 2:
        raise RecipeError(f"{recipe.path}: one site cannot be left out of one.")
    return [_without(recipe, site, data, work / site.spec.name, report) for site in trained]


def _without(
    recipe: Recipe, left: Site, data: Path, work: Path, report: straight_way.Report
) -> SiteResult:
    unseen = replace(left, spec=replace(left.spec, measure_only=True))
    others = tuple(unseen if site is left else site for site in recipe.sites)
    bench = straight_way.gather(replace(recipe, sites=others), data, work)
    pruned = straight_way.prune_stage(bench, straight_way.train_stage(bench, report), report)
    straight_way.int8_stage(bench, straight_way.export_stage(bench, pruned))
    rules = straight_way.decide_stage(bench)
    samples = [s for s in bench.samples if s.site == left.spec.name]
    logits = graph_logits(bench.graphs.cpu, bench.images(samples), recipe.input)
    return measure(samples, GraphLogits(logits), rules)
