"""Where the evidence must not lie: outside the lungs.

A network that sees the whole frame can tell two hospitals by a corner of it. Where lung masks
exist, training asks the class activation map to be small outside them; where none exist, outside
what the masks have in common (their mean, framed as the film is framed). The masks are used in
training only: the device needs none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from quantize.data import read_grey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

    from quantize.augment import Augmenter
    from quantize.data import Sample

SIDE_PX = 96  # of the masks in memory: three times finer than the map
_REACH = 0.03  # of the side: how far beyond a drawn outline still counts as lung
_SURE = 0.35  # share of a cell that is lung, from which on the cell is free


@dataclass(frozen=True, slots=True)
class Lungs:
    """The masks of the training films, in their order.

    Parameters
    ----------
    masks
        uint8 (96, 96), 255 is lung; None where a film has none.
    common
        The mean of the masks: the stand-in for a film without one.
    """

    masks: Sequence[NDArray[np.uint8] | None]
    common: NDArray[np.uint8]

    def warped(
        self,
        index: int,
        placement: NDArray[np.float64],
        augmenter: Augmenter,
        shape: tuple[int, ...],
    ) -> NDArray[np.uint8]:
        """Bring the mask of a film to the square of a view, uint8 (side, side).

        Parameters
        ----------
        placement
            The view's affine map from its image of `shape` to the square.
        """
        mask = self.masks[index]
        fine = self.common if mask is None else mask
        from_mask = placement.copy()
        from_mask[:, :2] *= np.array([shape[1], shape[0]]) / SIDE_PX
        return augmenter.warp(fine, from_mask)


def outside(warped: NDArray[np.uint8], cells: int) -> NDArray[np.float32]:
    """How far each cell of the map of a view lies outside the lungs, 0 to 1."""
    share = cv2.resize(warped, (cells, cells), interpolation=cv2.INTER_AREA) / np.float32(255)
    return np.clip(1 - share / np.float32(_SURE), 0, 1).astype(np.float32)


def read_lungs(
    root: Path,
    samples: Sequence[Sample],
    outlined: Callable[[Sample], NDArray[np.uint8]] | None = None,
) -> Lungs | None:
    """Read the masks that the samples' tables name; None where no film has one.

    Parameters
    ----------
    outlined
        Gives the mask, uint8 (96, 96), of a film whose table names none.
    """
    reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(_REACH * SIDE_PX) + 1,) * 2)
    masks: list[NDArray[np.uint8] | None] = []
    for sample in samples:
        if not sample.lungmask and outlined is None:
            masks.append(None)
            continue
        if sample.lungmask:
            drawn = read_grey(root / sample.site / sample.lungmask)
            small = cv2.resize(drawn, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
        elif outlined is not None:
            small = outlined(sample)
        masks.append(np.asarray(cv2.dilate(small, reach), dtype=np.uint8))
    known = [mask for mask in masks if mask is not None]
    if not known:
        return None
    common = np.mean(np.stack(known), axis=0).astype(np.uint8)
    return Lungs(masks, common)


def stray(cam: torch.Tensor, outside: torch.Tensor) -> torch.Tensor:
    """Mean square of the map (n, outputs, h, w), weighted by `outside` (n, h, w)."""
    return (cam.square() * outside[:, None]).mean()
