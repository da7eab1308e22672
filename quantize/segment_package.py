"""What a finished segmentation run says of itself: its manifest, and its card made from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.manifest import SCHEMA, Golden, ModelManifest, Split, Task, TrainingData
from quantize.assemble import quantization
from quantize.data import SPLITS
from quantize.metrics import words
from quantize.segment_data import outlined_sha256

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.manifest import SiteResult
    from quantize.segment_data import Outlined
    from quantize.segment_spec import OutlineRecipe


_DECISION = """## How it decides

Each place of the film gets a logit; where it is positive, the place is lung. Specks below 1 % of
the film are dropped and holes filled. An outline that fills less than 8 % or more than 75 % of the
film, or falls into more than three patches, is not shown: *the lung fields could not be outlined*.
The measurement `lung_field_fraction` is the outlined area over the image's area."""


def outline_manifest(
    recipe: OutlineRecipe,
    samples: Sequence[Outlined],
    results: tuple[SiteResult, ...],
    kept_in_float: tuple[str, ...],
) -> ModelManifest:
    """Say everything but the files and the golden vectors."""
    return ModelManifest(
        schema=SCHEMA,
        id=recipe.id,
        version=recipe.version,
        title=recipe.title,
        task=Task.SEGMENTATION,
        licence=recipe.licence,
        files={},
        input=recipe.input,
        outputs=(recipe.output,),
        calibration=(),
        operating_points=(),
        abstention=(),
        intended_use=recipe.intended_use,
        data=_data(recipe, samples),
        results=results,
        quantization=quantization(
            recipe.path,
            "MinMax over training films drawn evenly over sites; head bias corrected",
            recipe.int8.range_images,
            kept_in_float,
        ),
        golden=Golden(cpu_tolerance=0.0, n=0),
    )


def _data(recipe: OutlineRecipe, samples: Sequence[Outlined]) -> tuple[TrainingData, ...]:
    entries = []
    for site in recipe.sites:
        splits = []
        for name in SPLITS:
            members = [s for s in samples if s.site == site.name and s.split == name]
            if members:
                splits.append(Split(name, len(members), 0, outlined_sha256(members)))
        entries.append(
            TrainingData(
                site.name,
                site.title,
                site.licence,
                site.source,
                "trained and measured",
                tuple(splits),
            )
        )
    return tuple(entries)


def outline_card(manifest: ModelManifest, notes: str) -> str:
    """Write the card as Markdown; every figure comes from the manifest.

    Parameters
    ----------
    notes
        What was tried and what fell short, written by people, Markdown.
    """
    parts = (
        f"# {manifest.title}: `{manifest.id}` {manifest.version}",
        f"Licence of the weights: {manifest.licence}.",
        use_section(manifest),
        _DECISION,
        _results(manifest),
        quantization_section(manifest),
        data_section(manifest, "films"),
        notes.strip(),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def use_section(manifest: ModelManifest) -> str:
    """Write what the model is for and what it is not."""
    use = manifest.intended_use
    youngest, oldest = use.age_years
    lines = [
        "## What it is for",
        "",
        use.text.strip(),
        "",
        f"- Modality: {', '.join(use.modalities)}",
        f"- Body part: {', '.join(use.body_parts)}; view: {', '.join(use.views)}",
        f"- Age: {youngest:g} to {oldest:g} years",
        f"- Smallest image: {use.min_side_px} pixels on its shorter side",
        "",
        "## What it is not",
        "",
        *(f"- {limit}" for limit in use.limits),
    ]
    return "\n".join(lines)


def _results(manifest: ModelManifest) -> str:
    lines = [
        "## What was measured",
        "",
        (
            "Dice of the outline with the hand-drawn mask at the film's own size: mean over all "
            "films, those whose outline would not be shown too, with the 95 % bootstrap interval "
            "over patients. *Not shown*: share of films, Wilson's interval."
        ),
        "",
        "| data set | split | films | Dice | INT8 - FP32 | TensorRT - CPU graph | not shown |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {r.data_set} | {r.split} | {r.n_positive} | {words(r.dice)} | "
        f"{words(r.dice_difference, 4)} | {words(r.tensorrt_dice_difference, 4)} | "
        f"{words(r.abstained)} |"
        for r in manifest.results
    ]
    return "\n".join(lines)


def quantization_section(manifest: ModelManifest) -> str:
    """Write how the graphs were made."""
    made = manifest.quantization
    return (
        "## How eight bits were made\n\n"
        f"Made with {made.tool}; range calibration: {made.range_calibration} ({made.n_images}). "
        f"CPU graph: {made.cpu}. TensorRT graph: {made.tensorrt}. {len(made.fp32_nodes)} nodes "
        "stay in floating point."
    )


def data_section(manifest: ModelManifest, what: str) -> str:
    """List the data sets, with the size of each split in `what`."""
    lines = [
        "## Data",
        "",
        f"| data set | what it is | licence | use | {what} |",
        "| --- | --- | --- | --- | --- |",
    ]
    for data in manifest.data:
        splits = "; ".join(f"{s.name} {s.n_positive + s.n_negative}" for s in data.splits)
        lines.append(
            f"| {data.name} | [{data.title}]({data.source}) | {data.licence} | {data.use} | "
            f"{splits} |"
        )
    return "\n".join(lines)
