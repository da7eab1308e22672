from __future__ import annotations

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from appliance.dicom.attributes import DICOM, JPEG, PNG, UNKNOWN, parse, read_header, sniff
from appliance.errors import NotAnImageError, RefusedError, UnsupportedError
from tests import builders


def header(**elements: object):
    return read_header(builders.encode(builders.dataset(**elements)))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (builders.make_cr(), DICOM),
        (builders.encode(builders.dataset(), part10=False), DICOM),
        (
            builders.encode(builders.dataset(), part10=False, transfer_syntax=builders.IMPLICIT),
            DICOM,
        ),
        (
            builders.encode(builders.dataset(), part10=False, transfer_syntax=builders.BIG_ENDIAN),
            DICOM,
        ),
        (builders.make_png(), PNG),
        (builders.make_jpeg(), JPEG),
        (b"", UNKNOWN),
        (b"%PDF-1.7 and so on, longer than eight bytes", UNKNOWN),
        (b"PK\x03\x04 a zip", UNKNOWN),
    ],
)
def test_sniff(content: bytes, expected: str) -> None:
    assert sniff(content) == expected


@pytest.mark.parametrize(
    "syntax", [builders.EXPLICIT, builders.IMPLICIT, builders.BIG_ENDIAN, builders.RLE]
)
def test_header_in_every_encoding(syntax: str) -> None:
    found = read_header(builders.make_cr(transfer_syntax=syntax, PixelSpacing=[0.15, 0.2]))
    assert found.sop_instance_uid == "1.2.3.4.5"
    assert found.transfer_syntax_uid == syntax
    assert (found.rows, found.columns, found.number_of_frames) == (64, 48, 1)
    assert found.pixel_spacing_mm == (0.15, 0.2)
    assert found.patient_age_years == 40
    assert found.photometric_interpretation == "MONOCHROME2"


@pytest.mark.parametrize("syntax", [builders.EXPLICIT, builders.IMPLICIT, builders.BIG_ENDIAN])
def test_header_without_preamble_and_meta(syntax: str) -> None:
    bare = builders.encode(builders.dataset(), part10=False, transfer_syntax=syntax)
    found = read_header(bare)
    assert found.sop_instance_uid == "1.2.3.4.5"
    assert found.patient_id == "P1"
    assert found.transfer_syntax_uid == syntax


@pytest.mark.parametrize(
    ("elements", "years"),
    [
        ({"PatientAge": "045Y"}, 45),
        ({"PatientAge": "006M"}, 0.5),
        ({"PatientAge": "003W"}, 0.057),
        ({"PatientAge": "010D"}, 0.027),
        ({"PatientBirthDate": "20000101", "StudyDate": "20100101"}, 10.001),
        # Nobody typed an age: the birth date is asked, and without one the age is unknown.
        ({"PatientAge": "000Y", "PatientBirthDate": "20200101", "StudyDate": "20220101"}, 2.001),
        ({"PatientAge": "000Y"}, None),
        ({"PatientBirthDate": "19000101", "StudyDate": "20220101"}, None),
        ({"PatientBirthDate": "20230101", "StudyDate": "20220101"}, None),
        ({"PatientBirthDate": "20231301", "StudyDate": "20240101"}, None),
        ({"PatientBirthDate": "20200101"}, None),
        ({}, None),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_age(elements: dict[str, str], years: float | None) -> None:
    assert header(**elements).patient_age_years == years


def test_age_without_unit_is_unknown() -> None:
    """Forty-five what? A newborn's days read as years would pass the gate for adults."""
    content = builders.encode(builders.dataset(PatientAge="045Y")).replace(b"045Y", b"045 ")
    assert read_header(content).patient_age_years is None


def region(**elements: object) -> Dataset:
    item = Dataset()
    given_elements = {
        "RegionSpatialFormat": 1,
        "PhysicalUnitsXDirection": 3,
        "PhysicalUnitsYDirection": 3,
        "PhysicalDeltaX": 0.02,
        "PhysicalDeltaY": 0.03,
        **elements,
    }
    for keyword, value in given_elements.items():
        setattr(item, keyword, value)
    return item


@pytest.mark.parametrize(
    ("elements", "spacing"),
    [
        ({"PixelSpacing": [0.1, 0.2], "ImagerPixelSpacing": [1, 1]}, (0.1, 0.2)),
        ({"ImagerPixelSpacing": [0.143, 0.143]}, (0.143, 0.143)),
        ({"PixelSpacing": [0, 0]}, None),
        ({"PixelSpacing": 0.1}, None),
        ({"SequenceOfUltrasoundRegions": [region()]}, (0.3, 0.2)),
        ({"SequenceOfUltrasoundRegions": [region(), region(RegionSpatialFormat=2)]}, (0.3, 0.2)),
        ({"SequenceOfUltrasoundRegions": [region(), region(PhysicalDeltaX=0.05)]}, None),
        ({"SequenceOfUltrasoundRegions": [region(PhysicalUnitsXDirection=4)]}, None),
    ],
)
def test_pixel_spacing(elements: dict[str, object], spacing: tuple[float, float] | None) -> None:
    assert header(**elements).pixel_spacing_mm == spacing


def test_text_is_decoded_by_the_files_own_character_set() -> None:
    found = header(SpecificCharacterSet="ISO_IR 100", PatientID="Ñandú")
    assert found.patient_id == "Ñandú"


def test_the_uid_of_the_meta_information_stands_in() -> None:
    ds = builders.dataset()
    content = builders.encode(ds)
    del ds.SOPInstanceUID
    without = builders.encode(ds)
    assert read_header(content).sop_instance_uid == "1.2.3.4.5"
    assert read_header(without).sop_instance_uid == "1.2.3.4.5"


def test_a_picture_has_uids_that_follow_from_its_content() -> None:
    first, again = read_header(builders.make_png()), read_header(builders.make_png())
    other = read_header(builders.make_jpeg())
    assert first == again
    assert first.sop_instance_uid is not None
    assert first.sop_instance_uid.startswith("2.25.")
    assert other.sop_instance_uid != first.sop_instance_uid
    assert (first.rows, first.columns) == (64, 48)
    assert first.modality is None


def test_deflated_is_refused_before_it_is_inflated() -> None:
    content = builders.encode(builders.dataset())
    deflated = content[: content.index(b"1.2.840.10008.1.2.1")]
    deflated = deflated[:-2] + b"\x16\0" + b"1.2.840.10008.1.2.1.99" + b"\0" * 64
    with pytest.raises(UnsupportedError, match="deflated"):
        read_header(deflated)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no image",
        b"\0" * 128 + b"DICM",
        b"\0" * 128 + b"DICM" + b"\xff" * 50,
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"\xff\xd8\xff\xd9",
        builders.make_nested(3000),
    ],
)
def test_junk_is_not_an_image(content: bytes) -> None:
    with pytest.raises(NotAnImageError):
        read_header(content)


def test_nothing_of_the_patient_is_logged_or_warned(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    content = builders.encode(builders.dataset(PatientID="SECRET", PatientAge="045Y"))
    read_header(content.replace(b"045Y", b"4\xffSE"))
    assert "SECRET" not in caplog.text
    assert "SE" not in caplog.text


def test_pixels_are_read_only_when_asked_for() -> None:
    content = builders.make_cr()
    assert "PixelData" not in parse(content, pixels=False)
    assert "PixelData" in parse(content, pixels=True)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_bytes_end_in_a_header_or_a_refusal(data: st.DataObject) -> None:
    content = bytearray(builders.make_cr(rows=4, columns=4))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(128, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    try:
        read_header(bytes(content[:cut]))
    except RefusedError as error:
        assert error.text  # noqa: PT017
