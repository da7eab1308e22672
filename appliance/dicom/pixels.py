"""From bytes to pixels as a person would see them. Pure; run it in the decoder's child process.

Every size is held against the limit before anything of that size is allocated.
"""

from __future__ import annotations

import codecs
import hashlib
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from pydicom import uid
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut

from appliance.dicom import codestream
from appliance.dicom.attributes import (
    DICOM,
    PARSER_FAULTS,
    UNKNOWN,
    number,
    parse,
    quiet,
    read_header,
    sniff,
    text,
)
from appliance.dicom.grayscale import to_display
from appliance.dicom.pictures import decode_picture
from appliance.domain import DecodedImage, Header, Reason
from appliance.errors import (
    DecodeError,
    NotAnImageError,
    TooLargeError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

_GREY = {"MONOCHROME1", "MONOCHROME2"}
_COLOUR = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"}
_PALETTE = "PALETTE COLOR"
_MOST_FRAMES = 100_000

# What a decoder plug-in raises for a damaged stream, beside what the parser raises.
_DECODER_FAULTS = (*PARSER_FAULTS, RuntimeError)

# What identifies the content of an instance beside its pixels, for `fingerprint`.
_KEY_TAGS = (
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "Modality",
    "BodyPartExamined",
    "ViewPosition",
    "Laterality",
    "ImageLaterality",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "BitsStored",
    "PixelRepresentation",
    "WindowCenter",
    "WindowWidth",
    "RescaleSlope",
    "RescaleIntercept",
    "PixelSpacing",
    "ImagerPixelSpacing",
)


def decode(content: bytes, *, pixel_bytes_limit: int) -> DecodedImage:
    """Decode a DICOM, PNG or JPEG file to 8 bits, as it is meant to be displayed.

    Parameters
    ----------
    content
        The whole file.
    pixel_bytes_limit
        The most bytes that one decoded frame may have.

    Returns
    -------
    DecodedImage
        uint8, (rows, columns) or (rows, columns, 3) RGB; colour with equal channels comes out
        grey. Of several frames the middle one, which a note says.

    Raises
    ------
    NotAnImageError
        No DICOM, PNG or JPEG; or a DICOM object without pixels.
    UnsupportedError
        An encoding or pixel form that nothing here decodes.
    TooLargeError
        Header or code stream announce more than `pixel_bytes_limit`.
    DecodeError
        The pixel data is damaged or does not match its header.

    Notes
    -----
    Order of PS3.4 N.2.1: Modality LUT, VOI LUT or window, polarity. Which kinds of image are read
    is not decided here.
    """
    media_type = sniff(content)
    if media_type in {DICOM, UNKNOWN}:
        # Unknown bytes end in the header's own refusal.
        return _decode_dicom(content, read_header(content), pixel_bytes_limit)
    return decode_picture(content, media_type, read_header(content), pixel_bytes_limit)


def fingerprint(content: bytes, *, pixel_bytes_limit: int) -> str:
    """Return a SHA-256 over the decoded stored values of all frames and the key attributes.

    Two encodings of the same instance (PS3.5 A: native, lossless compressed, another byte order)
    have the same fingerprint; a lossy one counts by what it decodes to. Raises as `decode`.
    """
    if sniff(content) not in {DICOM, UNKNOWN}:
        return hashlib.sha256(content).hexdigest()
    header = read_header(content)
    dataset = _with_pixels(content)
    _gate(dataset, header, pixel_bytes_limit)
    digest = hashlib.sha256()
    with quiet():
        for keyword in _KEY_TAGS:
            digest.update(f"{keyword}={text(dataset, keyword)}\n".encode())
        for frame in _frames(dataset, header.number_of_frames, pixel_bytes_limit):
            digest.update(np.ascontiguousarray(frame, dtype="<i4").tobytes())
    return digest.hexdigest()


def _frames(dataset: Dataset, frames: int, limit: int) -> Iterator[NDArray[Any]]:
    for index in range(frames):
        yield _stored(dataset, index, limit)


def _decode_dicom(content: bytes, header: Header, limit: int) -> DecodedImage:
    dataset = _with_pixels(content)
    _gate(dataset, header, limit)
    index = header.number_of_frames // 2
    with quiet():
        stored = _stored(dataset, index, limit)
        pixels, notes = _shown(stored, dataset)
    if header.number_of_frames > 1:
        chosen = f"Of {header.number_of_frames} frames, number {index + 1} is read."
        notes = (*notes, Reason("frame_chosen", chosen))
    return DecodedImage(np.ascontiguousarray(pixels), header, notes, index)


def _with_pixels(content: bytes) -> Dataset:
    try:
        dataset = parse(content, pixels=True)
    except NotAnImageError as error:
        raise _damaged() from error
    if "PixelData" not in dataset:
        if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
            raise UnsupportedError("The pixels are floating-point numbers; nothing here reads it.")
        raise NotAnImageError("The DICOM object holds no image. Send the image itself.")
    return dataset


def _damaged() -> DecodeError:
    return DecodeError(
        "The pixel data is damaged, cut short or does not match its header. Send it again."
    )


def _too_large() -> TooLargeError:
    return TooLargeError("The image has more pixels than this box accepts. Send a smaller one.")


def _gate(dataset: Dataset, header: Header, limit: int) -> None:
    """Hold the header against what is decodable, before anything is allocated for its pixels."""
    rows, columns = header.rows or 0, header.columns or 0
    samples = number(dataset, "SamplesPerPixel") or 1
    allocated = number(dataset, "BitsAllocated")
    photometric = header.photometric_interpretation
    if not rows or not columns or allocated is None:
        raise NotAnImageError("The DICOM object does not describe an image. Send the image itself.")
    known = (photometric in _GREY | {_PALETTE} and samples == 1) or (
        photometric in _COLOUR and samples == 3
    )
    if not known or allocated not in {8, 16}:
        raise UnsupportedError(
            f"Pixels of this form are not read here ({photometric}, {samples} samples of"
            f" {allocated} bits)."
        )
    if rows > 65535 or columns > 65535 or header.number_of_frames > _MOST_FRAMES:
        raise _too_large()
    if rows * columns * samples * allocated // 8 > limit:
        raise _too_large()
    if not 1 <= (number(dataset, "BitsStored") or 0) <= allocated:
        raise _damaged()


def _stored(dataset: Dataset, index: int, limit: int) -> NDArray[Any]:
    """Return one frame's stored values: (rows, columns) or (rows, columns, 3) RGB."""
    syntax = uid.UID(dataset.file_meta.TransferSyntaxUID)
    decoder = _decoder(syntax)
    if decoder.is_encapsulated:
        _check_codestream(dataset, syntax, index, limit)
    shift = _set_bits_right(dataset, encapsulated=decoder.is_encapsulated)
    try:
        array, _ = decoder.as_array(dataset, index=index)
    except _DECODER_FAULTS as error:
        # The JPEG library at hand decodes few streams of 12 bits; most end here.
        if syntax == uid.JPEGExtended12Bit:
            raise _unsupported_syntax(syntax) from error
        raise _damaged() from error
    if array.ndim not in {2, 3} or array.dtype.itemsize > 2:
        raise _damaged()
    stored: NDArray[Any] = array >> shift if shift else array
    return stored


def _decoder(syntax: uid.UID) -> Any:
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        decoder = None
    if decoder is None or not decoder.is_available:
        raise _unsupported_syntax(syntax)
    return decoder


def _unsupported_syntax(syntax: uid.UID) -> UnsupportedError:
    name = _OTHER_NAMES.get(str(syntax), syntax.name)
    return UnsupportedError(
        f"The image is compressed as {name}, which nothing on this box decodes. Set the machine"
        " to send uncompressed images or JPEG Lossless.",
        code="unsupported_transfer_syntax",
    )


_OTHER_NAMES = {
    "1.2.840.10008.1.2.4.51": "JPEG Extended with 12 bits",
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL (recompressed JPEG)",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
}


def _check_codestream(dataset: Dataset, syntax: uid.UID, index: int, limit: int) -> None:
    """Hold a frame's own size against the header: the decoder believes the frame."""
    frames = number(dataset, "NumberOfFrames") or 1
    try:
        frame = get_frame(dataset.PixelData, index, number_of_frames=frames)
    except _DECODER_FAULTS as error:
        raise _damaged() from error
    if syntax == uid.RLELossless:
        return
    if syntax in uid.JPEG2000TransferSyntaxes or syntax in _HIGH_THROUGHPUT:
        size = codestream.jpeg2000_size(frame)
    else:
        size = codestream.jpeg_size(frame)
    if size is None:
        raise _damaged()
    if size.frame_bytes > limit:
        raise _too_large()
    samples = number(dataset, "SamplesPerPixel") or 1
    if (size.rows, size.columns, size.samples) != (dataset.Rows, dataset.Columns, samples):
        raise _damaged()


_HIGH_THROUGHPUT = (uid.HTJ2K, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL)


def _set_bits_right(dataset: Dataset, *, encapsulated: bool) -> int:
    """Return by how much native values lie too high (High Bit above Bits Stored less one).

    PS3.5 8.1.1 forbids it since 2015; older machines packed 12 bits at the top of 16. The decoder
    is then told that more bits are stored, and the values are shifted down afterwards.
    """
    high, stored = number(dataset, "HighBit"), number(dataset, "BitsStored") or 0
    allocated = number(dataset, "BitsAllocated") or 0
    if encapsulated or high is None or not stored <= high < allocated:
        return 0
    dataset.BitsStored = high + 1
    dataset.HighBit = high
    return high + 1 - stored


def _shown(stored: NDArray[Any], dataset: Dataset) -> tuple[NDArray[np.uint8], tuple[Reason, ...]]:
    photometric = text(dataset, "PhotometricInterpretation")
    if photometric in _GREY:
        if stored.ndim != 2:
            raise _damaged()
        return to_display(stored, dataset)
    colour = _palette(stored, dataset) if photometric == _PALETTE else stored
    if colour.ndim != 3 or colour.shape[2] != 3:
        raise _damaged()
    return _grey_if_equal(_to_8_bits(colour, dataset)), ()


def _palette(stored: NDArray[Any], dataset: Dataset) -> NDArray[Any]:
    inputs = np.arange(int(stored.max()) + 1, dtype=np.uint16)
    try:
        table = np.squeeze(apply_color_lut(inputs.reshape(1, -1), dataset), 0)[:, :3]
    except _DECODER_FAULTS as error:
        raise DecodeError(
            "The colour palette of the image is damaged or missing. Send it again."
        ) from error
    # Sixteen-bit entries keep their colour in the high byte; some machines fill the low one only.
    if table.dtype.itemsize > 1 and table.max() > 255:
        table = table >> 8
    colour: NDArray[Any] = table.astype(np.uint8)[stored]
    return colour


def _to_8_bits(colour: NDArray[Any], dataset: Dataset) -> NDArray[np.uint8]:
    if colour.dtype.itemsize == 1:
        return colour.view(np.uint8)
    bits = max(8, number(dataset, "BitsStored") or 16)
    narrow: NDArray[np.uint8] = np.clip(colour >> (bits - 8), 0, 255).astype(np.uint8)
    return narrow


def _grey_if_equal(colour: NDArray[np.uint8]) -> NDArray[np.uint8]:
    first: NDArray[np.uint8] = colour[..., 0]
    if np.array_equal(first, colour[..., 1]) and np.array_equal(first, colour[..., 2]):
        return first
    return colour


def warm_up(transfer_syntaxes: Iterable[str]) -> None:
    """Load the decoders of `transfer_syntaxes` now, so that the first image is not late."""
    for syntax in transfer_syntaxes:
        _decoder(uid.UID(syntax))
    codecs.lookup("iso2022_jp")
    tiny = cv2.imencode(".png", np.zeros((8, 8), dtype=np.uint8))[1].tobytes()
    decode(tiny, pixel_bytes_limit=64)
