from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import struct
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.decoder.child import serve
from appliance.decoder.parent import Decoder
from appliance.errors import (
    DecodeError,
    DecoderCrashError,
    NotAnImageError,
    ReadingError,
    RefusedError,
    TooLargeError,
    UnsupportedError,
)
from tests import builders

if TYPE_CHECKING:
    from collections.abc import Iterator

GOOD = builders.make_cr()
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(memory_bytes=512 * MIB, seconds=10, pixel_bytes=200 * MIB) as opened:
        opened.start()
        yield opened


def jpeg2000_bomb() -> bytes:
    """A code stream of a hundred bytes that announces 65000 x 65000."""
    siz = struct.pack(">HHIIIIIIIIH", 41, 0, 65000, 65000, 0, 0, 65000, 65000, 0, 0, 1) + bytes(
        [7, 1, 1]
    )
    cod = b"\xff\x52\x00\x0c\x00\x00\x00\x01\x00\x00\x04\x04\x00\x01"
    qcd = b"\xff\x5c\x00\x04\x40\x40"
    end = b"\xff\x90\x00\x0a\0\0\0\0\0\0\0\1\xff\x93\xff\xd9"
    return b"\xff\x4f\xff\x51" + siz + cod + qcd + end


def wrong_length() -> bytes:
    tag = b"\x28\x00\x10\x00US"
    return GOOD.replace(tag + b"\x02\x00", tag + b"\xf0\xff")


def deflated() -> bytes:
    head = GOOD[: GOOD.index(b"1.2.840.10008.1.2.1")]
    return head[:-2] + b"\x16\0" + b"1.2.840.10008.1.2.1.99" + b"\0" * 500


J2K = "1.2.840.10008.1.2.4.90"
HUGE = {"rows": 65535, "columns": 65535}
BOMBS = {
    "jpeg 2000, honest header": (
        builders.make_encapsulated(jpeg2000_bomb(), transfer_syntax=J2K, rows=65000, columns=65000),
        TooLargeError,
    ),
    "jpeg 2000, small header": (
        builders.make_encapsulated(jpeg2000_bomb(), transfer_syntax=J2K, rows=64, columns=64),
        TooLargeError,
    ),
    "rle": (
        builders.make_encapsulated(b"\1\0\0\0" * 30, transfer_syntax=builders.RLE, **HUGE),
        TooLargeError,
    ),
    "rle under the limit": (
        builders.make_encapsulated(
            struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * 200,
            transfer_syntax=builders.RLE,
            rows=13000,
            columns=13000,
        ),
        DecodeError,
    ),
    "deflated": (deflated(), UnsupportedError),
    "nested sequences": (builders.make_nested(3000), NotAnImageError),
    "wrong length": (wrong_length(), (NotAnImageError, DecodeError)),
    "cut short": (GOOD[:-100], DecodeError),
    "nothing": (b"", NotAnImageError),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_one_error_and_the_next_file_decodes(decoder: Decoder, name: str) -> None:
    content, error = BOMBS[name]
    began = time.monotonic()
    with pytest.raises(error):
        decoder.decode(content)
    assert time.monotonic() - began < 2
    assert decoder.decode(GOOD).pixels.shape == (64, 48)


def test_what_comes_back_is_what_the_file_says(decoder: Decoder) -> None:
    image = decoder.decode(builders.make_us(frames=3, PixelSpacing=[0.5, 0.25]))
    assert image.pixels.shape == (48, 64, 3)
    assert image.pixels.dtype == np.uint8
    assert image.pixels.flags.writeable
    assert image.frame_index == 1
    assert image.header.pixel_spacing_mm == (0.5, 0.25)
    assert image.header.number_of_frames == 3
    assert [note.code for note in image.notes] == ["frame_chosen"]


def test_fingerprints(decoder: Decoder) -> None:
    rle = builders.make_cr(transfer_syntax=builders.RLE)
    assert decoder.fingerprint(GOOD) == decoder.fingerprint(rle)
    assert decoder.same_content(GOOD, rle)
    assert not decoder.same_content(GOOD, builders.make_cr(patient_id="P2"))
    assert not decoder.same_content(GOOD, b"junk")


def test_a_killed_child_is_replaced(decoder: Decoder) -> None:
    decoder.start()
    killed = decoder.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    with contextlib.suppress(DecoderCrashError):
        decoder.decode(GOOD)
    assert decoder.decode(GOOD).pixels.shape == (64, 48)
    assert decoder.pid != killed


def test_a_stopped_child_is_given_up_after_the_time_limit() -> None:
    with Decoder(memory_bytes=256 * MIB, seconds=0.5, pixel_bytes=MIB) as opened:
        opened.start()
        assert opened.pid is not None
        os.kill(opened.pid, signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(DecoderCrashError, match="time and memory"):
            opened.decode(GOOD)
        assert time.monotonic() - began < 2
        assert opened.decode(GOOD).pixels.shape == (64, 48)


def test_memory_is_bounded() -> None:
    noisy = builders.make_cr(rows=4000, columns=4000, bits=16)
    with Decoder(memory_bytes=16 * MIB, seconds=10, pixel_bytes=200 * MIB) as opened:
        with pytest.raises(ReadingError):
            opened.decode(noisy)
        assert opened.decode(GOOD).pixels.shape == (64, 48)


def test_the_child_may_not_write_a_file(decoder: Decoder) -> None:
    decoder.start()
    limits = Path(f"/proc/{decoder.pid}/limits").read_text()
    rows = {line[:25].strip(): line[26:].split()[0] for line in limits.splitlines()[1:]}
    assert rows["Max file size"] == "0"
    assert rows["Max core file size"] == "0"
    assert rows["Max processes"] == "0"
    assert rows["Max address space"] != "unlimited"
    assert Path(f"/proc/{decoder.pid}/environ").read_text().count("=") <= 4


def test_the_child_carries_no_network_and_no_engine(decoder: Decoder) -> None:
    decoder.start()
    maps = Path(f"/proc/{decoder.pid}/maps").read_text()
    assert "onnxruntime" not in maps
    assert "sqlite" not in maps


def test_threads_take_turns(decoder: Decoder) -> None:
    sizes: list[tuple[int, ...]] = []

    def work(rows: int) -> None:
        sizes.append(decoder.decode(builders.make_cr(rows=rows)).pixels.shape)

    threads = [threading.Thread(target=work, args=(rows,)) for rows in range(20, 26)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sizes) == [(rows, 48) for rows in range(20, 26)]


def test_close_ends_the_child() -> None:
    opened = Decoder(memory_bytes=256 * MIB, seconds=5, pixel_bytes=MIB)
    opened.close()
    opened.start()
    pid = opened.pid
    opened.close()
    assert opened.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid or 0, 0)


def replies_to(*requests: tuple[bytes, bytes]) -> list[tuple[dict, bytes]]:
    asked = b"".join(struct.pack(">cQ", task, len(c)) + c for task, c in requests)
    answered = io.BytesIO()
    serve(io.BytesIO(asked), answered, MIB, lambda: None)
    answered.seek(0)
    found = []
    while head := answered.read(12):
        head_bytes, raw_bytes = struct.unpack(">IQ", head)
        found.append((json.loads(answered.read(head_bytes)), answered.read(raw_bytes)))
    return found


def test_the_childs_side_of_the_protocol() -> None:
    ready, image, mark, refused = replies_to((b"d", GOOD), (b"f", GOOD), (b"d", b"junk"))
    assert ready == ({"ready": True}, b"")
    assert image[0]["shape"] == [64, 48]
    assert len(image[1]) == 64 * 48
    assert len(mark[0]["fingerprint"]) == 64
    assert refused[0]["error"] == "NotAnImageError"


class Hostile(Decoder):
    """A decoder whose child answers what the test says."""

    answer = b""

    def _spawn(self):  # type: ignore[no-untyped-def]
        child = super()._spawn()
        read, write = os.pipe()
        os.write(write, struct.pack(">IQ", 2, 0) + b"{}" + self.answer)
        os.close(write)
        self.opened = read
        os.set_blocking(read, False)
        return type(child)(child.process, child.requests, read)


def reply(head: object, raw: bytes = b"", claimed: int | None = None) -> bytes:
    body = json.dumps(head).encode()
    return struct.pack(">IQ", len(body), len(raw) if claimed is None else claimed) + body + raw


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\xff" * 12,
        struct.pack(">IQ", 3, 0) + b"{{{",
        reply([]),
        reply({"error": "SystemExit", "text": "x", "code": "y"}),
        reply({"error": "DecodeError", "text": 5, "code": "y"}),
        reply({"shape": [4, 4], "header": {}, "notes": [], "frame_index": 0}, b"\0" * 15),
        reply({"shape": [-4, -4], "header": {}, "notes": [], "frame_index": 0}, b"\0" * 16),
        reply({"shape": [2, 2, 4], "header": {}, "notes": [], "frame_index": 0}, b"\0" * 16),
        reply({"shape": [4, 4], "header": {}, "notes": [], "frame_index": 0}, b"\0" * 16),
        reply({"shape": [4, 4]}, b"", 2**60),
    ],
)
def test_nothing_that_a_hostile_child_says_is_believed(answer: bytes) -> None:
    opened = Hostile(memory_bytes=256 * MIB, seconds=5, pixel_bytes=MIB)
    opened.answer = answer
    with pytest.raises(DecoderCrashError):
        opened.decode(GOOD)
    opened.close()


def test_errors_are_split_by_who_must_act(decoder: Decoder) -> None:
    with pytest.raises(RefusedError):
        decoder.decode(builders.make_sr())
    with pytest.raises(ReadingError):
        decoder.decode(GOOD[:-10])
