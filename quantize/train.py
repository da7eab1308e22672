"""Training: progressive size, even sampling, averaged weights, and a checkpoint to resume from.

On a CPU, glibc gives freed activations back to the kernel and faults them in again at each step.
``MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=8000000000 MALLOC_TOP_PAD_=500000000``
before the command made a step at 192 px 1.5 times as fast on two cores.
"""

from __future__ import annotations

import copy
import json
import math
import os
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn

from appliance.preprocess import prepare
from quantize.augment import Augmenter, whole
from quantize.data import labels
from quantize.lungs import outside, stray
from quantize.metrics import auroc
from quantize.opacities import elsewhere, opacity, plant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from appliance.domain import Frame
    from appliance.manifest import InputSpec
    from quantize.data import Sample
    from quantize.lungs import Lungs
    from quantize.network import Lite0
    from quantize.spec import TrainSpec


@dataclass(frozen=True, slots=True)
class Labelled:
    """Samples with their images, and their lungs where known, in the same order.

    The images are uint8 (n, h, w) or a list of (h, w); a film without a frame is shown whole.
    """

    samples: Sequence[Sample]
    images: Sequence[NDArray[np.uint8]]
    lungs: Lungs | None = None
    frames: Sequence[Frame] | None = None


class Batch(NamedTuple):
    """What one step of training takes.

    Parameters
    ----------
    views
        (n, 1, side, side), augmented and normalized, channels last.
    truth
        (n,), 0 or 1.
    outside
        (n, side / 32, side / 32): how far each cell lies outside the lungs; None if unknown.
    elsewhere
        (n, side / 32, side / 32): 1 in the cells of a film with a planted opacity that hold none of
        it, else 0; None where nothing was planted.
    """

    views: torch.Tensor
    truth: torch.Tensor
    outside: torch.Tensor | None
    elsewhere: torch.Tensor | None = None


class Average:
    """Exponential moving average of a network's weights and statistics."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval()
        self._decay = decay

    def update(self, network: nn.Module, step: int) -> None:
        """Fold the weights of `step` (from 0) in; young averages forget faster."""
        decay = min(self._decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for mine, theirs in zip(
                self.network.state_dict().values(), network.state_dict().values(), strict=True
            ):
                if mine.is_floating_point():
                    mine.lerp_(theirs, 1 - decay)
                else:
                    mine.copy_(theirs)


def draw(
    samples: Sequence[Sample], rng: np.random.Generator, count: int, *, by_view: bool = True
) -> NDArray[np.intp]:
    """Draw indices so that site and class are even, and (`by_view`) within them every view.

    A view (AP, PA) that goes with a label in one data set may otherwise be learnt as the disease.
    """
    groups: dict[tuple[str, bool], dict[str, list[int]]] = {}
    for index, sample in enumerate(samples):
        views = groups.setdefault((sample.site, sample.positive), {})
        views.setdefault(sample.view if by_view else "", []).append(index)
    names = list(groups)
    drawn = np.empty(count, dtype=np.intp)
    for place in range(count):
        views = groups[names[(place + rng.integers(len(names))) % len(names)]]
        view = list(views)[rng.integers(len(views))]
        drawn[place] = views[view][rng.integers(len(views[view]))]
    return drawn


def draw_batch(
    training: Labelled, spec: TrainSpec, input_spec: InputSpec, side_px: int, number: int
) -> Batch:
    """Draw and augment the films of one step; the same `number` gives the same batch."""
    rng = np.random.default_rng((spec.seed, number))
    augmenter = Augmenter(side_px, input_spec.exposure)
    chosen = draw(training.samples, rng, spec.batch, by_view=spec.by_view)
    truth = labels([training.samples[i] for i in chosen]).astype(np.float32)
    cells = side_px // 32
    views, stray_cells = [], []
    free = np.zeros((len(chosen), cells, cells), dtype=np.float32)
    for place, index in enumerate(chosen):
        image = training.images[index]
        frame = whole(image.shape) if training.frames is None else training.frames[index]
        placement = augmenter.placement(frame, rng)
        dense = None
        if training.lungs is not None:
            lungs = training.lungs.warped(index, placement, augmenter, image.shape)
            stray_cells.append(outside(lungs, cells))
            if not truth[place] and rng.random() < spec.plant:
                dense = opacity(lungs, rng)
        if dense is not None:
            truth[place] = 1.0
            free[place] = elsewhere(dense, cells)
        change = None if dense is None else partial(plant, dense=dense)
        views.append(augmenter.render(image, placement, rng, change))
    return Batch(
        _normalized(np.stack(views), input_spec),
        torch.from_numpy(truth),
        torch.from_numpy(np.stack(stray_cells)) if stray_cells else None,
        torch.from_numpy(free) if spec.plant else None,
    )


def train(
    network: Lite0,
    sets: tuple[Labelled, Labelled],
    spec: TrainSpec,
    input_spec: InputSpec,
    folder: Path,
    report: Callable[[int, dict[str, float]], None],
) -> Lite0:
    """Train `network`; resumes from `folder`'s checkpoint.

    Parameters
    ----------
    sets
        Training and validation images.
    folder
        Where ``checkpoint.pt``, ``best.pt`` and ``history.jsonl`` are kept.
    report
        Called after each step with the step and what was measured.

    Returns
    -------
    Lite0
        The averaged weights of the checkpoint with the best mean AUROC over the sites' validation
        splits: early stopping in which the largest site does not decide alone.
    """
    training, validation = sets
    state = _State(network, spec)
    state.resume(folder / "checkpoint.pt")
    best = Best(folder / "best.pt")
    started = time.monotonic()
    while state.step < spec.steps:
        torch.manual_seed(spec.seed * 1_000_003 + state.step)
        side_px = spec.side_px(state.step)
        loss = state.advance(draw_batch(training, spec, input_spec, side_px, state.step))
        measured = {"loss": loss, "seconds": time.monotonic() - started}
        if state.step % spec.checkpoint_steps == 0 or state.step == spec.steps:
            state.save(folder / "checkpoint.pt")
            found = _validate(state.average.network, validation, input_spec)
            best.keep(state.average.network, found)
            measured |= found
            _append(folder / "history.jsonl", {"step": state.step, **measured})
        report(state.step, measured)
    return best.take(state.average.network)


class Best:
    """The averaged weights of the checkpoint that did best on validation, every site alike."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self, network: Lite0, found: dict[str, float]) -> None:
        """Remember a checkpoint with its AUROC of every site, if none was better."""
        if not self._path.is_file() or _mean(found) >= self._read()["mean"]:
            torch.save({"mean": _mean(found), "network": network.state_dict()}, self._path)

    def take(self, network: Lite0) -> Lite0:
        """Return `network` as it was at the best checkpoint."""
        network.load_state_dict(self._read()["network"])
        return network

    def _read(self) -> dict[str, Any]:
        kept: dict[str, Any] = torch.load(self._path, map_location="cpu", weights_only=True)
        return kept


def _mean(found: dict[str, float]) -> float:
    return float(np.mean(list(found.values())))


def loss_of(network: Lite0, batch: Batch, truth: torch.Tensor, spec: TrainSpec) -> torch.Tensor:
    """Make the loss of a batch: the labels, silence outside the lungs, a map that mirrors.

    Left to itself the network gathers its evidence on one side of the map, wherever it was found:
    zero padding tells it where it is. So some films are shown mirrored too, their maps compared.

    Parameters
    ----------
    truth
        (n, outputs), 0 to 1, before smoothing.
    """
    count = spec.batch // 5 if spec.mirror_weight else 0
    views = torch.cat([batch.views, batch.views[:count].flip(-1)]) if count else batch.views
    logits, cam = network(views.contiguous(memory_format=torch.channels_last))
    target = torch.cat([truth, truth[:count]]) * (1 - spec.label_smoothing)
    target = target + spec.label_smoothing / 2
    loss = nn.functional.binary_cross_entropy_with_logits(logits, target)
    own = cam[: len(truth)]
    if batch.outside is not None:
        loss = loss + spec.stray_weight * stray(own, batch.outside)
    if batch.elsewhere is not None:
        loss = loss + spec.stray_weight * stray(own.relu(), batch.elsewhere)
    if count:
        mirrored = cam[len(truth) :].flip(-1)
        loss = loss + spec.mirror_weight * nn.functional.smooth_l1_loss(mirrored, own[:count])
    return loss


class _State:
    """Everything that a checkpoint holds."""

    def __init__(self, network: Lite0, spec: TrainSpec) -> None:
        self.spec = spec
        self.step = 0
        self.network = network.to(memory_format=torch.channels_last)
        self.average = Average(self.network, spec.average_decay)
        head = [self.network.classifier.weight, self.network.bias]
        known = {id(p) for p in head}
        body = [p for p in self.network.parameters() if id(p) not in known]
        groups = [
            {"params": [p for p in body if p.ndim > 1], "peak": spec.learning_rate},
            {"params": [p for p in body if p.ndim == 1], "peak": spec.learning_rate},
            {"params": head, "peak": spec.head_learning_rate},
        ]
        groups[1]["weight_decay"] = 0.0
        self.optimizer = torch.optim.AdamW(groups, weight_decay=spec.weight_decay, fused=True)

    def resume(self, path: Path) -> None:
        if not path.is_file():
            return
        kept = torch.load(path, map_location="cpu", weights_only=True)
        self.step = kept["step"]
        self.network.load_state_dict(kept["network"])
        self.average.network.load_state_dict(kept["average"])
        self.optimizer.load_state_dict(kept["optimizer"])

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        torch.save(
            {
                "step": self.step,
                "network": self.network.state_dict(),
                "average": self.average.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            },
            fresh,
        )
        os.replace(fresh, path)  # noqa: PTH105 - says what it is: an atomic replacement

    def advance(self, batch: Batch) -> float:
        self.network.train()
        thaw(self.network, self.step, self.spec.unfreeze)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * one_cycle(self.step / self.spec.steps)
        loss = loss_of(self.network, batch, batch.truth[:, None], self.spec)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimizer.step()
        self.average.update(self.network, self.step)
        self.step += 1
        return float(loss.detach())


def thaw(network: Lite0, step: int, unfreeze: tuple[int, int]) -> None:
    """Let only the classifier learn at first, then the deeper half too, then everything.

    New weights in the classifier give wild gradients; the published ones need not follow them.
    """
    deeper, all_of_it = unfreeze
    half = len(network.blocks) // 2
    deep = [network.blocks[half:], network.head, network.head_norm]
    shallow = [network.stem, network.stem_norm, network.blocks[:half]]
    for parts, start in ((deep, deeper), (shallow, all_of_it)):
        for part in parts:
            part.requires_grad_(step >= start)


def one_cycle(progress: float, warm_up: float = 0.1) -> float:
    """Share of the peak learning rate at `progress` (0 to 1): linear up, cosine down to 1 %."""
    if progress < warm_up:
        return 0.04 + 0.96 * progress / warm_up
    return 0.01 + 0.99 * (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up))) / 2


def _normalized(views: NDArray[np.uint8], spec: InputSpec) -> torch.Tensor:
    batch = (views.astype(np.float32) / 255 - spec.mean) / spec.std
    return torch.from_numpy(batch.astype(np.float32))[:, None].contiguous(
        memory_format=torch.channels_last
    )


def logits_of(
    network: Lite0, images: Sequence[NDArray[np.uint8]], spec: InputSpec, batch: int = 32
) -> NDArray[np.float64]:
    """Logits (n, outputs) of displayed images through the device's own preprocessing."""
    network.eval()
    rows: list[NDArray[np.float32]] = []
    with torch.inference_mode():
        for chunk in _chunks(images, batch):
            inputs = np.concatenate([prepare(image, spec) for image in chunk])
            rows.append(network(torch.from_numpy(inputs))[0].numpy())
    return np.concatenate(rows).astype(np.float64)


def _chunks(
    images: Sequence[NDArray[np.uint8]], size: int
) -> Iterator[Sequence[NDArray[np.uint8]]]:
    for start in range(0, len(images), size):
        yield images[start : start + size]


def _validate(network: Lite0, validation: Labelled, spec: InputSpec) -> dict[str, float]:
    scores = logits_of(network, validation.images, spec)[:, 0]
    truth = labels(validation.samples)
    sites = np.array([s.site for s in validation.samples])
    return {
        f"auroc {site}": auroc(truth[sites == site], scores[sites == site])
        for site in dict.fromkeys(sites.tolist())
    }


def _append(path: Path, line: dict[str, float]) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")
