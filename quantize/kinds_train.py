"""Training of the gate: kinds drawn evenly, films turned and inverted by code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import nn

from quantize.augment import Augmenter
from quantize.kinds_pictures import CHEST, OTHER, drawn, out_of_place, piece, turned
from quantize.train import Average, one_cycle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.random import Generator
    from numpy.typing import NDArray
    from torch import Tensor

    from quantize.kinds_data import KindedImages
    from quantize.kinds_network import KindNet
    from quantize.kinds_spec import KindRecipe

    Report = Callable[[int, dict[str, float]], None]

_UPRIGHT_SHARE = 0.4  # of the films; the rest is turned by 90, 180 or 270 degrees
_INVERTED_SHARE = 0.3
_UNKNOWN = -1  # no answer is right: an ultrasound image has no such side up
_KEPT_STEPS = 25  # a line of history each


class View(NamedTuple):
    """One training view: uint8 (side, side), and its answers (-1 where there is none)."""

    image: NDArray[np.uint8]
    kind: int
    orientation: int
    inverted: int


class Painter:
    """Draws training views.

    Parameters
    ----------
    images
        The training images of every kind but `OTHER`.
    """

    def __init__(self, recipe: KindRecipe, images: KindedImages) -> None:
        self._recipe = recipe
        self._images = images.images
        self._augmenter = Augmenter(recipe.input.side_px, recipe.input.exposure)
        self._kinds = recipe.codes("kind")
        places: dict[str, dict[str, list[int]]] = {}
        for index, sample in enumerate(images.samples):
            places.setdefault(sample.kind, {}).setdefault(sample.site, []).append(index)
        self._sites = {kind: list(sites.values()) for kind, sites in places.items()}

    def view(self, rng: Generator) -> View:
        """Draw one view; a kind's sites are drawn evenly."""
        kind = self._draw_kind(rng)
        place = self._kinds.index(kind)
        if kind == OTHER:
            return View(self._augmented(self._other(rng), rng), place, _UNKNOWN, _UNKNOWN)
        view = self._augmented(self._image(kind, rng), rng)
        if kind != CHEST:
            return View(view, place, _UNKNOWN, _UNKNOWN)
        turns = 0 if rng.random() < _UPRIGHT_SHARE else int(rng.integers(1, 4))
        inverted = int(rng.random() < _INVERTED_SHARE)
        return View(turned(view, turns, inverted=bool(inverted)), place, turns, inverted)

    def _draw_kind(self, rng: Generator) -> str:
        spec, at = self._recipe.train, rng.random()
        if at < spec.chest_share:
            return CHEST
        if at < spec.chest_share + spec.other_share:
            return OTHER
        rest = [kind for kind in self._kinds if kind not in (CHEST, OTHER)]
        return rest[int(rng.integers(len(rest)))]

    def _image(self, kind: str, rng: Generator) -> NDArray[np.uint8]:
        sites = self._sites[kind]
        return self._images[int(rng.choice(sites[int(rng.integers(len(sites)))]))]

    def _other(self, rng: Generator) -> NDArray[np.uint8]:
        """Return a drawing, or what is left of a film that was cut up."""
        at = rng.random()
        if at < 0.6:
            return drawn(self._recipe.input.side_px, rng)
        film = self._image(CHEST, rng)
        made = piece(film, rng) if at < 0.8 else out_of_place(film, rng)
        return turned(made, int(rng.integers(4)), inverted=rng.random() < _INVERTED_SHARE)

    def _augmented(self, image: NDArray[np.uint8], rng: Generator) -> NDArray[np.uint8]:
        return self._augmenter(image, rng)


def train_kinds(
    network: KindNet, painter: Painter, recipe: KindRecipe, folder: Path, report: Report
) -> KindNet:
    """Train `network` and return its averaged weights."""
    spec = recipe.train
    network = network.to(memory_format=torch.channels_last)
    average = Average(network, spec.average_decay)
    optimizer = _optimizer(network, recipe)
    for step in range(spec.steps):
        rng = np.random.default_rng((spec.seed, step))
        views = [painter.view(rng) for _ in range(spec.batch)]
        network.train()
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * one_cycle(step / spec.steps)
        logits, _ = network(_inputs(views, recipe))
        loss = kind_loss(logits, views, recipe)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()
        average.update(network, step)
        measured = {"loss": float(loss.detach())}
        if (step + 1) % _KEPT_STEPS == 0:
            with (folder / "history.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"step": step + 1, **measured}) + "\n")
        report(step + 1, measured)
    return average.network  # type: ignore[return-value] - a copy of what was given


def _optimizer(network: KindNet, recipe: KindRecipe) -> torch.optim.AdamW:
    spec = recipe.train
    fresh = [network.head.weight, network.classifier.weight, network.bias]
    fresh += list(network.head_norm.parameters())
    known = {id(p) for p in fresh}
    body = [p for p in network.parameters() if id(p) not in known]
    groups = [
        {"params": [p for p in body if p.ndim == 4], "peak": spec.learning_rate},
        {
            "params": [p for p in body if p.ndim == 1],
            "peak": spec.learning_rate,
            "weight_decay": 0.0,
        },
        {"params": fresh, "peak": spec.head_learning_rate},
    ]
    return torch.optim.AdamW(groups, weight_decay=spec.weight_decay, fused=True)


def _inputs(views: list[View], recipe: KindRecipe) -> Tensor:
    grey = np.stack([view.image for view in views]).astype(np.float32) / 255
    batch = ((grey - recipe.input.mean) / recipe.input.std).astype(np.float32)
    return torch.from_numpy(batch)[:, None].contiguous(memory_format=torch.channels_last)


def kind_loss(logits: Tensor, views: list[View], recipe: KindRecipe) -> Tensor:
    """Sum the groups' cross-entropies; where no answer is right, nothing is asked."""
    loss = torch.zeros(())
    for group, answers, smoothing in (
        ("kind", [view.kind for view in views], 0.05),
        ("orientation", [view.orientation for view in views], 0.0),
        ("polarity", [view.inverted for view in views], 0.0),
    ):
        truth = torch.tensor(answers)
        if bool((truth != _UNKNOWN).any()):
            loss = loss + nn.functional.cross_entropy(
                logits[:, recipe.group(group)],
                truth,
                ignore_index=_UNKNOWN,
                label_smoothing=smoothing,
            )
    return loss
