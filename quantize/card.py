"""The model card: every figure in it comes out of the run, none is typed by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantize.metrics import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.manifest import ModelManifest, SiteResult
    from quantize.gates import Gate
    from quantize.strata import Stratum


@dataclass(frozen=True, slots=True)
class CardEvidence:
    """What the card says beyond the manifest.

    Parameters
    ----------
    gates
        What the gates said.
    plots
        Names of the package's pictures.
    strata
        Figures of parts of the test splits.
    notes
        What was tried and why, written by people, Markdown.
    """

    gates: Sequence[Gate] = ()
    plots: Sequence[str] = ()
    strata: Sequence[Stratum] = ()
    notes: str = ""


def card(manifest: ModelManifest, evidence: CardEvidence) -> str:
    """Write the card as Markdown."""
    parts = (
        f"# {manifest.title}: `{manifest.id}` {manifest.version}",
        f"Licence of the weights: {manifest.licence}.",
        _use(manifest),
        _decisions(manifest),
        _results(manifest),
        _strata(evidence.strata),
        _plots(evidence.plots),
        _quantization(manifest),
        _gates(evidence.gates),
        _data(manifest),
        evidence.notes.strip(),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _use(manifest: ModelManifest) -> str:
    use = manifest.intended_use
    youngest, oldest = use.age_years
    lines = [
        "## What it is for",
        "",
        use.text.strip(),
        "",
        (
            f"- Modality: {', '.join(use.modalities)}; body part: {', '.join(use.body_parts)}; "
            f"view: {', '.join(use.views)}"
        ),
        f"- Age: {youngest:g} to {oldest:g} years",
        f"- Smallest image: {use.min_side_px} pixels on its shorter side",
        "",
        "## What it is not",
        "",
        *(f"- {limit}" for limit in use.limits),
    ]
    return "\n".join(lines)


def _decisions(manifest: ModelManifest) -> str:
    lines = ["## How it decides"]
    for point in manifest.operating_points:
        lines += [
            "",
            (
                f"**Operating point `{point.name}`** ({point.output}): probability "
                f"{point.threshold:.4f} or more. Chosen for a sensitivity of "
                f"{point.target_sensitivity:.2f} on the {point.chosen_on} "
                f"({point.n_positive} positive, {point.n_negative} negative): sensitivity "
                f"{words(point.sensitivity)}, specificity {words(point.specificity)}."
            ),
        ]
    for rule in manifest.calibration:
        lines += [
            "",
            (
                f"**Probability**: Platt scaling on the {rule.fitted_on}, n = {rule.n}. It holds "
                f"where {rule.prevalence:.0%} of the films are positive; where fewer are, it is "
                "too high."
            ),
        ]
    for band in manifest.abstention:
        lines += [
            "",
            (
                f"**Abstention**: a probability strictly between {band.lower:.4f} and "
                f"{band.upper:.4f} is not answered (Mondrian split conformal prediction, "
                f"alpha {band.alpha:g}: on films like the validation films, each class lies on its "
                f"own side or in the band in at least {1 - band.alpha:.0%} of the cases)."
            ),
        ]
    return "\n".join(lines)


def _results(manifest: ModelManifest) -> str:
    lines = [
        "## What was measured",
        "",
        (
            "The shipped CPU graph, 95 % intervals (AUROC: DeLong; shares: Wilson). Sensitivity "
            "and specificity are at the operating point over all films, abstained or not. A site "
            "marked *unseen* was never trained, tuned or chosen on."
        ),
        "",
        (
            "| data set | split | positive / negative | AUROC | sensitivity | specificity | "
            "calibration error | abstained | sensitivity, specificity where answered |"
        ),
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    unseen = {data.name for data in manifest.data if data.use == "measured only"}
    for result in manifest.results:
        mark = " (*unseen*)" if result.data_set in unseen else ""
        error = "-" if result.calibration_error is None else f"{result.calibration_error:.3f}"
        lines.append(
            f"| {result.data_set}{mark} | {result.split} | {result.n_positive} / "
            f"{result.n_negative} | {words(result.auroc)} | {words(result.sensitivity)} | "
            f"{words(result.specificity)} | {error} | {words(result.abstained)} | "
            f"{words(result.answered_sensitivity)}, {words(result.answered_specificity)} |"
        )
    return "\n".join(lines)


def _strata(parts: Sequence[Stratum]) -> str:
    if not parts:
        return ""
    lines = [
        "### Parts of the test splits",
        "",
        (
            "Where a table names sex, age or view. AUPRC depends on the share of positives in the "
            "split; the Brier score is the mean squared distance of the probability from the truth."
        ),
        "",
        (
            "| data set | films | positive / negative | AUROC | AUPRC | Brier | sensitivity | "
            "specificity |"
        ),
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for part in parts:
        area = "-" if part.auprc is None else f"{part.auprc:.3f}"
        lines.append(
            f"| {part.data_set} | {part.name} | {part.n_positive} / {part.n_negative} | "
            f"{words(part.auroc)} | {area} | {part.brier:.3f} | {words(part.sensitivity)} | "
            f"{words(part.specificity)} |"
        )
    return "\n".join(lines)


def _plots(names: Sequence[str]) -> str:
    return "\n".join(f"![{name.removesuffix('.svg')}]({name})" for name in names)


def _gates(verdicts: Sequence[Gate]) -> str:
    if not verdicts:
        return ""
    lines = [
        "## What it had to pass",
        "",
        "A package is not made while one of these refuses.",
        "",
        "| gate | | what was measured |",
        "| --- | --- | --- |",
    ]
    for gate in verdicts:
        said = "passed" if gate.passed else "**refused**"
        lines.append(f"| {gate.name} | {said} | {gate.sentence} |")
    return "\n".join(lines)


def _quantization(manifest: ModelManifest) -> str:
    made = manifest.quantization
    lines = [
        "## What eight bits cost",
        "",
        (
            f"Made with {made.tool}; range calibration: {made.range_calibration} "
            f"({made.n_images}). CPU graph: {made.cpu}. TensorRT graph: {made.tensorrt}. "
            f"{len(made.fp32_nodes)} nodes stay in floating point. Pruning: {made.pruning}."
        ),
        "",
        (
            "| data set | split | AUROC minus FP32's | flipped decisions | mean / largest change "
            "of probability | TensorRT graph against CPU graph: flipped, mean change |"
        ),
        "| --- | --- | --- | --- | --- | --- |",
        *(_damage(result) for result in manifest.results),
    ]
    return "\n".join(lines)


def _damage(result: SiteResult) -> str:
    return (
        f"| {result.data_set} | {result.split} | {words(result.auroc_difference, 4)} | "
        f"{words(result.flips, 4)} | {_figure(result.mean_probability_change)} / "
        f"{_figure(result.max_probability_change)} | {words(result.tensorrt_flips, 4)}, "
        f"{_figure(result.tensorrt_mean_probability_change)} |"
    )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _data(manifest: ModelManifest) -> str:
    lines = [
        "## Data",
        "",
        "| data set | what it is | licence | use | splits (positive / negative) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for data in manifest.data:
        splits = "; ".join(f"{s.name} {s.n_positive} / {s.n_negative}" for s in data.splits)
        lines.append(
            f"| {data.name} | [{data.title}]({data.source}) | {data.licence} | {data.use} | "
            f"{splits} |"
        )
    return "\n".join(lines)
