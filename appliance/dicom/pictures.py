"""PNG and JPEG files: pictures without a DICOM header."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from pydicom.dataset import Dataset

from appliance.dicom import codestream
from appliance.dicom.attributes import PNG
from appliance.dicom.grayscale import to_display
from appliance.domain import DecodedImage, Header, Reason
from appliance.errors import DecodeError, TooLargeError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def decode_picture(content: bytes, media_type: str, header: Header, limit: int) -> DecodedImage:
    """Decode a PNG or JPEG; transparency is laid over black, EXIF orientation is obeyed.

    Parameters
    ----------
    content, media_type
        The file and what `sniff` says of it.
    header
        Its header; rows and columns are set anew when EXIF turns the picture.
    limit
        The most bytes that the decoded picture may have.

    Raises
    ------
    TooLargeError
        The picture announces more than `limit`.
    DecodeError
        The picture is damaged.
    """
    size = codestream.png_size(content) if media_type == PNG else codestream.jpeg_size(content)
    if size is not None and size.frame_bytes > limit:
        raise TooLargeError(
            "The picture has more pixels than this box accepts. Send a smaller one."
        )
    pixels = _read(content, has_alpha=size is not None and size.samples in {2, 4})
    if pixels is None:
        raise DecodeError("The picture is damaged and cannot be opened. Send it again.")
    notes: tuple[Reason, ...] = ()
    if pixels.dtype == np.uint16:
        pixels, notes = _to_8_bits(pixels)
    shown = _grey_or_rgb(pixels)
    turned = Header(
        sop_instance_uid=header.sop_instance_uid,
        study_instance_uid=header.study_instance_uid,
        series_instance_uid=header.series_instance_uid,
        rows=shown.shape[0],
        columns=shown.shape[1],
    )
    return DecodedImage(np.ascontiguousarray(shown), turned, notes)


def _read(content: bytes, *, has_alpha: bool) -> NDArray[Any] | None:
    data = np.frombuffer(content, dtype=np.uint8)
    # OpenCV keeps the alpha channel only when asked to change nothing, EXIF included; that a PNG
    # has both is not met.
    flags = cv2.IMREAD_UNCHANGED if has_alpha else cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR
    try:
        pixels = cv2.imdecode(data, flags)
    except cv2.error:
        return None
    if pixels is None or pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels
    top = 255.0 if pixels.dtype == np.uint8 else 65535.0
    over_black = np.rint(pixels[..., :3] * (pixels[..., 3:].astype(np.float32) / top))
    flat: NDArray[Any] = over_black.astype(pixels.dtype)
    return flat


def _to_8_bits(pixels: NDArray[Any]) -> tuple[NDArray[Any], tuple[Reason, ...]]:
    grey = pixels if pixels.ndim == 2 else _single_channel(pixels)
    if grey is None:
        return (pixels >> 8).astype(np.uint8), ()
    # Sixteen bits without a window, as in a DICOM file without one: by its percentiles.
    plain = Dataset()
    plain.BitsStored = 16
    return to_display(grey, plain)


def _single_channel(pixels: NDArray[Any]) -> NDArray[Any] | None:
    first: NDArray[Any] = pixels[..., 0]
    equal = all(np.array_equal(first, pixels[..., i]) for i in (1, 2))
    return first if equal else None


def _grey_or_rgb(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.ndim == 2:
        return pixels
    grey = _single_channel(pixels)
    return pixels[..., ::-1] if grey is None else grey
