"""The gate's network: Lite0's stages up to a sixteenth of the side, a narrow head, all answers.

It has the same two outputs as the classifiers (`quantize.network.Lite0`): logits, and the maps that
they are the mean of. So the same export, the same quantization and the same engines serve it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from quantize.network import Lite0, load_published, published_weights_path

if TYPE_CHECKING:
    from torch import Tensor

_BLOCKS = 11  # up to a sixteenth of the side
_CHANNELS = 112  # that they give
_FEATURES = 256


class KindNet(nn.Module):
    """What an image is, which way up, and whether its greys are inverted.

    Parameters
    ----------
    outputs
        Number of logits of all groups together.
    dropout
        Share of feature channels that training drops before the classifier.
    encoder
        Whose first stages are taken over with their weights; a fresh one when None.
    """

    def __init__(self, outputs: int, *, dropout: float = 0.2, encoder: Lite0 | None = None) -> None:
        super().__init__()
        source = encoder if encoder is not None else Lite0(1)
        self.stem, self.stem_norm = source.stem, source.stem_norm
        self.blocks = nn.ModuleList(list(source.blocks)[:_BLOCKS])
        self.head = nn.Conv2d(_CHANNELS, _FEATURES, 1, bias=False)
        self.head_norm = nn.BatchNorm2d(_FEATURES, momentum=0.05)
        self.activation = nn.ReLU6(inplace=True)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(_FEATURES, outputs, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.normal_(self.classifier.weight, std=0.01)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (n, 1, s, s) to logits (n, outputs) and their maps (n, outputs, s/16, s/16)."""
        x = self.activation(self.stem_norm(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        x = self.activation(self.head_norm(self.head(x)))
        cam = self.classifier(self.dropout(x))
        return cam.mean(dim=(2, 3)) + self.bias, cam


def published_kind_net(outputs: int, dropout: float) -> KindNet:
    """Make a network whose stages have the published ImageNet weights."""
    encoder = Lite0(1)
    load_published(encoder, published_weights_path())
    return KindNet(outputs, dropout=dropout, encoder=encoder)
