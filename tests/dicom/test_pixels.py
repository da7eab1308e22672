from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom import uid
from pydicom.dataset import Dataset

from appliance.dicom.pixels import decode, fingerprint
from appliance.domain import DecodedImage
from appliance.errors import (
    DecodeError,
    NotAnImageError,
    ReadingError,
    RefusedError,
    TooLargeError,
    UnsupportedError,
)
from tests import builders
from tests.builders import film, make_cr, make_us

LIMIT = 64 * 1024 * 1024


def shown(content: bytes) -> DecodedImage:
    return decode(content, pixel_bytes_limit=LIMIT)


def pixels(content: bytes) -> np.ndarray:
    return shown(content).pixels


def lut(data: list[int], first: int, bits: int) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(data), first, bits]
    item["LUTDescriptor"].VR = "US"
    item.LUTData = data
    item["LUTData"].VR = "US"
    return item


GRADIENT = np.arange(0, 4096, dtype=np.uint16).reshape(64, 64)


@pytest.mark.parametrize("bits", [8, 10, 12, 15, 16])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("syntax", [builders.EXPLICIT, builders.BIG_ENDIAN, builders.RLE])
def test_bright_is_bright_whatever_the_encoding(bits: int, photometric: str, syntax: str) -> None:
    found = pixels(make_cr(bits=bits, photometric=photometric, transfer_syntax=syntax))
    assert found.dtype == np.uint8
    assert found.shape == (64, 48)
    assert found[20, 16] == 255
    assert found[0, 0] < 8
    assert found.flags.c_contiguous


def test_window_linear() -> None:
    """PS3.3 C.11.2.1.2.1: black up to c - 0.5 - (w - 1) / 2, white above c - 0.5 + (w - 1) / 2."""
    found = pixels(make_cr(pixels=GRADIENT, WindowCenter=2048, WindowWidth=1024)).ravel()
    assert found[1536] == 0
    assert found[1550] > 0
    assert found[2559] == 255
    assert found[2550] < 255
    assert abs(int(found[2048]) - 128) <= 1


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_window_functions_rise_through_the_middle(function: str) -> None:
    content = make_cr(pixels=GRADIENT, WindowCenter=2048, WindowWidth=2000, VOILUTFunction=function)
    found = pixels(content).ravel().astype(int)
    assert (np.diff(found) >= 0).all()
    assert abs(found[2048] - 128) <= 2
    assert found[0] <= 5
    assert found[-1] >= 250


def test_the_first_of_several_windows_is_used() -> None:
    one = pixels(make_cr(pixels=GRADIENT, WindowCenter=2048, WindowWidth=2000))
    two = pixels(make_cr(pixels=GRADIENT, WindowCenter=[2048, 9], WindowWidth=[2000, 9]))
    assert np.array_equal(one, two)


def test_rescale_comes_before_the_window() -> None:
    found = pixels(
        make_cr(
            pixels=GRADIENT,
            RescaleSlope=2,
            RescaleIntercept=-1000,
            WindowCenter=3000,
            WindowWidth=2000,
        )
    ).ravel()
    assert abs(int(found[2000]) - 128) <= 1


def test_modality_lut_comes_before_the_window() -> None:
    table = list(range(4095, -1, -1))
    ds = builders.dataset(
        ModalityLUTSequence=[lut(table, 0, 12)], WindowCenter=2048, WindowWidth=4096
    )
    ds.ModalityLUTSequence[0].ModalityLUTType = "US"
    content = builders.with_pixels(ds, GRADIENT, photometric="MONOCHROME2", bits=12)
    found = pixels(content).ravel()
    assert found[0] == 255
    assert found[-1] == 0


def test_voi_lut_goes_before_the_window() -> None:
    table = [0] * 2048 + [4095] * 2048
    ds = builders.dataset(VOILUTSequence=[lut(table, 0, 12)], WindowCenter=2048, WindowWidth=4096)
    found = pixels(builders.with_pixels(ds, GRADIENT, photometric="MONOCHROME2", bits=12))
    assert set(np.unique(found)) == {0, 255}


def test_voi_lut_that_declares_more_bits_than_it_fills() -> None:
    ds = builders.dataset(VOILUTSequence=[lut([v // 4 for v in range(4096)], 0, 16)])
    found = pixels(builders.with_pixels(ds, GRADIENT, photometric="MONOCHROME2", bits=12))
    assert found.max() == 255


@pytest.mark.parametrize("window", [(30000, 10), (-5000, 100), (2, 2), (2048, 40000000)])
def test_a_window_that_hides_the_image_is_not_believed(window: tuple[int, int]) -> None:
    found = shown(make_cr(pixels=GRADIENT, WindowCenter=window[0], WindowWidth=window[1]))
    assert [note.code for note in found.notes] == ["window_ignored"]
    assert found.pixels.min() == 0
    assert found.pixels.max() == 255


@pytest.mark.parametrize("window", [("x", "y"), ("1", "-4"), ("", "")])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_damaged_window_is_as_none(window: tuple[str, str]) -> None:
    good = builders.make_cr(pixels=GRADIENT, WindowCenter="1111", WindowWidth="2222")
    bad = good.replace(b"1111", window[0].encode().ljust(4)).replace(
        b"2222", window[1].encode().ljust(4)
    )
    assert np.array_equal(pixels(bad), pixels(make_cr(pixels=GRADIENT)))


def test_ultrasound_with_a_black_surround_keeps_its_window() -> None:
    image = np.zeros((100, 100), dtype=np.uint8)
    image[45:50, 45:50] = np.arange(25, dtype=np.uint8).reshape(5, 5) * 10
    content = make_cr(pixels=image, bits=8, WindowCenter=128, WindowWidth=256)
    found = shown(content)
    assert found.notes == ()
    assert np.abs(found.pixels.astype(int) - image).max() <= 1


def test_eight_bits_without_a_window_are_shown_as_they_are() -> None:
    image = (GRADIENT // 40).astype(np.uint8)
    assert np.array_equal(pixels(make_cr(pixels=image, bits=8)), image)


def test_padding_is_black_and_does_not_count() -> None:
    image = GRADIENT.copy()
    image[:, :20] = 4095
    found = pixels(make_cr(pixels=image, photometric="MONOCHROME1", PixelPaddingValue=4095))
    assert (found[:, :20] == 0).all()
    assert found[:, 20:].max() == 255


def test_signed_values() -> None:
    image = (GRADIENT.astype(np.int16) - 2048).astype(np.int16)
    found = pixels(make_cr(pixels=image, WindowCenter=0, WindowWidth=4096)).ravel()
    assert found[0] == 0
    assert found[-1] == 255
    assert abs(int(found[2048]) - 128) <= 1


def test_high_bit_above_bits_stored() -> None:
    """Older machines pack 12 bits at the top of 16 (PS3.5 8.1.1 before 2015)."""
    ds = builders.dataset(WindowCenter=2048, WindowWidth=4096)
    packed = builders.with_pixels(ds, GRADIENT << 4, photometric="MONOCHROME2", bits=12)
    high_bit = b"\x28\x00\x02\x01US\x02\x00"
    packed = packed.replace(high_bit + b"\x0b\x00", high_bit + b"\x0f\x00")
    plain = make_cr(pixels=GRADIENT, WindowCenter=2048, WindowWidth=4096)
    assert np.array_equal(pixels(packed), pixels(plain))


def test_constant_image() -> None:
    found = pixels(make_cr(pixels=np.full((8, 8), 77, dtype=np.uint16)))
    assert len(np.unique(found)) == 1


def test_colour() -> None:
    found = pixels(make_us())
    assert found.shape == (48, 64, 3)
    assert tuple(found[15, 20]) == (255, 127, 0)


def test_colour_with_equal_channels_comes_out_grey() -> None:
    grey = film(48, 64, bits=8).astype(np.uint8)
    content = builders.with_pixels(
        builders.dataset(), np.dstack([grey] * 3), photometric="RGB", bits=8
    )
    assert np.array_equal(pixels(content), grey)


def test_ybr_full_becomes_rgb() -> None:
    rgb = np.dstack([np.full((8, 8), v, dtype=np.uint8) for v in (200, 100, 50)])
    ybr = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]]
    content = builders.with_pixels(builders.dataset(), ybr, photometric="YBR_FULL", bits=8)
    assert np.abs(pixels(content).astype(int) - rgb).max() <= 2


def test_sixteen_bit_colour() -> None:
    image = np.full((4, 4, 3), 0, dtype=np.uint16)
    image[...] = (65535, 32768, 0)
    content = builders.with_pixels(builders.dataset(), image, photometric="RGB", bits=16)
    assert tuple(pixels(content)[0, 0]) == (255, 128, 0)


@pytest.mark.parametrize(("entry_bits", "scale"), [(8, 1), (16, 257)])
def test_palette(entry_bits: int, scale: int) -> None:
    ds = builders.dataset()
    for channel, factor in (("Red", 1.0), ("Green", 0.5), ("Blue", 0.0)):
        table = (np.arange(256) * factor).astype(np.uint16) * scale
        raw = table.astype(np.uint8 if entry_bits == 8 else "<u2").tobytes()
        setattr(ds, f"{channel}PaletteColorLookupTableDescriptor", [256, 0, entry_bits])
        ds[f"{channel}PaletteColorLookupTableDescriptor"].VR = "US"
        setattr(ds, f"{channel}PaletteColorLookupTableData", raw)
    index = np.arange(64, dtype=np.uint8).reshape(8, 8)
    content = builders.with_pixels(ds, index, photometric="PALETTE COLOR", bits=8)
    assert tuple(pixels(content)[7, 7]) == (63, 31, 0)


def test_palette_that_is_missing() -> None:
    index = np.zeros((8, 8), dtype=np.uint8)
    content = builders.with_pixels(builders.dataset(), index, photometric="PALETTE COLOR", bits=8)
    with pytest.raises(DecodeError, match="palette"):
        pixels(content)


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("syntax", [builders.EXPLICIT, builders.RLE])
def test_the_middle_frame_is_read(colour: bool, syntax: str) -> None:
    found = shown(make_us(frames=5, colour=colour, transfer_syntax=syntax))
    assert found.frame_index == 2
    assert found.pixels[0, 0].ravel()[0] == 2
    assert [note.code for note in found.notes] == ["frame_chosen"]


def jpeg(image: np.ndarray) -> bytes:
    return builders.make_jpeg(image)


def test_jpeg_baseline() -> None:
    image = (GRADIENT // 16).astype(np.uint8)
    content = builders.make_encapsulated(
        jpeg(image), transfer_syntax=str(uid.JPEGBaseline8Bit), rows=64, columns=64
    )
    assert np.abs(pixels(content).astype(int) - image).max() < 12


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        (jpeg(np.zeros((64, 64), dtype=np.uint8))[:200], DecodeError),
        (jpeg(np.zeros((32, 64), dtype=np.uint8)), DecodeError),
        (b"\xff\xd8\xff\xd9", DecodeError),
        (b"not a jpeg", DecodeError),
    ],
)
def test_damaged_jpeg(stream: bytes, error: type[Exception]) -> None:
    content = builders.make_encapsulated(
        stream, transfer_syntax=str(uid.JPEGBaseline8Bit), rows=64, columns=64
    )
    with pytest.raises(error):
        pixels(content)


@pytest.mark.parametrize(
    ("syntax", "name"),
    [
        ("1.2.840.10008.1.2.4.102", "MPEG-4"),
        ("1.2.840.10008.1.2.4.51", "12 bits"),
    ],
)
def test_encodings_that_nothing_decodes_are_named(syntax: str, name: str) -> None:
    stream = bytearray(jpeg(np.zeros((64, 64), dtype=np.uint8)))
    stream[stream.index(b"\xff\xc0") + 1] = 0xC1
    stream[stream.index(b"\xff\xc1") + 4] = 12
    content = builders.make_encapsulated(bytes(stream), transfer_syntax=syntax, rows=64, columns=64)
    with pytest.raises(UnsupportedError, match=name) as caught:
        pixels(content)
    assert caught.value.code == "unsupported_transfer_syntax"
    assert "uncompressed" in caught.value.text


def test_an_object_without_pixels_is_no_image() -> None:
    with pytest.raises(NotAnImageError):
        pixels(builders.make_sr())


def test_float_pixels_are_unsupported() -> None:
    ds = builders.dataset(Rows=2, Columns=2, FloatPixelData=b"\0" * 16)
    with pytest.raises(UnsupportedError):
        pixels(builders.encode(ds))


@pytest.mark.parametrize(
    ("keyword", "value", "error"),
    [
        ("Rows", 0, NotAnImageError),
        ("Rows", 60000, DecodeError),
        ("BitsAllocated", 32, UnsupportedError),
        ("BitsStored", 0, DecodeError),
        ("BitsStored", 17, DecodeError),
        ("SamplesPerPixel", 3, UnsupportedError),
        ("PhotometricInterpretation", "CMYK", UnsupportedError),
        ("NumberOfFrames", 1_000_000, TooLargeError),
        ("NumberOfFrames", 50, DecodeError),
    ],
)
def test_a_header_that_does_not_fit_its_pixels(
    keyword: str, value: object, error: type[Exception]
) -> None:
    ds = builders.dataset()
    builders.with_pixels(ds, GRADIENT, photometric="MONOCHROME2", bits=12)
    setattr(ds, keyword, value)
    with pytest.raises(error):
        pixels(builders.encode(ds))


def test_more_pixels_than_the_limit() -> None:
    with pytest.raises(TooLargeError):
        decode(make_cr(), pixel_bytes_limit=1000)
    with pytest.raises(TooLargeError):
        decode(builders.make_png(), pixel_bytes_limit=1000)


def test_png_and_jpeg_pictures() -> None:
    grey = film(bits=8).astype(np.uint8)
    assert np.array_equal(pixels(builders.make_png(grey)), grey)
    assert np.abs(pixels(builders.make_jpeg(grey)).astype(int) - grey).max() < 40
    colour = np.zeros((4, 4, 3), dtype=np.uint8)
    colour[...] = (10, 20, 30)
    assert tuple(pixels(builders.make_png(colour))[0, 0]) == (30, 20, 10)
    assert pixels(builders.make_png(np.dstack([grey] * 3))).ndim == 2


def test_png_transparency_is_laid_over_black() -> None:
    image = np.zeros((4, 4, 4), dtype=np.uint8)
    image[...] = (200, 100, 50, 128)
    found = pixels(builders.make_png(image))
    assert np.abs(found[0, 0].astype(int) - (25, 50, 100)).max() <= 1


def test_png_of_sixteen_bits() -> None:
    found = pixels(builders.make_png(GRADIENT))
    assert found.min() == 0
    assert found.max() == 255
    colour = np.zeros((4, 4, 3), dtype=np.uint16)
    colour[...] = (0, 32768, 65535)
    assert tuple(pixels(builders.make_png(colour))[0, 0]) == (255, 128, 0)


def test_exif_orientation_is_obeyed() -> None:
    image = np.zeros((20, 40), dtype=np.uint8)
    image[:, :20] = 200
    found = shown(builders.make_jpeg(image, orientation=6))
    assert found.pixels.shape == (40, 20)
    assert (found.header.rows, found.header.columns) == (40, 20)
    assert found.pixels[5, 10] > 150
    assert found.pixels[35, 10] < 50


def test_damaged_pictures() -> None:
    good = builders.make_png()
    with pytest.raises(DecodeError):
        pixels(good[:40])
    with pytest.raises(NotAnImageError):
        pixels(good[:20])


def test_the_fingerprint_ignores_the_encoding_and_nothing_else() -> None:
    def mark(content: bytes) -> str:
        return fingerprint(content, pixel_bytes_limit=LIMIT)

    native = mark(make_cr())
    encodings = (builders.IMPLICIT, builders.BIG_ENDIAN, builders.RLE)
    assert {mark(make_cr(transfer_syntax=syntax)) for syntax in encodings} == {native}
    changed = film()
    changed[3, 3] += 1
    assert mark(make_cr(pixels=changed)) != native
    assert mark(make_cr(patient_id="P2")) != native
    assert mark(make_cr(WindowCenter=5, WindowWidth=9)) != native
    assert mark(make_cr(StationName="elsewhere")) == native
    frames = make_us(frames=3)
    assert mark(frames) == mark(make_us(frames=3, transfer_syntax=builders.RLE))
    assert mark(frames) != mark(make_us(frames=4))
    assert mark(builders.make_png()) == mark(builders.make_png())


@given(
    image=arrays(np.uint16, (6, 5), elements=st.integers(0, 4095)),
    photometric=st.sampled_from(["MONOCHROME1", "MONOCHROME2"]),
    window=st.one_of(st.none(), st.tuples(st.floats(-9999, 9999), st.floats(0.01, 9999))),
    slope=st.one_of(st.none(), st.floats(0.01, 100)),
)
@settings(max_examples=60, deadline=None)
def test_whatever_the_values_the_result_is_monotone(image, photometric, window, slope) -> None:
    elements = {}
    if window is not None:
        elements = {"WindowCenter": f"{window[0]:.6g}", "WindowWidth": f"{window[1]:.6g}"}
    if slope is not None:
        elements |= {"RescaleSlope": f"{slope:.6g}", "RescaleIntercept": "-7"}
    found = pixels(make_cr(pixels=image, photometric=photometric, **elements))
    order = np.argsort(image.ravel(), kind="stable")
    steps = np.diff(found.ravel()[order].astype(int))
    assert (steps >= 0).all() if photometric == "MONOCHROME2" else (steps <= 0).all()


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_damaged_files_end_in_pixels_or_one_of_our_errors(data: st.DataObject) -> None:
    content = bytearray(make_us(rows=6, columns=6, transfer_syntax=builders.RLE))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(128, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    try:
        found = pixels(bytes(content))
    except (RefusedError, ReadingError) as error:
        assert error.text  # noqa: PT017
    else:
        assert found.dtype == np.uint8
