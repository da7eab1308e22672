"""What a hospital that was never seen gets: each site is left out of a training once.

The network is trained, made INT8, calibrated and given its operating point on the other sites only;
then it reads every film of the site left out. This is measured and never packaged.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from quantize import recipe as straight_way
from quantize.evaluate import GraphLogits, graph_logits, measure
from quantize.smoke import in_miniature
from quantize.spec import RecipeError

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.manifest import SiteResult
    from quantize.spec import Recipe


def leave_out(
    recipe: Recipe, data: Path, work: Path, report: straight_way.Report, *, smoke: bool = False
) -> list[SiteResult]:
    """Leave each trained site out once and measure on all its films.

    Raises
    ------
    RecipeError
        If the recipe trains on fewer than two sites.
    """
    recipe = in_miniature(recipe) if smoke else recipe
    trained = [site for site in recipe.sites if not site.spec.measure_only]
    if len(trained) < 2:
        raise RecipeError(f"{recipe.path}: one site cannot be left out of one.")
    results = []
    for left in trained:
        unseen = replace(left, spec=replace(left.spec, measure_only=True))
        sites = tuple(unseen if site is left else site for site in recipe.sites)
        without, folder = replace(recipe, sites=sites), work / left.spec.name
        bench = straight_way.gather(without, data, folder, smoke=smoke)
        results.append(_measured_on(left.spec.name, bench, report))
    return results


def _measured_on(left: str, bench: straight_way.Bench, report: straight_way.Report) -> SiteResult:
    pruned = straight_way.prune_stage(bench, straight_way.train_stage(bench, report), report)
    straight_way.int8_stage(bench, straight_way.export_stage(bench, pruned))
    rules = straight_way.decide_stage(bench)
    samples = [s for s in bench.samples if s.site == left]
    logits = graph_logits(bench.graphs.cpu, bench.images(samples), bench.recipe.input)
    return measure(samples, GraphLogits(logits), rules)
