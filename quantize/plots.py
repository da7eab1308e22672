"""Curves of a model as SVG: drawn once, the same bytes each time, readable in black and white."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from quantize.data import labels
from quantize.metrics import auroc_interval, even_weights, roc, share

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from appliance.manifest import Interval
    from quantize.evaluate import Rules, SplitOutputs
    from quantize.metrics import Scores, Truth
    from quantize.pareto import Point

INK, PAPER, LINE = "#10212B", "#FBFAF7", "#D8DDDD"
# Colour, dash and mark of each line: none is told by colour alone.
_STYLES = (
    ("#0B6E75", "-", "o"),
    ("#8A5A00", "--", "s"),
    ("#5B4B8A", ":", "^"),
    ("#B3261E", "-.", "D"),
)
_BINS = 10
_LEAST_IN_BIN = 5


def write_plots(outputs: Sequence[SplitOutputs], rules: Rules, folder: Path) -> tuple[str, ...]:
    """Draw ROC and reliability of every test split that has both classes.

    Returns
    -------
    tuple[str, ...]
        Names of the files; none where no split has both classes.
    """
    drawn = [part for part in outputs if part.samples[0].split == "test" and _has_both(part)]
    if not drawn:
        return ()
    with _axes(folder / "roc.svg", "1 - specificity", "sensitivity") as axes:
        _roc(axes, drawn)
    with _axes(
        folder / "reliability.svg", "probability", "share of positives, classes even"
    ) as axes:
        _reliability(axes, drawn, rules)
    return "roc.svg", "reliability.svg"


def write_pareto(points: Sequence[Point], path: Path) -> None:
    """Draw what pruning costs and saves: AUROC over time, the point's area its size in bytes."""
    with _axes(path, "time of one film (ms, one thread)", "AUROC, mean of the test splits") as axes:
        axes.set_xlim(0, max(point.median_ms for point in points) * 1.15)
        axes.set_ylim(min(p.auroc for p in points) - 0.02, max(p.auroc for p in points) + 0.02)
        largest = max(point.size_bytes for point in points)
        for point in points:
            area = 300 * point.size_bytes / largest
            axes.scatter(point.median_ms, point.auroc, s=area, color=_STYLES[0][0], zorder=3)
            text = f"{point.ratio:.0%} cut, {point.size_bytes / 1e6:.1f} MB"
            axes.annotate(text, (point.median_ms, point.auroc), (8, 8), textcoords="offset points")


@contextmanager
def _axes(path: Path, x: str, y: str) -> Iterator[Axes]:
    style = {
        "svg.hashsalt": path.name,
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 10,
        "text.color": INK,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.linewidth": 0.6,
        "xtick.color": INK,
        "ytick.color": INK,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(4.6, 4.6), facecolor=PAPER, layout="tight")
        axes = figure.add_subplot(facecolor=PAPER)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color=LINE, linewidth=0.5)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        yield axes
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": "waypost"})


def _has_both(part: SplitOutputs) -> bool:
    return len({sample.positive for sample in part.samples}) == 2


def _roc(axes: Axes, parts: Sequence[SplitOutputs]) -> None:
    axes.plot([0, 1], [0, 1], color=LINE, linewidth=0.8)
    for part, (colour, dash, _) in zip(parts, _STYLES, strict=False):
        truth = labels(part.samples)
        area = auroc_interval(truth, part.cpu.logits)
        name = f"{part.samples[0].site}: {area.value:.3f} ({area.low:.3f} to {area.high:.3f})"
        axes.plot(
            *roc(truth, part.cpu.logits),
            color=colour,
            linestyle=dash,
            linewidth=1.4,
            label=f"{name}, n = {truth.size}",
        )
    axes.legend(loc="lower right", frameon=False, fontsize=8)


def _reliability(axes: Axes, parts: Sequence[SplitOutputs], rules: Rules) -> None:
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.6)
    for number, (part, style) in enumerate(zip(parts, _STYLES, strict=False)):
        colour, dash, mark = style
        truth, probabilities = labels(part.samples), rules.platt(part.cpu.logits)
        place = np.minimum((probabilities * _BINS).astype(int), _BINS - 1)
        bins = [place == n for n in range(_BINS) if (place == n).sum() >= _LEAST_IN_BIN]
        weights = even_weights(truth, np.full(truth.size, "site"))
        seen = [_weighted_share(truth[b], weights[b]) for b in bins]
        middles = [float(probabilities[b].mean()) + 0.004 * number for b in bins]
        values = [s.value for s in seen]
        spread = [[s.value - s.low for s in seen], [s.high - s.value for s in seen]]
        axes.errorbar(
            middles, values, yerr=np.maximum(spread, 0), color=colour, linestyle=dash, marker=mark,
            markersize=4, linewidth=1.2, elinewidth=0.7, capsize=2,
            label=f"{part.samples[0].site}, n = {truth.size}",
        )  # fmt: skip
    axes.legend(loc="lower right", frameon=False, fontsize=8)


def _weighted_share(truth: Truth, weights: Scores) -> Interval:
    """Share of positives with both classes of the site weighted evenly, as the calibration is.

    The interval is Wilson's for the number of equally weighted films that would tell as much.
    """
    n = float(weights.sum() ** 2 / (weights**2).sum())
    return share(float(np.average(truth, weights=weights)) * n, n)
