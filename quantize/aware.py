"""Quantization-aware fine-tuning: the network learns to live with eight bits.

Used where eight bits after training cost more than the gates allow. In every step weights and
activations are rounded as the INT8 graphs round them, while gradients pass as if nothing had been
(the straight-through estimator: Jacob and others, CVPR 2018); the network that was trained, before
any cut, is the teacher. What comes out is an FP32 network again, quantized afterwards as any other.
"""

from __future__ import annotations

import copy
import time
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from quantize.network import Block
from quantize.prune import Pupil

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from quantize.network import Lite0
    from quantize.prune import Films
    from quantize.spec import AwareSpec

_LEAST_SCALE = 1e-8
_DRAWS = 200_000  # of this stage's films, behind those of the cut


def rounded_weights(weight: Tensor) -> Tensor:
    """Round (out, in, h, w) to signed symmetric eight bits, a scale for each output channel."""
    with torch.no_grad():
        scale = weight.abs().amax(dim=(1, 2, 3)).clamp_min(127 * _LEAST_SCALE) / 127
        zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -127, 127)


def rounded(x: Tensor) -> Tensor:
    """Round a layer's activations to unsigned asymmetric eight bits over their own range."""
    low, high = float(x.detach().amin().clamp_max(0.0)), float(x.detach().amax().clamp_min(0.0))
    scale = max((high - low) / 255, _LEAST_SCALE)
    return torch.fake_quantize_per_tensor_affine(x, scale, min(round(-low / scale), 255), 0, 255)


def round_as_int8(network: Lite0, fp32_convolutions: int) -> None:
    """Let `network` round from now on as the INT8 graphs do; its weights stay in floating point.

    Parameters
    ----------
    fp32_convolutions
        So many convolutions from the input on stay as they are, and so does the classifier.
    """
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    for convolution in convolutions[fp32_convolutions:]:
        if convolution is not network.classifier:
            convolution.forward = partial(_convolve, convolution)  # type: ignore[method-assign]
    for block in network.modules():
        if isinstance(block, Block) and block.has_skip:
            block.project_norm.register_forward_hook(lambda _, __, out: rounded(out))


def _convolve(layer: nn.Conv2d, x: Tensor) -> Tensor:
    weight = rounded_weights(layer.weight)
    return nn.functional.conv2d(
        rounded(x), weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups
    )


def fine_tune(
    networks: tuple[Lite0, Lite0],
    films: Films,
    spec: AwareSpec,
    fp32_convolutions: int,
    folder: Path,
    report: Callable[[int, dict[str, float]], None],
) -> Lite0:
    """Fine-tune a network under rounding; resumes from `folder`'s ``checkpoint.pt``.

    Parameters
    ----------
    networks
        Where it begins, and the teacher: the network before channels were cut. Neither is changed.
    report
        Called after each step with what was measured.

    Returns
    -------
    Lite0
        The averaged weights, in floating point.
    """
    begun, teacher = networks
    teacher = teacher.eval().to(memory_format=torch.channels_last)
    pupil = Pupil(copy.deepcopy(begun), teacher, films, spec, spec.steps)
    pupil.resume(folder / "checkpoint.pt")
    round_as_int8(pupil.network, fp32_convolutions)
    started = time.monotonic()
    while pupil.step < spec.steps:
        loss = pupil.advance(_DRAWS + pupil.step)
        if pupil.step % films.train.checkpoint_steps == 0 or pupil.step == spec.steps:
            pupil.save(folder / "checkpoint.pt")
        report(pupil.step, {"loss": loss, "seconds": time.monotonic() - started})
    return pupil.average.network
