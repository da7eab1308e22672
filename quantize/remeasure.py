"""Measures a finished package again, by anyone who has the data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from quantize.data import DataError, read_grey, read_site, split_sha256
from quantize.decide import Platt
from quantize.evaluate import GraphLogits, Rules, graph_logits, measure
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
    known = {entry.name: entry for entry in manifest.data}
    unknown = [name for name in sets if name not in known]
    if unknown:
        raise DataError(f"{unknown[0]} is none of the package's data sets: {', '.join(known)}.")
    sites = {s.spec.name: s for s in read_recipe(ROOT / manifest.quantization.recipe).sites}
    return tuple(
        _measure(manifest, samples, data, reference)
        for name in sets or known
        for samples in _splits(sites[name], known[name], data)
    )


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


def _measure(
    manifest: ModelManifest, samples: list[Sample], data: Path, reference: Path | None
) -> SiteResult:
    calibration, point, band = (
        manifest.calibration[0],
        manifest.operating_points[0],
        manifest.abstention[0],
    )
    rules = Rules(
        Platt(calibration.slope, calibration.intercept), point.threshold, band.lower, band.upper
    )
    images = [read_grey(data / s.site / s.file) for s in samples]
    logits = GraphLogits(
        cpu=graph_logits(manifest.path("model.cpu.onnx"), images, manifest.input),
        fp32=graph_logits(reference, images, manifest.input) if reference else None,
        tensorrt=graph_logits(
            manifest.path("model.trt.onnx"), images, manifest.input, optimize=False
        ),
    )
    return measure(samples, logits, rules)
