"""What pruning costs and saves: one trained network, cut to several ratios.

The training is done once and shared; each ratio has its own folder below the run's.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from appliance.preprocess import prepare
from quantize import recipe as straight_way
from quantize.evaluate import open_graph
from quantize.phantoms import golden_phantoms
from quantize.plots import write_pareto
from quantize.smoke import in_miniature
from quantize.spec import PruneSpec, RecipeError

if TYPE_CHECKING:
    from pathlib import Path

    from quantize.spec import Recipe

    Report = straight_way.Report

_TIMED = 100


@dataclass(frozen=True, slots=True)
class Point:
    """One ratio: what came out.

    Parameters
    ----------
    auroc
        Mean over the trained sites' test splits, CPU graph.
    flips
        Decisions of these splits that eight bits turned over.
    median_ms
        Of the CPU graph, one thread, one film at a time.
    """

    ratio: float
    auroc: float
    flips: float
    median_ms: float
    size_bytes: int


def pareto(
    recipe: Recipe,
    ratios: tuple[float, ...],
    data: Path,
    work: Path,
    report: Report,
    *,
    smoke: bool = False,
) -> list[Point]:
    """Cut to each ratio (0 is the uncut network) and write ``pareto.json`` and ``pareto.svg``.

    Raises
    ------
    RecipeError
        If the recipe has no ``[prune]`` to take the rest of the settings from.
    """
    recipe = in_miniature(recipe) if smoke else recipe
    if recipe.prune is None:
        raise RecipeError(f"{recipe.path}: pareto needs a [prune] table; its ratio is replaced.")
    base = straight_way.gather(recipe, data, work, smoke=smoke)
    straight_way.data_stage(base)
    trained = straight_way.train_stage(base, report)
    points = []
    for ratio in (0.0, *ratios):
        prune = replace(recipe.prune, ratio=ratio) if ratio else None
        points.append(_point(replace(recipe, prune=prune), prune, base, trained, report))
    lines = json.dumps([asdict(point) for point in points], indent=1)
    (work / "pareto.json").write_text(lines)
    write_pareto(points, work / "pareto.svg")
    return points


def _point(
    recipe: Recipe,
    prune: PruneSpec | None,
    base: straight_way.Bench,
    trained: straight_way.Weights,
    report: Report,
) -> Point:
    ratio = prune.ratio if prune else 0.0
    folder = base.stages.folder / f"ratio-{ratio:.2f}"
    bench = straight_way.gather(recipe, base.data, folder, smoke=base.smoke)
    shutil.copyfile(base.stages.folder / straight_way.WEIGHTS, folder / straight_way.WEIGHTS)
    pruned = straight_way.prune_stage(bench, trained, report)
    straight_way.int8_stage(bench, straight_way.export_stage(bench, pruned))
    _, results = straight_way.evaluate_stage(bench, straight_way.decide_stage(bench))
    test = [r for r in results if r.split == "test" and r.data_set in recipe.trained]
    graph = bench.graphs.cpu
    return Point(
        ratio=ratio,
        auroc=float(np.mean([r.auroc.value for r in test if r.auroc])),
        flips=float(np.mean([r.flips.value for r in test if r.flips])),
        median_ms=_median_ms(bench),
        size_bytes=graph.stat().st_size,
    )


def _median_ms(bench: straight_way.Bench) -> float:
    spec = bench.recipe.input
    session = open_graph(bench.graphs.cpu, threads=1)
    batch = {session.get_inputs()[0].name: prepare(golden_phantoms(spec.side_px)[0], spec)}
    times = []
    for _ in range(_TIMED):
        started = time.perf_counter()
        session.run(None, batch)
        times.append(1000 * (time.perf_counter() - started))
    return float(np.median(times))
