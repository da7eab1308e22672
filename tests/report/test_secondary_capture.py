from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from appliance.domain import RESEARCH_ONLY, OperatingPoint, Reading, ReadingState, Reason
from appliance.errors import NotAnImageError, TooLargeError
from appliance.report import panel
from appliance.report.overlay import film_png, heat_png
from appliance.report.panel import LIMITS, NOT_SURE, PANEL_WIDTH, draw_sheet, likelihood
from appliance.report.secondary_capture import build_result, result_uid, wrap_picture
from tests.report import samples

USE = "Chest films of children from 1 to 5 years."
FORBIDDEN = re.compile(r"\bnormal\b|no disease|diagnos|\bAI\b|error|invalid|success", re.IGNORECASE)
UNREAD = [ReadingState.ABSTAINED, ReadingState.REFUSED, ReadingState.FAILED]


def build(
    read: Reading | None = None, *, film: bool = True, heat: bool = True, **header: Any
) -> bytes:
    return build_result(
        samples.instance(**header),
        samples.stored(read),
        film_png(samples.film()) if film else None,
        heat_png(samples.explanation(), 600, 480) if heat else None,
        station_name="Clinic Box 7, a long name",
        software_version="0.1.0",
        intended_use=USE,
    )


def parse(content: bytes) -> Dataset:
    return dcmread(BytesIO(content))


class Pen:
    """Collects what is written, beside writing it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: list[str] = []
        write = panel._write

        def collect(sheet: Any, line: Any, origin: Any) -> None:
            self.texts.append(line.text)
            write(sheet, line, origin)

        monkeypatch.setattr(panel, "_write", collect)

    @property
    def text(self) -> str:
        return " ".join(self.texts)


@pytest.fixture
def pen(monkeypatch: pytest.MonkeyPatch) -> Pen:
    return Pen(monkeypatch)


def test_the_uid_of_a_result_is_the_same_at_each_try_and_its_own() -> None:
    assert result_uid("1.2.3", 4) == result_uid("1.2.3", 4)
    assert len({result_uid("1.2.3", 4), result_uid("1.2.3", 5), result_uid("1.2.4", 4)}) == 3
    assert UID(result_uid("1.2.3", 4)).is_valid


def test_the_same_reading_makes_the_same_bytes() -> None:
    assert build() == build()


def test_a_result_lies_in_the_study_of_its_source_and_names_it() -> None:
    ds = parse(build())
    assert ds.SOPClassUID == SecondaryCaptureImageStorage
    assert ds.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert ds.SOPInstanceUID == result_uid("1.2.3.4.5", 3)
    assert ds.StudyInstanceUID == "1.2.3.4"
    assert ds.SeriesInstanceUID != "1.2.3.4.1"
    assert (str(ds.PatientName), ds.PatientID, ds.PatientSex) == ("Müller^Zoë", "P1", "F")
    assert (ds.StudyDate, ds.AccessionNumber) == ("20261124", "A1")
    assert list(ds.ImageType) == ["DERIVED", "SECONDARY"]
    assert ds.BurnedInAnnotation == "YES"
    assert ds.ConversionType == "WSD"
    assert (ds.InstanceCreationDate, ds.InstanceCreationTime) == ("20261124", "210507")
    source = ds.SourceImageSequence[0]
    assert source.ReferencedSOPInstanceUID == "1.2.3.4.5"
    assert source.ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.1"
    assert "cxr-pneumonia 1.0.0" in ds.DerivationDescription
    assert ds.StationName == "Clinic Box 7, a"


def test_two_results_of_a_study_share_a_series() -> None:
    first, second = parse(build()), parse(build(sop_instance_uid="1.2.3.4.6"))
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID


def test_the_words_stand_at_the_edge_and_the_film_is_whole(pen: Pen) -> None:
    ds = parse(build(heat=False))
    pixels = ds.pixel_array
    assert pixels.shape == (ds.Rows, ds.Columns, 3)
    assert ds.Columns == 480 + PANEL_WIDTH
    top = (ds.Rows - 600) // 2
    left = pixels[top : top + 600, :480]
    assert np.array_equal(left[..., 0], samples.film())
    assert np.array_equal(left[..., 0], left[..., 2])
    assert pixels[:, 480:].max() > 200


def test_a_reading_says_what_the_box_says(pen: Pen) -> None:
    ds = parse(build())
    for said in (
        "the box's reading",
        "signs of pneumonia:",
        "likely (82 in 100)",
        "operating point high sensitivity (41 in 100)",
        "cardiothoracic ratio: 0.52",
        "cxr-pneumonia 1.0.0",
        "ab12cd34ab12",
        "onnxruntime-cpu",
        "2026-11-24 21:05 UTC",
        USE,
        LIMITS,
        "where the model looked",
    ):
        assert said in pen.text
    assert not FORBIDDEN.search(pen.text)
    film = ds.pixel_array[:, :480].astype(int)
    assert np.ptp(film, axis=2).max() > 40  # the overlay


@pytest.mark.parametrize("state", UNREAD)
def test_no_number_leaves_a_reading_that_cannot_answer(pen: Pen, state: ReadingState) -> None:
    reasons = (
        Reason("shape", "The film is cut at the lung tops."),
        Reason("number", "The model gave 82 in 100."),
    )
    ds = parse(build(samples.reading(state, reasons=reasons)))
    assert (NOT_SURE in pen.text) == (state is ReadingState.ABSTAINED)
    assert "cut at the lung tops" in pen.text
    assert "in 100" not in pen.text
    assert "82" not in pen.text
    assert "looked" not in pen.text
    assert not FORBIDDEN.search(pen.text)
    film = ds.pixel_array[:, :480].astype(int)
    assert np.ptp(film[100:-100], axis=2).max() == 0  # no overlay
    assert "cxr" not in ds.DerivationDescription


def test_without_a_film_the_sheet_is_the_panel_alone(pen: Pen) -> None:
    ds = parse(build(samples.reading(ReadingState.FAILED), film=False, heat=True))
    assert ds.Columns == PANEL_WIDTH + 1
    assert "must read it" in pen.text


def test_much_text_makes_a_taller_sheet_and_never_overlaps() -> None:
    reasons = tuple(
        Reason(f"r{n}", "A long sentence about the film, said again. " * 6) for n in range(9)
    )
    short = draw_sheet(samples.stored(), None, None, software_version="1", intended_use="")
    tall = draw_sheet(
        samples.stored(samples.reading(ReadingState.ABSTAINED, reasons=reasons)),
        None,
        None,
        software_version="1",
        intended_use="x" * 200,
    )
    assert tall.shape[0] > 2 * short.shape[0]


def test_foreign_letters_become_plain_ones(pen: Pen) -> None:
    named = dataclasses.replace(samples.finding(), label="Épanchement — droit…")
    build(samples.reading(findings=(named,)))
    drawn = " ".join(panel._ascii(text) for text in pen.texts)
    assert "signs of epanchement - droit...:" in drawn
    assert drawn.isascii()


@pytest.mark.parametrize(
    ("probability", "said"),
    [
        (0.0, "unlikely (under 1 in 100)"),
        (0.194, "unlikely (19 in 100)"),
        (0.195, "possible (20 in 100)"),
        (0.499, "likely (50 in 100)"),
        (0.5, "likely (50 in 100)"),
        (0.79, "likely (79 in 100)"),
        (0.82, "likely (82 in 100)"),
        (0.9, "very likely (90 in 100)"),
        (0.999, "very likely (over 99 in 100)"),
        (1.0, "very likely (over 99 in 100)"),
    ],
)
def test_words_and_numbers_of_a_probability(probability: float, said: str) -> None:
    assert likelihood(samples.finding(probability)) == said


@given(st.floats(0, 1), st.floats(0, 1))
def test_every_probability_can_be_drawn(probability: float, threshold: float) -> None:
    finding = dataclasses.replace(
        samples.finding(probability), operating_point=OperatingPoint("balanced", threshold)
    )
    sheet = draw_sheet(
        samples.stored(samples.reading(findings=(finding,))),
        None,
        None,
        software_version="1",
        intended_use="",
    )
    assert sheet.shape[1] == PANEL_WIDTH + 1


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("Pneumonia", "signs of pneumonia"),
        ("Signs of pneumonia", "signs of pneumonia"),
        ("TB", "signs of TB"),
    ],
)
def test_a_finding_is_called_by_its_signs(label: str, said: str) -> None:
    assert dataclasses.replace(samples.finding(), label=label).signs == said


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, when the test reads it back
def test_a_header_against_the_standard_is_copied_as_it_is() -> None:
    wrong = {"patient_id": "x" * 80, "patient_birth_date": "1.4.2023", "study_date": "soon"}
    ds = parse(build(**wrong, patient_sex=None, accession_number=""))
    assert ds.PatientID == "x" * 80
    assert ds["PatientBirthDate"].value == "1.4.2023"
    assert not ds.PatientSex


def test_a_drawing_that_is_none_is_no_image() -> None:
    with pytest.raises(NotAnImageError):
        build_result(
            samples.instance(),
            samples.stored(),
            b"not a PNG",
            None,
            station_name="",
            software_version="",
            intended_use="",
        )


@pytest.mark.parametrize(
    ("read", "word"),
    [
        (samples.reading(), "urgent"),
        (samples.reading(findings=(samples.finding(0.1),)), "read"),
        (samples.reading(findings=(), measurements=()), "read"),
        (samples.reading(ReadingState.ABSTAINED), "not sure"),
        (samples.reading(ReadingState.REFUSED), "not fit to read"),
        (samples.reading(ReadingState.FAILED), "failed"),
    ],
)
def test_each_state_has_its_word_beside_the_heading(pen: Pen, read: Reading, word: str) -> None:
    build(read)
    assert pen.texts[0] == word


def luminance(colour: tuple[int, int, int]) -> float:
    share = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * share[0] + 0.7152 * share[1] + 0.0722 * share[2]


@pytest.mark.parametrize(
    "name", ["_TEXT", "_STRONG", "_QUIET", "_URGENT", "_UNSURE", "_UNFIT", "_FAILED", "_READ"]
)
def test_all_text_has_contrast(name: str) -> None:
    text, ground = luminance(getattr(panel, name)), luminance(panel._GROUND)
    assert (text + 0.05) / (ground + 0.05) >= 4.5


# Uploaded pictures


def encode(pixels: np.ndarray, kind: str) -> bytes:
    done, content = cv2.imencode(kind, pixels)
    assert done
    return content.tobytes()


def picture(**header: Any) -> Any:
    return samples.instance("image/png", sop_class_uid=None, **header)


def test_a_grey_picture_is_wrapped_exactly_under_its_own_uids() -> None:
    pixels = samples.film(301, 201)
    ds = parse(wrap_picture(picture(series_instance_uid="1.2.3.4.9"), encode(pixels, ".png")))
    assert np.array_equal(ds.pixel_array, pixels)
    assert ds.PhotometricInterpretation == "MONOCHROME2"
    assert (ds.SOPInstanceUID, ds.StudyInstanceUID) == ("1.2.3.4.5", "1.2.3.4")
    assert ds.SeriesInstanceUID == "1.2.3.4.9"
    assert "LossyImageCompression" not in ds


def test_a_coloured_jpeg_says_that_it_was_lossy() -> None:
    pixels = np.dstack([samples.film(), samples.film() // 2, 255 - samples.film()])
    ds = parse(wrap_picture(picture(), encode(pixels, ".jpg")))
    assert ds.PhotometricInterpretation == "RGB"
    assert np.abs(ds.pixel_array[..., ::-1].astype(int) - pixels).mean() < 4
    assert ds.LossyImageCompression == "01"
    assert float(ds.LossyImageCompressionRatio) > 1


def test_sixteen_bits_become_eight_and_missing_uids_are_derived() -> None:
    deep = samples.film().astype(np.uint16) * 257
    nameless = picture(sop_instance_uid=None, study_instance_uid=None)
    first = parse(wrap_picture(nameless, encode(deep, ".png")))
    assert np.abs(first.pixel_array.astype(int) - samples.film()).max() <= 1
    assert (
        first.SOPInstanceUID == parse(wrap_picture(nameless, encode(deep, ".png"))).SOPInstanceUID
    )


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n", b"\xff\xd8" + b"\xff" * 99])
def test_what_is_no_picture_cannot_be_wrapped(content: bytes) -> None:
    with pytest.raises(NotAnImageError):
        wrap_picture(picture(), content)


@pytest.mark.parametrize("kind", [".png", ".jpg"])
def test_a_bomb_is_stopped_by_what_its_header_announces(kind: str) -> None:
    content = bytearray(encode(samples.film(16, 16), kind))
    place = 16 if kind == ".png" else content.index(b"\xff\xc0") + 5
    size = 4 if kind == ".png" else 2
    for at in (place, place + size):
        content[at : at + size] = (60_000).to_bytes(size, "big")
    with pytest.raises(TooLargeError):
        wrap_picture(picture(), bytes(content))


@given(st.binary(max_size=300), st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b""]))
def test_any_bytes_are_refused_or_wrapped(tail: bytes, start: bytes) -> None:
    with pytest.raises((NotAnImageError, TooLargeError)):
        wrap_picture(picture(), start + tail)


@pytest.mark.peers
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not here")
@pytest.mark.parametrize("body_part", ["CHEST", "BREAST", None])
@pytest.mark.parametrize("kind", ["read", "abstained", "failed", "png", "jpg"])
def test_dciodvfy_finds_nothing_wrong(tmp_path: Path, kind: str, body_part: str | None) -> None:
    if kind in {"png", "jpg"}:
        colour = np.dstack([samples.film(), samples.film() // 2, samples.film()])
        content = wrap_picture(picture(body_part_examined=body_part), encode(colour, f".{kind}"))
    else:
        read = samples.reading(ReadingState(kind))
        content = build(read, film=kind != "failed", body_part_examined=body_part)
    path = tmp_path / "object.dcm"
    path.write_bytes(content)
    said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    assert "SCImage" in said.stderr
    assert not [line for line in said.stderr.splitlines() if line.startswith("Error")]


@pytest.mark.parametrize("state", [ReadingState.READ, ReadingState.ABSTAINED])
def test_research_only_stands_on_the_picture_and_in_the_header(
    state: ReadingState, pen: Pen
) -> None:
    ref = dataclasses.replace(samples.MODEL, research_only=True)
    ds = parse(build(dataclasses.replace(samples.reading(state), model=ref)))
    assert RESEARCH_ONLY in pen.text
    assert RESEARCH_ONLY in ds.SeriesDescription
    assert len(ds.SeriesDescription) <= 64
    build()
    assert pen.text.count(RESEARCH_ONLY) == 1


def test_the_panel_says_where_and_how_sure(pen: Pen) -> None:
    finding = dataclasses.replace(samples.finding(), coverage=0.9)
    read = samples.reading(findings=(finding,), explanation=samples.explanation())
    build(read)
    said = " ".join(pen.text.split())
    assert "strongest in the left lower lung field" in said
    assert "not where a disease is" in said
    assert "for 90 in 100" in said
    assert not FORBIDDEN.search(said)


@pytest.mark.parametrize("state", UNREAD)
def test_the_panel_names_no_place_without_an_answer(pen: Pen, state: ReadingState) -> None:
    build(samples.reading(state, explanation=samples.explanation()))
    assert "left lower" not in pen.text
    assert "moved the number" not in pen.text
