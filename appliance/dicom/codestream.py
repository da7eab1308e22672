"""What a compressed image says of itself, read from its own first bytes.

A decoder believes the code stream, not the DICOM header around it. So the size is read here, and
held against header and limit, before a decoder sees it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  "
_MARKERS_READ = 2000


@dataclass(frozen=True, slots=True)
class Size:
    """Rows, columns, samples a pixel and bits a sample that a code stream announces."""

    rows: int
    columns: int
    samples: int
    bits: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one decoded frame."""
        return self.rows * self.columns * self.samples * (1 if self.bits <= 8 else 2)


def jpeg_size(content: bytes) -> Size | None:
    """Return the size in the SOF marker of a JPEG or JPEG-LS stream (ITU-T T.81 B.2.2), or None."""
    at = 2
    for _ in range(_MARKERS_READ):
        at = content.find(b"\xff", at)
        if at < 0 or at + 4 > len(content):
            return None
        marker = content[at + 1]
        if marker in {0x00, 0x01, 0xFF} or 0xD0 <= marker <= 0xD8:
            at += 1 if marker == 0xFF else 2
        elif _is_sof(marker):
            return _sof(content[at + 4 : at + 10])
        elif marker in {0xD9, 0xDA}:
            return None
        else:
            at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return None


def _is_sof(marker: int) -> bool:
    # DHT, JPG and DAC stand within the range of the SOFs; 0xF7 is JPEG-LS (ITU-T T.87 C.1.1).
    return marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC})


def _sof(body: bytes) -> Size | None:
    if len(body) < 6:
        return None
    bits, rows, columns, samples = struct.unpack(">BHHB", body)
    return Size(rows, columns, samples, bits) if rows and columns and samples else None


def jpeg2000_size(content: bytes) -> Size | None:
    """Return the size in the SIZ marker of a JPEG 2000 code stream (ITU-T T.800 A.5.1), or None."""
    at = content.find(b"\xff\x4f\xff\x51", 0, 4096) if content[:8] == _JP2_SIGNATURE else 0
    body = content[at : at + 43]
    if at < 0 or len(body) < 43 or not body.startswith(b"\xff\x4f\xff\x51"):
        return None
    x1, y1, x0, y0 = struct.unpack(">4I", body[8:24])
    samples = int.from_bytes(body[40:42], "big")
    bits = (body[42] & 0x7F) + 1
    return Size(y1 - y0, x1 - x0, samples, bits) if y1 > y0 and x1 > x0 and samples else None


def png_size(content: bytes) -> Size | None:
    """Return the size in the IHDR chunk of a PNG (W3C PNG 11.2.2), or None."""
    if not content.startswith(PNG_SIGNATURE) or content[12:16] != b"IHDR" or len(content) < 29:
        return None
    columns, rows, bits, colour = struct.unpack(">IIBB", content[16:26])
    samples = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}.get(colour)
    if samples is None or not rows or not columns:
        return None
    return Size(rows, columns, samples, bits)
