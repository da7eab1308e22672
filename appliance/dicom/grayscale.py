"""The greyscale pipeline of PS3.4 N.2.1: modality LUT, then VOI, then polarity, then 8 bits.

It is computed once for each value that can occur, not for each pixel: a film has four million
pixels and at most 65 536 values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.pixels.processing import apply_modality_lut, apply_voi, apply_windowing

from appliance.dicom.attributes import PARSER_FAULTS, number, text, value_of
from appliance.domain import Reason
from appliance.errors import DecodeError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

# A window is not believed when it drives this share of the pixels to one end, or leaves less than
# this share of the 8-bit range between the darkest and the brightest half per cent.
_CLIPPED_SHARE = 0.90
_LEAST_RANGE = 0.02
_PERCENTILES = (0.005, 0.995)

_WINDOW_IGNORED = Reason(
    "window_ignored",
    "The display window in the file hides nearly the whole image; the box chose its own from the"
    " pixel values. Check the preset on the machine.",
)


@dataclass(frozen=True, slots=True)
class _Values:
    """Each value from the lowest to the highest, how often it occurs, and what it is worth.

    `count` (float64) leaves padding out, `worth` (float64) is the value after the modality LUT.
    """

    count: NDArray[np.float64]
    worth: NDArray[np.float64]
    padding: NDArray[np.bool_]


def to_display(
    stored: NDArray[Any], dataset: Dataset
) -> tuple[NDArray[np.uint8], tuple[Reason, ...]]:
    """Return `stored` as a person sees it.

    Parameters
    ----------
    stored
        8 or 16 bit integers, signed or not, shape (rows, columns): the stored values.
    dataset
        The attributes beside them: Modality LUT or rescale (PS3.3 C.11.1), VOI LUT or window
        (C.11.2), Photometric Interpretation and Pixel Padding (C.7.6.3, C.7.5.1.1.2).

    Returns
    -------
    pixels
        uint8, shape (rows, columns); 0 is black, whatever the photometric interpretation.
    notes
        Whether the window in the file was not believed.

    Raises
    ------
    DecodeError
        The Modality LUT or the rescale values are damaged.
    """
    low, high = int(stored.min()), int(stored.max())
    inputs = np.arange(low, high + 1, dtype=np.int32)
    values = _values(stored, inputs, dataset)
    table, notes = _voi(values, inputs, dataset)
    if text(dataset, "PhotometricInterpretation") == "MONOCHROME1":
        table = 255 - table
    table[values.padding] = 0
    return table[_offset(stored, low)], notes


def _offset(stored: NDArray[Any], low: int) -> NDArray[Any]:
    if low == 0:
        return stored
    shifted = stored.astype(np.int32)
    shifted -= low
    return shifted


def _values(stored: NDArray[Any], inputs: NDArray[np.int32], dataset: Dataset) -> _Values:
    # Every third pixel of every third row is enough to know the distribution.
    step = 3 if stored.size > 500_000 else 1
    sample = stored[::step, ::step].astype(np.int32).ravel() - inputs[0]
    count = np.bincount(sample, minlength=len(inputs)).astype(np.float64)
    padding = np.zeros(len(inputs), dtype=np.bool_)
    limits = [_signed(dataset, key) for key in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    if limits[0] is not None:
        ends = sorted((limits[0], limits[0] if limits[1] is None else limits[1]))
        padding = (inputs >= ends[0]) & (inputs <= ends[1])
    if padding.any() and count[~padding].sum() > 0:
        count[padding] = 0
    else:
        padding[:] = False
    return _Values(count, _worth(inputs, dataset), padding)


def _worth(inputs: NDArray[np.int32], dataset: Dataset) -> NDArray[np.float64]:
    # The Standard knows 8 and 16 bits here (PS3.3 C.11.1.1.1); 10 and 12 are met, in 16.
    bits = 8
    try:
        for item in value_of(dataset, "ModalityLUTSequence") or ():
            bits = 8 if item.LUTDescriptor[2] <= bits else 16
            item.LUTDescriptor = [*item.LUTDescriptor[:2], bits]
        worth = apply_modality_lut(inputs, dataset)
    except PARSER_FAULTS as error:
        # Shown without it, the image might be inverted.
        raise DecodeError(
            "The image's modality table or rescale values are damaged. Send it again."
        ) from error
    return np.asarray(worth, dtype=np.float64)


def _signed(dataset: Dataset, keyword: str) -> int | None:
    value = value_of(dataset, keyword)
    try:
        return None if value is None else int(value)
    except (TypeError, ValueError):
        return None


def _voi(
    values: _Values, inputs: NDArray[np.int32], dataset: Dataset
) -> tuple[NDArray[np.uint8], tuple[Reason, ...]]:
    shown = _by_lut(values, dataset)
    if shown is None:
        shown = _by_window(values, dataset)
    if shown is None:
        return _without_voi(values, inputs, dataset), ()
    if _hides(shown, values, inputs):
        return _by_percentiles(values), (_WINDOW_IGNORED,)
    return shown, ()


def _without_voi(values: _Values, inputs: NDArray[np.int32], dataset: Dataset) -> NDArray[np.uint8]:
    stored_bits = number(dataset, "BitsStored") or 16
    plain = np.array_equal(values.worth, inputs) and inputs[0] >= 0 and inputs[-1] <= 255
    if stored_bits <= 8 and plain:
        # Eight bits without a window are made to be shown as they are: ultrasound, captures.
        return _to_uint8(values.worth, 0.0, 2.0**stored_bits - 1)
    return _by_percentiles(values)


def _by_lut(values: _Values, dataset: Dataset) -> NDArray[np.uint8] | None:
    """Apply the first VOI LUT of the sequence; None when there is none or it is damaged."""
    items = value_of(dataset, "VOILUTSequence")
    if not items:
        return None
    try:
        bits = int(items[0].LUTDescriptor[2])
        out = apply_voi(np.rint(values.worth).astype(np.int64), dataset)
    except PARSER_FAULTS:
        return None
    # Some machines declare 16 bits and fill 10: then the data's own top is white.
    top = 2.0**bits - 1 if out.max() >= 2 ** (bits - 2) else float(out.max())
    return _to_uint8(out.astype(np.float64), 0.0, top)


def _by_window(values: _Values, dataset: Dataset) -> NDArray[np.uint8] | None:
    """Apply the first window, whatever its function; None when there is none or it is damaged."""
    if value_of(dataset, "WindowWidth") is None or value_of(dataset, "WindowCenter") is None:
        return None
    # Two values far outside show where the function's two ends lie.
    far = 1e9
    with np.errstate(over="ignore"):
        try:
            out = apply_windowing(np.concatenate([values.worth, [-far, far]]), dataset)
        except PARSER_FAULTS:
            return None
    return _to_uint8(out[:-2], float(out[-2]), float(out[-1]))


def _to_uint8(worth: NDArray[np.float64], low: float, high: float) -> NDArray[np.uint8]:
    if not np.isfinite([low, high]).all() or low == high:
        return np.zeros(len(worth), dtype=np.uint8)
    scaled = np.nan_to_num((worth - low) * (255.0 / (high - low)))
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def _hides(shown: NDArray[np.uint8], values: _Values, inputs: NDArray[np.int32]) -> bool:
    total = values.count.sum()
    # What lies at the very end of its own range (collimation, background) is black or white by
    # right; only what a window drives there counts against it.
    inner = values.count.copy()
    present = np.flatnonzero(inner)
    if len(present) < 2 or inputs[present[-1]] - inputs[present[0]] < 8:
        return False
    inner[[present[0], present[-1]]] = 0
    if max(inner[shown == 0].sum(), inner[shown == 255].sum()) >= _CLIPPED_SHARE * total:
        return True
    if not inner.any():
        return False
    low, high = _quantiles(shown.astype(np.float64), inner)
    return abs(high - low) < _LEAST_RANGE * 255


def _by_percentiles(values: _Values) -> NDArray[np.uint8]:
    low, high = _quantiles(values.worth, values.count)
    if low == high:
        present = values.worth[values.count > 0]
        low, high = float(present.min()), float(present.max())
    return _to_uint8(values.worth, low, high)


def _quantiles(worth: NDArray[np.float64], count: NDArray[np.float64]) -> tuple[float, float]:
    order = np.argsort(worth, kind="stable")
    summed = np.cumsum(count[order])
    at = np.searchsorted(summed, np.array(_PERCENTILES) * summed[-1])
    low, high = worth[order][np.minimum(at, len(order) - 1)]
    return float(low), float(high)
