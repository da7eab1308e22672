"""Measures a split with a package's graphs, and a finished package again; needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from quantize.assemble import GRAPHS
from quantize.data import DataError
from quantize.segment_data import load_films, outlined_sha256, read_outlined
from quantize.segment_evaluate import measure_outlines, outlines_of
from quantize.segment_spec import read_outline_recipe

if TYPE_CHECKING:
    from appliance.manifest import ModelManifest, SiteResult
    from quantize.segment_data import Films
    from quantize.segment_spec import OutlineRecipe

ROOT = Path(__file__).parent.parent


def measure_split(
    films: Films, graphs: tuple[Path, Path | None, Path], recipe: OutlineRecipe
) -> SiteResult:
    """Measure the CPU graph on one split; compare FP32 (where given) and TensorRT with it."""
    cpu, fp32, tensorrt = graphs
    spec, output = recipe.input, recipe.output
    return measure_outlines(
        films,
        outlines_of(cpu, films, spec, output),
        None if fp32 is None else outlines_of(fp32, films, spec, output),
        outlines_of(tensorrt, films, spec, output, optimize=False),
    )


def remeasure_outlines(
    manifest: ModelManifest, data: Path, sets: tuple[str, ...], reference: Path | None
) -> tuple[SiteResult, ...]:
    """Measure a finished package again on the validation and test splits of its data sets.

    Parameters
    ----------
    sets
        Names of those to measure; empty for all that the manifest lists.
    reference
        The FP32 graph for the paired comparison, or None to leave it out.

    Raises
    ------
    DataError
        If a set is unknown, is not there, or is not the one that the manifest names.
    """
    known = {entry.name: entry for entry in manifest.data}
    recipe = read_outline_recipe(ROOT / manifest.quantization.recipe)
    columns = {site.name: site.column for site in recipe.sites}
    graphs = (manifest.path(GRAPHS[0]), reference, manifest.path(GRAPHS[1]))
    results = []
    for name in sets or known:
        if name not in known:
            raise DataError(f"{name} is none of the package's data sets: {', '.join(known)}.")
        samples = read_outlined(data, name, columns[name])
        for split in known[name].splits:
            members = [s for s in samples if s.split == split.name]
            if outlined_sha256(members) != split.sha256:
                raise DataError(
                    f"{name}: the {split.name} split here is not the one that the manifest names; "
                    "the figures would not be comparable."
                )
            if split.name != "train":
                results.append(measure_split(load_films(data, members), graphs, recipe))
    return tuple(results)
