from __future__ import annotations

import struct

import pytest

from appliance.dicom.codestream import Size, jpeg2000_size, jpeg_size, png_size
from tests import builders


def siz(rows: int, columns: int, *, bits: int = 12, samples: int = 1) -> bytes:
    body = struct.pack(">HHIIIIIIIIH", 41, 0, columns, rows, 0, 0, columns, rows, 0, 0, samples)
    return b"\xff\x4f\xff\x51" + body + bytes([bits - 1, 1, 1] * samples)


def test_jpeg() -> None:
    assert jpeg_size(builders.make_jpeg(orientation=6)) == Size(64, 48, 1, 8)


@pytest.mark.parametrize("marker", [0xC0, 0xC1, 0xC3, 0xF7])
def test_jpeg_markers_before_the_frame_are_skipped(marker: int) -> None:
    frame = bytes([0xFF, marker]) + b"\0\x0b" + struct.pack(">BHHB", 16, 7, 9, 3)
    stream = b"\xff\xd8\xff\xff\xe0\0\x04ab\xff\x01\xff\xc4\0\x03x" + frame
    assert jpeg_size(stream) == Size(7, 9, 3, 16)


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xff\xda\0\x04ab",
        b"\xff\xd8\xff\xc0\0\x0b\x08",
        b"\xff\xd8\xff\xc0\0\x0b\x08\0\0\0\0\x01",
        b"\xff\xd8" + b"\xff\x01" * 5000,
    ],
)
def test_jpeg_without_a_size(stream: bytes) -> None:
    assert jpeg_size(stream) is None


def test_jpeg2000() -> None:
    assert jpeg2000_size(siz(70000, 5)) == Size(70000, 5, 1, 12)
    assert Size(10, 10, 3, 12).frame_bytes == 600
    boxed = b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0" * 30 + siz(4, 5, bits=8, samples=3)
    assert jpeg2000_size(boxed) == Size(4, 5, 3, 8)


@pytest.mark.parametrize("stream", [b"", b"\xff\x4f\xff\x51", siz(0, 5), b"\0\0\0\x0cjP  " * 9])
def test_jpeg2000_without_a_size(stream: bytes) -> None:
    assert jpeg2000_size(stream) is None


def test_png() -> None:
    good = builders.make_png()
    assert png_size(good) == Size(64, 48, 1, 8)
    assert png_size(good[:20]) is None
    assert png_size(good.replace(b"IHDR", b"IDAT", 1)) is None
    assert png_size(good[:25] + b"\x07" + good[26:]) is None
