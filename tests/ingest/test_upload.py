from __future__ import annotations

import struct

import pytest

from appliance.domain import Admission, AdmissionOutcome, Arrival, Source
from appliance.ingest.upload import Uploads
from tests import builders

KIB = 1024


class Door:
    """A door that lets everything in and remembers it."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []

    def __call__(self, arrival: Arrival) -> Admission:
        self.arrivals.append(arrival)
        return Admission(AdmissionOutcome.ACCEPTED, "1.2", len(self.arrivals))


@pytest.fixture
def door() -> Door:
    return Door()


def receive(door: Door, content: bytes, name: str = "film.dcm") -> list[tuple[str, str]]:
    answers = Uploads(door, total_bytes=200 * KIB, entries=4).receive(name, content)
    return [
        (a.name, a.admission.reason.code if a.admission.reason else str(a.admission.outcome))
        for a in answers
    ]


def test_one_file(door: Door) -> None:
    assert receive(door, builders.make_cr(), "C:\\films\\a.dcm") == [("a.dcm", "accepted")]
    assert door.arrivals[0].source is Source.UPLOAD
    assert door.arrivals[0].station == "a.dcm"


def test_each_file_of_a_zip(door: Door) -> None:
    content = builders.make_zip(
        {
            "../../etc/a.dcm": builders.make_cr(),
            "folder/b.png": builders.make_png(),
            "DICOMDIR": b"list",
            "__MACOSX/b.png": b"shadow",
            ".DS_Store": b"shadow",
            "folder/": b"",
        }
    )
    assert receive(door, content, "x.zip") == [("a.dcm", "accepted"), ("b.png", "accepted")]


def test_a_zip_of_zeros_stops_at_the_limit(door: Door) -> None:
    content = builders.make_zip({"a.png": builders.make_png(), "zeros": b"\0" * (5 * KIB * KIB)})
    assert len(content) < 20 * KIB
    assert receive(door, content) == [("a.png", "accepted"), ("zeros", "too_large")]


def test_a_zip_that_lies_about_its_size(door: Door) -> None:
    content = bytearray(builders.make_zip({"zeros": b"\0" * (5 * KIB * KIB)}))
    at = content.index(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", 10)
    answers = receive(door, bytes(content))
    assert answers[0][1] in {"too_large", "damaged_zip", "accepted"}
    assert all(len(arrival.content) <= 10 for arrival in door.arrivals)


def test_the_limit_counts_all_entries_together(door: Door) -> None:
    content = builders.make_zip(dict.fromkeys("abc", b"\x01" * (90 * KIB)))
    assert [code for _, code in receive(door, content)] == ["accepted", "accepted", "too_large"]


def test_nested_and_empty_and_too_many(door: Door) -> None:
    inner = builders.make_zip({"a": b"1"})
    assert receive(door, builders.make_zip({"in.zip": inner})) == [("in.zip", "nested_zip")]
    assert receive(door, builders.make_zip({}), "e.zip") == [("e.zip", "empty_zip")]
    many = builders.make_zip({str(n): b"1" for n in range(5)})
    assert receive(door, many, "m.zip") == [("m.zip", "too_many_files")]
    assert door.arrivals == []


def test_damaged_and_locked(door: Door) -> None:
    good = builders.make_zip({"a.png": builders.make_png()})
    assert receive(door, good[:-30], "d.zip") == [("d.zip", "damaged_zip")]
    broken = bytearray(good)
    broken[45:80] = b"\xff" * 35
    assert receive(door, bytes(broken), "d.zip") == [("a.png", "damaged_zip")]
    locked = bytearray(good)
    locked[6] |= 1
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    assert receive(door, bytes(locked)) == [("a.png", "damaged_zip")]


def test_an_upload_that_is_too_large(door: Door) -> None:
    assert receive(door, b"\0" * (201 * KIB)) == [("film.dcm", "too_large")]
