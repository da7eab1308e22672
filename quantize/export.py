"""From the trained network to the FP32 graph that both INT8 graphs are made of."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import onnx
import torch

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

OPSET = 17  # the newest that TensorRT 8.5 (JetPack 5) takes
INPUT_NAME = "image"
OUTPUT_NAMES = ("logits", "cam")
HEAD_BIAS = "bias"  # of the network; the exporter keeps parameter names


def export(network: nn.Module, side_px: int, path: Path) -> None:
    """Write the network as ONNX, batch norms folded.

    The graph takes ``image`` float32 (1, 1, side, side) and gives ``logits`` (1, outputs) and
    ``cam`` (1, outputs, h, h), where h is side / 32 for Lite0. The batch is fixed to one: a box
    reads one film at a time, and fixed shapes let both engines plan their memory.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    network = network.eval().to(memory_format=torch.contiguous_format)
    with warnings.catch_warnings():
        # The older exporter is used on purpose: the newer one starts at opset 18.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, 1, side_px, side_px),),
            str(path),
            input_names=[INPUT_NAME],
            output_names=list(OUTPUT_NAMES),
            opset_version=OPSET,
            dynamo=False,
        )
    onnx.checker.check_model(str(path), full_check=True)
