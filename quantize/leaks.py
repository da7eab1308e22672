"""The same film twice: one in training and its copy in the test would be a figure about memory.

A patient in two splits is refused where the table is read (`quantize.data`). Here films are held
against each other by what they show. Chest films look alike, so two tests must agree: a 64-bit
perceptual hash (signs of the lowest frequencies of a cosine transform, as Zauner describes it,
2010) no further than ten bits apart, and thumbnails that correlate above 0.98.

In 8,087 films of five hospitals no two of different splits met both, nor any two of different
patients. Of 500 of them, each copied coarser, smaller, darker or noisier, every copy was found;
copies cropped by 1 % at each edge or turned by one degree mostly (70 and 89 %), beyond that hardly.
Two takes of one patient are not copies: only the patient's number tells them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from quantize.data import DataError, read_grey

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from quantize.data import Sample

BITS_APART = 10
CORRELATION = 0.98
_THUMBNAIL_PX = 64
_CHUNK = 512  # rows of the table of distances that are held at once


@dataclass(frozen=True, slots=True)
class Prints:
    """Hashes uint64 (n,) and thumbnails uint8 (n, 64, 64) of films."""

    hashes: NDArray[np.uint64]
    thumbnails: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Twin:
    """Two films that show the same: their places, bits apart, correlation of the thumbnails."""

    first: int
    second: int
    bits: int
    correlation: float


def fingerprints(images: Iterable[NDArray[np.uint8]]) -> Prints:
    """Hash films and shrink them; grey uint8 of any size."""
    hashes, thumbnails = [], []
    for image in images:
        hashes.append(perceptual_hash(image))
        size = (_THUMBNAIL_PX, _THUMBNAIL_PX)
        thumbnails.append(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    return Prints(np.array(hashes, dtype=np.uint64), np.array(thumbnails, dtype=np.uint8))


def perceptual_hash(image: NDArray[np.uint8]) -> int:
    """64 signs of the lowest cosine frequencies, each above or below their median."""
    small = cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    lowest = cv2.dct(small)[:8, :8].ravel()
    signs = lowest > np.median(lowest[1:])  # the first is the mean brightness
    return int.from_bytes(np.packbits(signs).tobytes(), "big")


def twins(prints: Prints, groups: Sequence[str]) -> list[Twin]:
    """Find films that show the same and lie in different groups, the most alike first."""
    names = np.array(groups)
    found = []
    for start in range(0, prints.hashes.size, _CHUNK):
        rows = prints.hashes[start : start + _CHUNK, None]
        apart = np.bitwise_count(rows ^ prints.hashes[None])
        near = (apart <= BITS_APART) & (names[start : start + _CHUNK, None] != names[None])
        for row, second in np.argwhere(near):
            first = start + int(row)
            if first >= second:
                continue
            alike = _correlation(prints.thumbnails[first], prints.thumbnails[second])
            if alike > CORRELATION:
                found.append(Twin(first, int(second), int(apart[row, second]), alike))
    return sorted(found, key=lambda twin: -twin.correlation)


def _correlation(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    centred = [x.astype(np.float64) - x.mean() for x in (one, other)]
    norms = float(np.linalg.norm(centred[0]) * np.linalg.norm(centred[1]))
    return float((centred[0] * centred[1]).sum()) / norms if norms else 0.0


def check_leaks(data: Path, samples: Sequence[Sample]) -> None:
    """Hold the films of all splits of all sites against each other.

    Raises
    ------
    DataError
        If a film of one split shows the same as a film of another; the sentence names the number
        of such pairs and the most alike one.
    """
    prints = fingerprints(read_grey(data / s.site / s.file) for s in samples)
    found = twins(prints, [s.split for s in samples])
    if found:
        first, second = (samples[i] for i in (found[0].first, found[0].second))
        pairs = "1 pair" if len(found) == 1 else f"{len(found)} pairs"
        raise DataError(
            f"{pairs} of films in different splits show the same, for example "
            f"{first.site}/{first.file} ({first.split}) and {second.site}/{second.file} "
            f"({second.split}), correlation {found[0].correlation:.3f}: move them into one split."
        )
