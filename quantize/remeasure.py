"""Measures a finished package again, by anyone who has the data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from quantize.data import DataError, read_site, split_sha256
from quantize.decide import Platt
from quantize.evaluate import Graphs, Rules, SplitOutputs, measure, split_outputs
from quantize.films import read_shown
from quantize.spec import read_recipe

if TYPE_CHECKING:
    from appliance.manifest import ModelManifest, SiteResult, TrainingData
    from quantize.data import Sample
    from quantize.spec import Site

ROOT = Path(__file__).parent.parent


def remeasure(
    manifest: ModelManifest, data: Path, sets: tuple[str, ...], reference: Path | None
) -> tuple[SiteResult, ...]:
    """Measure a package on the validation and test splits of its data sets.

    Parameters
    ----------
    data
        Folder of the data sets.
    sets
        Names of those to measure; empty for all that the manifest lists.
    reference
        The FP32 graph for the paired comparison, or None to leave it out.

    Raises
    ------
    DataError
        If a set is unknown, is not there, or is not the one that the manifest names.
    """
    return tuple(
        measure(samples, outputs_of(manifest, samples, data, reference).logits, rules_of(manifest))
        for samples in splits_of(manifest, data, sets)
    )


def splits_of(manifest: ModelManifest, data: Path, sets: tuple[str, ...]) -> list[list[Sample]]:
    """Read the validation and test splits of a package's data sets, each as its manifest lists it.

    Raises
    ------
    DataError
        If a set is unknown, is not there, or is not the one that the manifest names.
    """
    known = {entry.name: entry for entry in manifest.data}
    unknown = [name for name in sets if name not in known]
    if unknown:
        raise DataError(f"{unknown[0]} is none of the package's data sets: {', '.join(known)}.")
    sites = sites_of(manifest)
    return [
        samples for name in sets or known for samples in _splits(sites[name], known[name], data)
    ]


def rules_of(manifest: ModelManifest) -> Rules:
    """Take from a manifest what turns its first logit into a decision."""
    calibration, point = manifest.calibration[0], manifest.operating_points[0]
    band, platt = manifest.abstention[0], Platt(calibration.slope, calibration.intercept)
    return Rules(platt, point.threshold, band.lower, band.upper)


def sites_of(manifest: ModelManifest) -> dict[str, Site]:
    """Read how the package's recipe reads each of its data sets."""
    recipe = read_recipe(ROOT / manifest.quantization.recipe)
    return {site.spec.name: site for site in recipe.sites}


def _splits(site: Site, listed: TrainingData, data: Path) -> list[list[Sample]]:
    samples = read_site(data, site.spec)
    splits = []
    for split in listed.splits:
        members = [s for s in samples if s.split == split.name]
        if split_sha256(members) != split.sha256:
            raise DataError(
                f"{listed.name}: the {split.name} split here is not the one that the manifest "
                "names; the figures would not be comparable."
            )
        if split.name != "train":
            splits.append(members)
    return splits


def graphs_of(manifest: ModelManifest, reference: Path | None) -> Graphs:
    """Say where a package's graphs lie."""
    return Graphs(manifest.path("model.cpu.onnx"), manifest.path("model.trt.onnx"), fp32=reference)


def outputs_of(
    manifest: ModelManifest, samples: list[Sample], data: Path, reference: Path | None
) -> SplitOutputs:
    """Run a package's graphs over one split."""
    images = read_shown(data, samples, manifest.input)
    return split_outputs(samples, images, manifest.input, graphs_of(manifest, reference))
