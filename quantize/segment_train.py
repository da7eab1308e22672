"""Training of a network that outlines: the same augmentation as the classifiers', masks along."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import nn

from quantize.augment import Augmenter, take_greys, whole
from quantize.train import Average, one_cycle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from appliance.manifest import InputSpec
    from quantize.segment_data import Films
    from quantize.segment_network import Outliner
    from quantize.segment_spec import OutlineTraining

    Report = Callable[[int, dict[str, float]], None]

_EXCHANGED_SHARE = 0.3  # of the views: with the greys of another film
_CLOUDED_SHARE = 0.35
_MORE_TURN = 5.0  # degrees, beyond the augmenter's own 10


def train_outliner(
    network: Outliner,
    films: Films,
    spec: OutlineTraining,
    input_spec: InputSpec,
    folder: Path,
    report: Report,
) -> Outliner:
    """Train `network` and return its averaged weights; resumes from `folder`'s checkpoint.

    Parameters
    ----------
    films
        Training films with their masks.
    report
        Called after each step with the step and its loss.
    """
    state = _State(network, spec)
    state.resume(folder / "checkpoint.pt")
    started = time.monotonic()
    while state.step < spec.steps:
        rng = np.random.default_rng((spec.seed, state.step))
        views, masks = _batch(films, spec, input_spec, state.step, rng)
        loss = state.advance(views, masks)
        if state.step % spec.checkpoint_steps == 0 or state.step == spec.steps:
            state.save(folder / "checkpoint.pt")
            line = {"step": state.step, "loss": loss, "seconds": time.monotonic() - started}
            with (folder / "history.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
        report(state.step, {"loss": loss})
    return state.average.network  # type: ignore[return-value] - a copy of what was given


def _batch(
    films: Films,
    spec: OutlineTraining,
    input_spec: InputSpec,
    step: int,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Draw one step's views (n, 1, s, s), normalized, and masks (n, 1, s/2, s/2), 0 to 1.

    Sites are drawn evenly: the smaller one is the adults.
    """
    of_site: dict[str, list[int]] = {}
    for index, sample in enumerate(films.samples):
        of_site.setdefault(sample.site, []).append(index)
    sites = list(of_site.values())
    augmenter = Augmenter(spec.side_px(step), input_spec.exposure)
    pairs = []
    for _ in range(spec.batch):
        index, other = (int(rng.choice(sites[int(rng.integers(len(sites)))])) for _ in range(2))
        pairs.append(_pair(films, index, films.images[other], augmenter, rng))
    views, masks = (np.stack(side).astype(np.float32) / 255 for side in zip(*pairs, strict=True))
    grey = ((views - input_spec.mean) / input_spec.std).astype(np.float32)
    return _channels_last(grey), torch.from_numpy(masks)[:, None]


def _pair(
    films: Films,
    index: int,
    other: NDArray[np.uint8] | None,
    augmenter: Augmenter,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw one view of a film (perhaps with another one's greys) and its mask, framed alike."""
    image, mask, side = films.images[index], films.masks[index], augmenter.side_px
    if rng.random() < _CLOUDED_SHARE:
        image = clouded(image, mask, rng)
    placement = _turned_more(augmenter.placement(whole(image.shape), rng), side, rng)

    def exchanged(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if other is None or rng.random() >= _EXCHANGED_SHARE:
            return grey
        return take_greys(grey, other)

    view = augmenter.render(image, placement, rng, exchanged)
    drawn = augmenter.warp(mask, placement)
    half = cv2.resize(drawn, (side // 2, side // 2), interpolation=cv2.INTER_AREA)
    return view, np.asarray(half, dtype=np.uint8)


def _turned_more(
    placement: NDArray[np.float64], side_px: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Turn the framed square a little further about its middle."""
    middle = (side_px / 2, side_px / 2)
    turn = cv2.getRotationMatrix2D(middle, float(rng.uniform(-_MORE_TURN, _MORE_TURN)), 1.0)
    turned = turn[:, :2] @ placement
    turned[:, 2] += turn[:, 2]
    return np.asarray(turned, dtype=np.float64)


def clouded(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Whiten parts of the lungs as a consolidation or an effusion does: they stay lung."""
    rows, columns = image.shape
    cloud = np.zeros((rows, columns), np.float32)
    for _ in range(int(rng.integers(1, 5))):
        centre = (int(rng.integers(columns)), int(rng.uniform(0.2, 1.0) * rows))
        axes = (int(columns * rng.uniform(0.04, 0.25)), int(rows * rng.uniform(0.04, 0.3)))
        turn = float(rng.uniform(0, 180))
        cv2.ellipse(cloud, centre, axes, turn, 0, 360, float(rng.uniform(0.4, 1)), -1)
    inside = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), rows / 60)
    share = cv2.GaussianBlur(cloud, (0, 0), rows * rng.uniform(0.01, 0.06)) * inside
    white = np.percentile(image, rng.uniform(70, 95))
    return np.rint(image * (1 - share) + white * share).astype(np.uint8)


def _channels_last(images: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(images)[:, None].contiguous(memory_format=torch.channels_last)


def outline_loss(places: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy of each place plus one minus the film's soft Dice."""
    entropy = nn.functional.binary_cross_entropy_with_logits(places, truth)
    probability = torch.sigmoid(places)
    both = (probability * truth).sum(dim=(1, 2, 3))
    total = probability.sum(dim=(1, 2, 3)) + truth.sum(dim=(1, 2, 3))
    return entropy + (1 - (2 * both + 1) / (total + 1)).mean()


class _State:
    """Everything that a checkpoint holds."""

    def __init__(self, network: Outliner, spec: OutlineTraining) -> None:
        self.spec = spec
        self.step = 0
        self.network = network.to(memory_format=torch.channels_last)
        self.average = Average(self.network, spec.average_decay)
        fresh = {id(p) for p in network.decoder_parameters()}
        groups: list[dict[str, object]] = []
        for peak, is_fresh in ((spec.learning_rate, False), (spec.decoder_learning_rate, True)):
            mine = [p for p in network.parameters() if (id(p) in fresh) == is_fresh]
            kernels, vectors = ([p for p in mine if (p.ndim == 4) == is4] for is4 in (True, False))
            groups.append({"params": kernels, "peak": peak, "weight_decay": spec.weight_decay})
            groups.append({"params": vectors, "peak": peak, "weight_decay": 0.0})
        self.optimizer = torch.optim.AdamW(groups, fused=True)

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

    def advance(self, views: Tensor, truth: Tensor) -> float:
        self.network.train()
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * one_cycle(self.step / self.spec.steps)
        _, places = self.network(views)
        loss = outline_loss(places, truth)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimizer.step()
        self.average.update(self.network, self.step)
        self.step += 1
        return float(loss.detach())
