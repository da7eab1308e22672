"""What becomes of each file of the dialects set: the shape it decodes to, or why it does not.

The table is what the appliance promises for real machines; a change to it is a change for users.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.decoder.parent import Decoder
from appliance.dicom.attributes import read_header
from appliance.errors import RefusedError, WaypostError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OUTCOMES: dict[str, tuple[int, ...] | str] = {
    "CR-ModalitySequenceLUT.dcm": (1576, 1976),
    "CT_small.dcm": (128, 128),
    "DIRW0007.dcm": (456, 576, 3),
    "ExplVR_BigEnd.dcm": (60, 80, 3),
    "ExplVR_LitEndNoMeta.dcm": "not_an_image",
    "GDCMJ2K_TextGBR.dcm": (400, 400, 3),
    "GH227.dcm": "unsupported_transfer_syntax",
    "GH364.dcm": (768, 1024),
    "J2K_pixelrep_mismatch.dcm": (512, 512),
    "JPEG2000.dcm": (1024, 256),
    "JPGExtended.dcm": (1024, 256),
    "JPGLosslessP14SV1_1s_1f_8b.dcm": (768, 1024),
    "MG1_J2KI.dcm": (4664, 3064),
    "MR_small.dcm": (64, 64),
    "MR_truncated.dcm": "damaged_pixels",
    "OBXXXX1A.dcm": (600, 800, 3),
    "OBXXXX1A_expb.dcm": (600, 800, 3),
    "OBXXXX1A_rle_2frame.dcm": (600, 800, 3),
    "OutOfBoundsOverlay.dcm": (788, 1318),
    "RG1_J2KI.dcm": (1955, 1841),
    "RG2_J2KI.dcm": (2140, 1760),
    "RG2_JPLL.dcm": (2140, 1760),
    "RG2_JPLY.dcm": "unsupported_transfer_syntax",
    "RG3_J2KR.dcm": (1760, 1760),
    "RG3_JLSL.dcm": (1760, 1760),
    "RG3_JLSN.dcm": (1760, 1760),
    "RG3_JPLY.dcm": "unsupported_transfer_syntax",
    "SC_rgb_jpeg_app14_dcmd.dcm": (256, 256, 3),
    "US-PAL-8-10x-echo.dcm": (430, 600, 3),
    "US-RGB-8-epicard.dcm": (480, 640, 3),
    "US1_J2KI.dcm": (480, 640, 3),
    "US1_J2KR.dcm": (480, 640, 3),
    "US1_RLE.dcm": (480, 640, 3),
    "US1_UNCI.dcm": (480, 640, 3),
    "XA1_JPLY.dcm": "unsupported_transfer_syntax",
    "XA1_RLE.dcm": (1024, 1024),
    "YBR_422.dcm": (555, 800, 3),
    "YBR_FULL-RLE.dcm": (480, 640, 3),
    "badVR.dcm": "unsupported",
    "chrJapMulti.dcm": "not_an_image",
    "chrJapMultiExplicitIR6.dcm": "not_an_image",
    "chrKoreanMulti.dcm": "not_an_image",
    "color-pl.dcm": (120, 256, 3),
    "color-px.dcm": (120, 256, 3),
    "dx_image.dcm": (169, 211),
    "empty_charset_LEI.dcm": "not_an_image",
    "examples_overlay.dcm": (300, 484),
    "examples_palette.dcm": (350, 800, 3),
    "examples_rgb_color.dcm": (240, 320, 3),
    "examples_ybr_color.dcm": (240, 320, 3),
    "gdcm-CR-MONO1-10-chest.dcm": (440, 440),
    "gdcm-US-ALOKA-16.dcm": (480, 640, 3),
    "jpeg-ls-Palette.dcm": (430, 600, 3),
    "liver_1frame.dcm": "unsupported",
    "meta_missing_tsyntax.dcm": "not_an_image",
    "multiframe.dcm": (240, 240, 3),
    "nested_priv_SQ.dcm": "not_an_image",
    "no-pixel-spacing.dcm": (600, 800, 3),
    "no_meta.dcm": "not_an_image",
    "priv_SQ.dcm": "not_an_image",
    "rtdose_1frame.dcm": "unsupported",
    "rtplan_truncated.dcm": "not_an_image",
    "test-SR.dcm": "not_an_image",
    "waveform_ecg.dcm": "not_an_image",
    "will-jxl.dcm": "unsupported_transfer_syntax",
}
# Their header cannot be read either.
WITHOUT_HEADER = {"GH227.dcm", "no_meta.dcm"}
# The same film by different encodings.
SAME_FILMS = (
    ("RG3_J2KR.dcm", "RG3_JLSL.dcm"),
    ("US1_UNCI.dcm", "US1_J2KI.dcm"),
    ("US1_RLE.dcm", "US1_J2KR.dcm"),
    ("OBXXXX1A.dcm", "OBXXXX1A_expb.dcm"),
)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    mib = 1024 * 1024
    with Decoder(memory_bytes=1024 * mib, seconds=20, pixel_bytes=200 * mib) as opened:
        opened.start()
        yield opened


@pytest.fixture(scope="module")
def dialects(waypost_data: Path) -> Path:
    folder = waypost_data / "dicom_dialects" / "files"
    if not folder.is_dir():
        pytest.skip("the set dicom_dialects is not in the data folder")
    return folder


@pytest.mark.parametrize("name", OUTCOMES)
def test_outcome(decoder: Decoder, dialects: Path, name: str) -> None:
    decoder.start()
    child = decoder.pid
    outcome: tuple[int, ...] | str
    try:
        outcome = decoder.decode((dialects / name).read_bytes()).pixels.shape
    except WaypostError as error:
        outcome = error.code
    assert outcome == OUTCOMES[name]
    assert decoder.pid == child


@pytest.mark.parametrize("name", OUTCOMES)
def test_header(dialects: Path, name: str) -> None:
    content = (dialects / name).read_bytes()
    if name in WITHOUT_HEADER:
        with pytest.raises(RefusedError):
            read_header(content)
    else:
        read_header(content)


def test_every_file_of_the_set_is_in_the_table(dialects: Path) -> None:
    assert {path.name for path in dialects.iterdir()} == set(OUTCOMES)


@pytest.mark.parametrize(("first", "second"), SAME_FILMS)
def test_the_same_film_looks_the_same(
    decoder: Decoder, dialects: Path, first: str, second: str
) -> None:
    shown = [decoder.decode((dialects / name).read_bytes()).pixels for name in (first, second)]
    assert (abs(shown[0].astype(int) - shown[1]) <= 1).all()


def test_names_in_other_scripts(dialects: Path) -> None:
    names = {
        name: read_header((dialects / name).read_bytes()).patient_name or ""
        for name in ("chrJapMulti.dcm", "chrKoreanMulti.dcm")
    }
    assert "やまだ" in names["chrJapMulti.dcm"]
    assert names["chrKoreanMulti.dcm"] == "김희중"
