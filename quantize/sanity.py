"""Whether the heat map shows what the network learnt.

Two tests that a handsome map can fail. With the weights shuffled the map must change (Adebayo and
others, Sanity Checks for Saliency Maps, NeurIPS 2018). And where an opacity is planted into a clear
film, the change of the map must point at it (the pointing game of Zhang and others, IJCV 2018, on
lesions whose place is known because code put them there).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import cv2
import numpy as np
import onnx

from appliance.preprocess import prepare, squeeze
from quantize.data import read_grey
from quantize.evaluate import graph_outputs, open_graph
from quantize.export import HEAD_BIAS
from quantize.films import frame_of, outliner

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from appliance.manifest import InputSpec
    from quantize.data import Sample
    from quantize.evaluate import GraphOutputs

    Film = NDArray[np.uint8]

_SEED = 20240601
# Where lungs are on a frontal film: rows, then columns of either side, as shares of the frame.
_ROWS, _SIDES = (0.30, 0.62), ((0.18, 0.38), (0.62, 0.82))
_RADIUS = (0.07, 0.10)  # of an opacity, as a share of the side
_OPACITY = 0.85  # how far towards the film's bright tissue it goes at its middle
_TIMED = 200  # runs for the cost of the map


def map_correlation(one: GraphOutputs, other: GraphOutputs) -> float:
    """Mean correlation of two graphs' maps, film by film."""
    return float(np.mean([_correlation(a, b) for a, b in zip(one.cams, other.cams, strict=True)]))


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    a, b = (x.astype(np.float64).ravel() - x.mean(dtype=np.float64) for x in (one, other))
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norms if norms else 0.0


def identity_error(graph: Path, outputs: GraphOutputs) -> float:
    """Largest ``|mean(cam) + bias - logit|``, relative to logits beyond 1."""
    entries = {entry.name: entry for entry in onnx.load(graph).graph.initializer}
    bias = float(onnx.numpy_helper.to_array(entries[HEAD_BIAS]).ravel()[0])
    made = outputs.cams.mean(axis=(1, 2), dtype=np.float64) + bias
    return float((np.abs(made - outputs.logits) / np.maximum(1, np.abs(outputs.logits))).max())


def map_cost(graph: Path, film: Film, spec: InputSpec) -> float:
    """Time that handing out the map adds, as a share of the time without it.

    Processor time of the one thread that runs, so that a busy machine does not count; the runs with
    and without the map take turns, and the faster half of each is averaged.
    """
    session, batch = open_graph(graph, threads=1), prepare(film, spec)
    name = session.get_inputs()[0].name
    times: dict[tuple[str, ...], list[float]] = {("logits",): [], ("logits", "cam"): []}
    for _ in range(_TIMED):
        for outputs, spent in times.items():
            started = time.thread_time()
            session.run(list(outputs), {name: batch})
            spent.append(time.thread_time() - started)
    without, with_map = (float(np.mean(np.sort(s)[: _TIMED // 2])) for s in times.values())
    return max(0.0, with_map / without - 1)


def shuffled_correlation(
    graph: Path, films: Sequence[Film], outputs: GraphOutputs, spec: InputSpec, *, all_layers: bool
) -> float:
    """Shuffle the weights of the classifier, or of every convolution, and compare the maps.

    Parameters
    ----------
    outputs
        What `graph` says of `films` as it is.

    Returns
    -------
    float
        Mean over the films of the correlation between the map before and after, and over five
        shuffles.
    """
    rng = np.random.default_rng(_SEED)
    with TemporaryDirectory() as scratch:
        found = []
        for number in range(5):
            path = f"{scratch}/{number}.onnx"
            onnx.save(_shuffled(onnx.load(graph), rng, all_layers=all_layers), path)
            found.append(map_correlation(outputs, graph_outputs(path, films, spec)))
    return float(np.mean(found))


def _shuffled(
    model: onnx.ModelProto, rng: np.random.Generator, *, all_layers: bool
) -> onnx.ModelProto:
    weights = [entry for entry in model.graph.initializer if len(entry.dims) == 4]
    order = {name: n for n, node in enumerate(model.graph.node) for name in node.input}
    weights.sort(key=lambda entry: order[entry.name])
    for entry in weights if all_layers else weights[-1:]:
        values = onnx.numpy_helper.to_array(entry)
        mixed = rng.permutation(values.ravel()).reshape(values.shape)
        entry.CopyFrom(onnx.numpy_helper.from_array(mixed, entry.name))
    return model


@dataclass(frozen=True, slots=True)
class Planted:
    """A film with an opacity, and where its middle is as (row, column), shares of the side."""

    film: Film
    middle: tuple[float, float]


def plant(film: Film, lungs: NDArray[np.bool_], rng: np.random.Generator) -> Planted:
    """Paste one soft, bright disc somewhere into aired lung: the darker half of the lungs.

    Parameters
    ----------
    film
        uint8 (side, side), bone bright.
    lungs
        (side, side), somewhere true.
    """
    side = film.shape[0]
    rows, columns = np.nonzero(lungs & (film <= np.median(film[lungs])))
    place = int(rng.integers(rows.size))
    row, column = int(rows[place]), int(columns[place])
    radius = rng.uniform(*_RADIUS) * side
    away = np.hypot(*np.ogrid[-row : side - row, -column : side - column])
    share = _OPACITY * np.exp(-((away / radius) ** 4))
    bright = float(np.percentile(film, 95))
    grey = film + share * np.maximum(bright - film.astype(np.float64), 0)
    middle = ((row + 0.5) / side, (column + 0.5) / side)
    return Planted(np.rint(grey).astype(np.uint8), middle)


def lung_area(root: Path, sample: Sample, spec: InputSpec) -> NDArray[np.bool_]:
    """Where an opacity may be planted: the film's lungs, their rim left out, or the usual place.

    The lungs are the drawn ones where there are some, else those that the model outlines which
    frames the film; a film that is shown whole has none then.

    Returns
    -------
    NDArray[np.bool_]
        (side, side), of what the network is shown.
    """
    side = spec.side_px
    usual = np.zeros((side, side), dtype=np.bool_)
    top, bottom = (round(r * side) for r in _ROWS)
    for left, right in _SIDES:
        usual[top:bottom, round(left * side) : round(right * side)] = True
    mask = _lungs_shown(root, sample, spec)
    if mask is None:
        return usual
    rim = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (round(_RADIUS[0] * side),) * 2)
    inner = np.asarray(cv2.erode((mask > 127).astype(np.uint8), rim)) > 0
    return inner if inner.any() else usual


def _lungs_shown(root: Path, sample: Sample, spec: InputSpec) -> NDArray[np.uint8] | None:
    if spec.frame is None:
        drawn = sample.lungmask
        return squeeze(read_grey(root / sample.site / drawn), spec.side_px) if drawn else None
    film = read_grey(root / sample.site / sample.file)
    rows, columns = film.shape
    if sample.lungmask:
        whole = read_grey(root / sample.site / sample.lungmask)
    else:
        whole = outliner(spec.frame.model).mask(film, spec.side_px)
    mask = np.asarray(cv2.resize(whole, (columns, rows)), dtype=np.uint8)
    frame = frame_of(film, spec.frame)
    return squeeze(mask[frame.top : frame.bottom, frame.left : frame.right], spec.side_px)


@dataclass(frozen=True, slots=True)
class PointingGame:
    """How many changes of the map point at the opacity, of how many, and what chance would give."""

    hits: int
    n: int
    chance: float


def pointing_game(
    graph: Path, films: Sequence[Film], lungs: Sequence[NDArray[np.bool_]], spec: InputSpec
) -> PointingGame:
    """Plant an opacity into each film and see where the map changes most.

    A change points at the opacity if it is largest in the opacity's own cell or one that touches
    it: on a coarse map these are many of all cells, so the share that blind pointing would hit is
    given beside it.

    Parameters
    ----------
    films
        Clear films, uint8 of any size.
    """
    rng = np.random.default_rng(_SEED)
    squares = [squeeze(film, spec.side_px) for film in films]
    planted = [plant(square, area, rng) for square, area in zip(squares, lungs, strict=True)]
    if not planted:
        return PointingGame(0, 0, 0.0)
    before = graph_outputs(graph, squares, spec).cams
    after = graph_outputs(graph, [p.film for p in planted], spec).cams
    targets = [_around(before.shape[1], p.middle) for p in planted]
    hits = sum(
        bool(target.ravel()[(a - b).argmax()])
        for a, b, target in zip(after, before, targets, strict=True)
    )
    return PointingGame(hits, len(planted), float(np.mean(targets)))


def _around(cells: int, middle: tuple[float, float]) -> NDArray[np.bool_]:
    """Mark the cell that holds a point and those that touch it."""
    target = np.zeros((cells, cells), dtype=np.bool_)
    row, column = (int(share * cells) for share in middle)
    target[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = True
    return target
