"""Measures the sites with the gate's graphs, and a finished package again; needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from quantize.assemble import GRAPHS
from quantize.data import DataError
from quantize.kinds_data import kinds_sha256, read_kinds
from quantize.kinds_evaluate import Asked, images_of, measure_kind
from quantize.kinds_pictures import CHEST
from quantize.kinds_spec import read_kind_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.manifest import ModelManifest, SiteResult
    from quantize.kinds_data import Kinded
    from quantize.kinds_spec import KindRecipe

ROOT = Path(__file__).parent.parent


def measure_kinds(
    recipe: KindRecipe,
    data: Path,
    samples: Sequence[Kinded],
    graphs: tuple[Path, Path | None, Path],
    threshold: float,
    sets: tuple[str, ...] = (),
) -> tuple[SiteResult, ...]:
    """Measure the sites named in `sets` (all where it is empty), validation splits first."""
    cpu, fp32, tensorrt = graphs
    asked = (
        Asked(cpu, recipe),
        None if fp32 is None else Asked(fp32, recipe),
        Asked(tensorrt, recipe, optimize=False),
    )
    trained = {site.name for site in recipe.sites if site.use == "train"}
    films = [s for s in samples if s.split == "test" and s.kind == CHEST and s.site in trained]
    chest = asked[0].chest(asked[0].logits(images_of(data, films)))
    return tuple(
        measure_kind(
            chosen,
            images_of(data, chosen),
            asked,
            threshold,
            chest if split == "test" else None,
        )
        for split in ("val", "test")
        for site in recipe.sites
        if (not sets or site.name in sets)
        and (chosen := [s for s in samples if (s.site, s.split) == (site.name, split)])
    )


def remeasure_kinds(
    manifest: ModelManifest, data: Path, sets: tuple[str, ...], reference: Path | None
) -> tuple[SiteResult, ...]:
    """Measure a finished package again; see `quantize.segment_remeasure`.

    Raises
    ------
    DataError
        If a set is unknown, is not there, or is not the one that the manifest names.
    """
    known = {entry.name: entry for entry in manifest.data}
    for name in sets:
        if name not in known:
            raise DataError(f"{name} is none of the package's data sets: {', '.join(known)}.")
    recipe = read_kind_recipe(ROOT / manifest.quantization.recipe)
    samples = tuple(s for site in recipe.sites for s in read_kinds(data, site))
    for entry in known.values():
        for split in entry.splits:
            members = [s for s in samples if (s.site, s.split) == (entry.name, split.name)]
            if kinds_sha256(members) != split.sha256:
                raise DataError(
                    f"{entry.name}: the {split.name} split here is not the one that the manifest "
                    "names; the figures would not be comparable."
                )
    graphs = (manifest.path(GRAPHS[0]), reference, manifest.path(GRAPHS[1]))
    threshold = manifest.operating_points[0].threshold
    return measure_kinds(recipe, data, samples, graphs, threshold, sets)
