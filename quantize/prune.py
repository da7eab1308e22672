"""A thinner network: whole channels are cut, then what is left learns from what it was.

Channels that matter least to the loss go first (first-order Taylor expansion: Molchanov and
others, CVPR 2019), the same share in every group of layers that must stay in step (Fang and
others, DepGraph, CVPR 2023). Channel counts stay multiples of sixteen: fewer channels that fill no
vector register ran slower than more that do. What was lost comes back by distillation from the
uncut network (Hinton and others, 2015) on the same augmented, evenly drawn films as in training;
without it the cut network knows nothing.
"""

from __future__ import annotations

import copy
import os
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from quantize.network import Lite0
from quantize.train import Average, Batch, Labelled, draw_batch, loss_of, one_cycle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor

    from appliance.manifest import InputSpec
    from quantize.spec import PruneSpec, TrainSpec

    Report = Callable[[int, dict[str, float]], None]

ROUND_TO = 16  # channels: ONNX Runtime's block, and what tensor cores take at once
_SETTLING_BATCHES = 24
_SEED_OFFSET = 500_000  # the draws of this stage are not those of the training


@dataclass(frozen=True, slots=True)
class Films:
    """The training films, drawn, augmented and normalized as in training."""

    training: Labelled
    train: TrainSpec
    input: InputSpec

    def batch(self, step: int) -> Batch:
        """Draw the batch of a step; negative steps are for the importance."""
        number = _SEED_OFFSET + step
        return draw_batch(self.training, self.train, self.input, self.input.side_px, number)


def prune(teacher: Lite0, films: Films, spec: PruneSpec, folder: Path, report: Report) -> Lite0:
    """Cut `teacher` and distil; resumes from `folder`.

    Parameters
    ----------
    teacher
        The trained network; it is not changed.
    folder
        Where ``cut.pt`` and ``checkpoint.pt`` are kept.
    report
        Called after each step of the distillation with what was measured.

    Returns
    -------
    Lite0
        The averaged weights of the distillation.
    """
    teacher = teacher.eval().to(memory_format=torch.channels_last)
    cut_file = folder / "cut.pt"
    if not cut_file.is_file():
        _save(_cut_in_rounds(teacher, films, spec).state_dict(), cut_file)
    pupil = Pupil(load_network(cut_file), teacher, films, spec, spec.steps)
    pupil.resume(folder / "checkpoint.pt")
    started = time.monotonic()
    while pupil.step < spec.steps:
        loss = pupil.advance(spec.rounds * spec.recovery_steps + pupil.step)
        if pupil.step % films.train.checkpoint_steps == 0 or pupil.step == spec.steps:
            pupil.save(folder / "checkpoint.pt")
        report(pupil.step, {"loss": loss, "seconds": time.monotonic() - started})
    return settle(pupil.average.network, films, spec)


def settle(network: Lite0, films: Films, spec: PruneSpec) -> Lite0:
    """Take the normalization's statistics anew, from films as training shows them.

    The cut changes what every layer sees, and the running statistics of the published weights
    follow so slowly (1 % a step) that the averaged network was far worse than the weights it had.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    network.train()
    first = spec.rounds * spec.recovery_steps + spec.steps
    with torch.no_grad():
        for number in range(_SETTLING_BATCHES):
            network(films.batch(first + number).views)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
    return network.eval()


def _cut_in_rounds(teacher: Lite0, films: Films, spec: PruneSpec) -> Lite0:
    """Reach the ratio in equal parts, with a few steps of distillation after each."""
    network = copy.deepcopy(teacher)
    pruner = channel_pruner(network, films.input.side_px, spec)
    for cut in range(spec.rounds):
        _fill_gradients(network, films, spec, cut)
        pruner.step()
        network.zero_grad()
        pupil = Pupil(network, teacher, films, spec, spec.recovery_steps)
        for step in range(spec.recovery_steps):
            pupil.advance(cut * spec.recovery_steps + step)
    return network


def channel_pruner(network: Lite0, side_px: int, spec: PruneSpec) -> Any:
    """Return what cuts `network` in place, at each ``step()``, by the gradients it then has."""
    import torch_pruning  # noqa: PLC0415 - only a recipe that prunes needs it

    with warnings.catch_warnings():
        # The head's bias belongs to no layer; the tool finds that remarkable.
        warnings.simplefilter("ignore")
        return torch_pruning.pruner.BasePruner(
            network,
            torch.zeros(1, 1, side_px, side_px),
            importance=torch_pruning.importance.GroupTaylorImportance(),
            pruning_ratio=spec.ratio,
            iterative_steps=spec.rounds,
            ignored_layers=[network.classifier],
            round_to=ROUND_TO,
        )


def _fill_gradients(network: Lite0, films: Films, spec: PruneSpec, cut: int) -> None:
    """Sum the gradients of a few batches: what the importance of a channel is taken from."""
    network.eval()
    network.zero_grad()
    for number in range(spec.importance_batches):
        # negative steps: films that neither training nor distillation draws at that number
        batch = films.batch(-1 - cut * spec.importance_batches - number)
        logits, _ = network(batch.views)
        nn.functional.binary_cross_entropy_with_logits(logits, batch.truth[:, None]).backward()


class Lesson(Protocol):
    """What a pupil must know of a table of the recipe."""

    @property
    def learning_rate(self) -> float:
        """Peak of the one-cycle schedule."""
        ...

    @property
    def teacher_weight(self) -> float:
        """Share of the target that the teacher gives."""
        ...


class Pupil:
    """A network that learns from what it was made of, and all that a checkpoint holds."""

    def __init__(
        self, network: Lite0, teacher: Lite0, films: Films, spec: Lesson, steps: int
    ) -> None:
        self.step = 0
        self.network = network.to(memory_format=torch.channels_last)
        self.average = Average(self.network, films.train.average_decay)
        self._teacher, self._films, self._spec, self._steps = teacher, films, spec, steps
        weights = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim == 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": weights, "weight_decay": films.train.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=spec.learning_rate,
        )

    def advance(self, draw_number: int) -> float:
        """Learn from one batch, drawn by its number; return the loss."""
        batch = self._films.batch(draw_number)
        torch.manual_seed(self._films.train.seed * 1_000_003 + _SEED_OFFSET + draw_number)
        with torch.no_grad():
            taught = torch.sigmoid(self._teacher(batch.views)[0])
        weight = self._spec.teacher_weight
        target = weight * taught + (1 - weight) * batch.truth[:, None]
        self.network.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self._spec.learning_rate * one_cycle(self.step / self._steps)
        loss = loss_of(self.network, batch, target, self._films.train)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimizer.step()
        self.average.update(self.network, self.step)
        self.step += 1
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Keep what `resume` needs."""
        parts = {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        _save(parts, path)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint, if there is one."""
        if not path.is_file():
            return
        kept = torch.load(path, map_location="cpu", weights_only=True)
        self.step = kept["step"]
        self.network.load_state_dict(kept["network"])
        self.average.network.load_state_dict(kept["average"])
        self.optimizer.load_state_dict(kept["optimizer"])


def _save(content: object, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    torch.save(content, fresh)
    os.replace(fresh, path)  # noqa: PTH105 - says what it is: an atomic replacement


def load_network(path: Path) -> Lite0:
    """Read a network, cut or not, from its weights alone (``weights_only=True``).

    The shapes of the weights are the plan of the channels; nothing else needs to be kept.
    """
    state = torch.load(path, map_location="cpu", weights_only=True)
    network = Lite0(state["bias"].shape[0])
    _fit(network, state)
    network.load_state_dict(state)
    return network


def _fit(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give every convolution and batch norm the number of channels that its weights have."""
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Conv2d):
            shape = state[f"{name}.weight"].shape
            module.groups = shape[0] if module.groups > 1 else 1  # depthwise, or dense
            module.out_channels = shape[0]
            module.in_channels = shape[1] * module.groups
            module.weight = nn.Parameter(torch.empty(shape))
        elif isinstance(module, nn.BatchNorm2d):
            channels = state[f"{name}.weight"].shape[0]
            module.num_features = channels
            for leaf in ("weight", "bias"):
                setattr(module, leaf, nn.Parameter(torch.empty(channels)))
            for leaf in ("running_mean", "running_var"):
                setattr(module, leaf, torch.empty(channels))


def kept_share(network: nn.Module, whole: nn.Module) -> float:
    """Share of the parameters that the cut left."""
    count, before = (sum(p.numel() for p in n.parameters()) for n in (network, whole))
    return count / before
