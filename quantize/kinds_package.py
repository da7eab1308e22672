"""What a finished run of the gate says of itself: its manifest, and its card made from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.manifest import (
    SCHEMA,
    Golden,
    ModelManifest,
    OperatingPointSpec,
    Split,
    Task,
    TrainingData,
)
from quantize.assemble import quantization
from quantize.data import SPLITS
from quantize.kinds_data import kinds_sha256
from quantize.kinds_pictures import CHEST
from quantize.metrics import weighted_share, words
from quantize.segment_package import data_section, quantization_section, use_section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.manifest import SiteResult
    from quantize.kinds_data import Kinded
    from quantize.kinds_spec import KindRecipe


def kind_manifest(
    recipe: KindRecipe,
    samples: Sequence[Kinded],
    threshold: float,
    results: tuple[SiteResult, ...],
    kept_in_float: tuple[str, ...],
) -> ModelManifest:
    """Say everything but the files and the golden vectors."""
    return ModelManifest(
        schema=SCHEMA,
        id=recipe.id,
        version=recipe.version,
        title=recipe.title,
        task=Task.KIND,
        licence=recipe.licence,
        files={},
        input=recipe.input,
        outputs=recipe.outputs,
        calibration=(),
        operating_points=(_operating_point(recipe, samples, threshold, results),),
        abstention=(),
        intended_use=recipe.intended_use,
        data=_data(recipe, samples),
        results=results,
        quantization=quantization(
            recipe.path,
            "MinMax over training images drawn evenly over kinds; head bias corrected",
            recipe.int8.range_images,
            kept_in_float,
        ),
        golden=Golden(cpu_tolerance=0.0, n=0),
    )


def _operating_point(
    recipe: KindRecipe,
    samples: Sequence[Kinded],
    threshold: float,
    results: tuple[SiteResult, ...],
) -> OperatingPointSpec:
    validation = [s for s in samples if s.split == "val"]
    films = sum(s.kind == CHEST for s in validation)
    return OperatingPointSpec(
        output=CHEST,
        name="gate",
        threshold=threshold,
        target_sensitivity=1 - recipe.refused_share,
        chosen_on="validation splits of the chest films, every site weighted the same",
        n_positive=films,
        n_negative=len(validation) - films,
        sensitivity=weighted_share([r.sensitivity for r in results if r.split == "val"]),
        specificity=weighted_share([r.specificity for r in results if r.split == "val"]),
    )


def _data(recipe: KindRecipe, samples: Sequence[Kinded]) -> tuple[TrainingData, ...]:
    entries = []
    for site in recipe.sites:
        splits = []
        for name in SPLITS:
            members = [s for s in samples if s.site == site.name and s.split == name]
            n = len(members)
            if n:
                films = n if site.kind == CHEST else 0
                splits.append(Split(name, films, n - films, kinds_sha256(members)))
        use = "measured only" if site.use == "measure" else "trained and measured"
        entries.append(
            TrainingData(site.name, site.title, site.licence, site.source, use, tuple(splits))
        )
    return tuple(entries)


def kind_card(manifest: ModelManifest, notes: str) -> str:
    """Write the card as Markdown; every figure comes from the manifest."""
    parts = (
        f"# {manifest.title}: `{manifest.id}` {manifest.version}",
        f"Licence of the weights: {manifest.licence}.",
        (
            "The box asks it first of every image: what is of another kind is refused, and where "
            "it is not sure the answer is held back."
        ),
        use_section(manifest),
        _decisions(manifest),
        _results(manifest),
        _damage(manifest),
        quantization_section(manifest),
        data_section(manifest, "images"),
        notes.strip(),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _decisions(manifest: ModelManifest) -> str:
    point = manifest.operating_points[0]
    groups = dict.fromkeys(output.group for output in manifest.outputs)
    lines = [
        "## How it decides",
        "",
        "Within each group one answer is right; softmax over the group's logits gives its shares.",
        "",
        *(
            f"- {group}: " + ", ".join(o.label for o in manifest.outputs if o.group == group)
            for group in groups
        ),
        "",
        (
            "An image passes as a frontal chest film when that kind's share is "
            f"{point.threshold:.4f} or more. The threshold was chosen so that "
            f"{1 - point.target_sensitivity:.0%} of the films of the {point.chosen_on} "
            f"({point.n_positive} films), are refused."
        ),
    ]
    return "\n".join(lines)


def _results(manifest: ModelManifest) -> str:
    unseen = {data.name for data in manifest.data if data.use == "measured only"}
    lines = [
        "## What was measured",
        "",
        (
            "The shipped CPU graph, 95 % intervals (AUROC: DeLong; shares: Wilson). *AUROC*: the "
            "trained hospitals' chest test films against this set. *Side up*: films told rightly "
            "in all four positions; *polarity*: as they are and inverted (turned and inverted by "
            "code). A site marked *unseen* was never trained, tuned or chosen on."
        ),
        "",
        (
            "| data set | split | images | AUROC | chest films passed | others refused | "
            "kind told | side up | polarity |"
        ),
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for r in manifest.results:
        mark = " (*unseen*)" if r.data_set in unseen else ""
        cells = (
            f"{r.data_set}{mark}",
            r.split,
            str(r.n_positive + r.n_negative),
            *(words(x) for x in (r.auroc, r.sensitivity, r.specificity)),
            *(words(x) for x in (r.kind, r.upright, r.polarity)),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _damage(manifest: ModelManifest) -> str:
    lines = [
        "## What eight bits cost",
        "",
        (
            "Decisions (passed or refused) that differ from the FP32 network's, and those of the "
            "TensorRT graph that differ from the CPU graph's, with the mean change of the share."
        ),
        "",
        "| data set | split | FP32: flipped | mean change | TensorRT: flipped | mean change |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for r in manifest.results:
        cells = (
            r.data_set,
            r.split,
            words(r.flips, 4),
            _figure(r.mean_probability_change),
            words(r.tensorrt_flips, 4),
            _figure(r.tensorrt_mean_probability_change),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
