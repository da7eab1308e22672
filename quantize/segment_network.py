"""A small encoder-decoder that outlines a region: Lite0's first stages and a light way back up.

The shape is that of U-Net (Ronneberger and others, MICCAI 2015) with sums in place of the joined
channels, as in the feature pyramid of Lin and others (CVPR 2017): a sum needs one range for both
sides and no copy. Everything that is enlarged is enlarged by whole pixels (nearest), which eight
bits do without an error; the one smooth enlargement is the device's, of the last map.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from quantize.network import Lite0, load_published, published_weights_path

if TYPE_CHECKING:
    from torch import Tensor

# Last block at a half, a quarter, an eighth, a sixteenth and a 32nd of the side, and its channels.
# Of the last stage two blocks are taken: they see the whole frame, and all four would weigh 0.9 MB
# more.
_TAPS = ((0, 16), (2, 24), (4, 40), (10, 112), (12, 192))
_WIDTHS = (96, 64, 32, 16)  # of the decoder at a sixteenth, an eighth, a quarter and a half


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, momentum=0.05)


class Rise(nn.Module):
    """One step up: enlarge the deep map, add the finer one, mix them with a separable layer."""

    def __init__(self, deep: int, fine: int, wide: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(deep, wide, 1, bias=False)
        self.reduce_norm = _norm(wide)
        self.lateral = nn.Conv2d(fine, wide, 1, bias=False)
        self.lateral_norm = _norm(wide)
        self.depthwise = nn.Conv2d(wide, wide, 3, padding=1, groups=wide, bias=False)
        self.depthwise_norm = _norm(wide)
        self.mix = nn.Conv2d(wide, wide, 1, bias=False)
        self.mix_norm = _norm(wide)
        self.activation = nn.ReLU6(inplace=True)

    def forward(self, deep: Tensor, fine: Tensor) -> Tensor:
        """Map (n, deep, h, w) and (n, fine, 2h, 2w) to (n, wide, 2h, 2w)."""
        risen = nn.functional.interpolate(
            self.reduce_norm(self.reduce(deep)), scale_factor=2.0, mode="nearest"
        )
        y = self.activation(risen + self.lateral_norm(self.lateral(fine)))
        y = self.activation(self.depthwise_norm(self.depthwise(y)))
        mixed: Tensor = self.activation(self.mix_norm(self.mix(y)))
        return mixed


class Outliner(nn.Module):
    """The network: a logit for each region and place, and their mean.

    Its two outputs have the shapes of the classifiers' (`quantize.network.Lite0`): the map is what
    it is made for, and the mean lets the same golden vectors and engines serve it.

    Parameters
    ----------
    regions
        Number of regions; each is a yes or no of its own.
    encoder
        Whose first stages are taken over with their weights; a fresh one when None.
    """

    def __init__(self, regions: int, encoder: Lite0 | None = None) -> None:
        super().__init__()
        source = encoder if encoder is not None else Lite0(1)
        self.stem, self.stem_norm = source.stem, source.stem_norm
        self.blocks = nn.ModuleList(list(source.blocks)[: _TAPS[-1][0] + 1])
        self.activation = nn.ReLU6(inplace=True)
        deep = _TAPS[-1][1]
        rises = []
        for (_, fine), wide in zip(reversed(_TAPS[:-1]), _WIDTHS, strict=True):
            rises.append(Rise(deep, fine, wide))
            deep = wide
        self.rises = nn.ModuleList(rises)
        self.classifier = nn.Conv2d(deep, regions, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(regions, 1, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (n, 1, s, s), s a multiple of 32, to (n, regions) and (n, regions, s/2, s/2).

        The second is the logit of each place, positive inside the region; the first its mean.
        """
        x = self.activation(self.stem_norm(self.stem(x)))
        taps = []
        ends = {place for place, _ in _TAPS}
        for place, block in enumerate(self.blocks):
            x = block(x)
            if place in ends:
                taps.append(x)
        y = taps.pop()
        for rise in self.rises:
            y = rise(y, taps.pop())
        cam = self.classifier(y)
        # The bias is added twice, so that it stays a value of its own in the graph, not a part of
        # the convolution: the quantizer corrects it (`quantize.int8`).
        mean = cam.mean(dim=(2, 3), keepdim=True) + self.bias
        return mean.flatten(1), cam + self.bias

    def decoder_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that start untrained."""
        return [*self.rises.parameters(), *self.classifier.parameters(), self.bias]


def published_outliner(regions: int) -> Outliner:
    """Make a network whose encoder has the published ImageNet weights."""
    encoder = Lite0(1)
    load_published(encoder, published_weights_path())
    return Outliner(regions, encoder)
