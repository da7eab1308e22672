"""All 65 DICOM dialects through the one door, the worker and the real model: the table of outcomes.

Each ends read, abstained, refused or quarantined with a reason; the order is that of the names, so
that the pairs which share a SOP Instance UID meet as they would in a clinic.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from appliance.config import Config
from appliance.domain import Arrival, Source
from appliance.store import instances, readings
from appliance.wiring.reading import build_pipeline, load_models
from appliance.wiring.storage import build_admitter, build_decoder, open_store
from appliance.worker import Worker

if TYPE_CHECKING:
    from pathlib import Path

ANSWERED = "answered"  # read or abstained: which of the two belongs to the model's version

# File name to state and first reason's code ("" for any or none).
OUTCOMES = {
    "CR-ModalitySequenceLUT.dcm": ("refused", "other_kind"),  # teeth
    "CT_small.dcm": ("refused", "no_model_for_modality"),
    "DIRW0007.dcm": ("refused", "no_model_for_modality"),
    "ExplVR_BigEnd.dcm": ("refused", "no_model_for_modality"),
    "ExplVR_LitEndNoMeta.dcm": ("refused", "not_an_image"),
    "GDCMJ2K_TextGBR.dcm": ("refused", "other_kind"),
    "GH227.dcm": ("quarantined", "unsupported_transfer_syntax"),
    "GH364.dcm": ("refused", "no_model_for_modality"),
    "J2K_pixelrep_mismatch.dcm": ("refused", "no_model_for_modality"),
    "JPEG2000.dcm": ("refused", "no_model_for_modality"),
    "JPGExtended.dcm": ("refused", "no_model_for_modality"),
    "JPGLosslessP14SV1_1s_1f_8b.dcm": ("refused", "no_model_for_modality"),
    "MG1_J2KI.dcm": ("refused", "no_model_for_modality"),
    "MR_small.dcm": ("refused", "no_model_for_modality"),
    "MR_truncated.dcm": ("quarantined", "uid_conflict"),
    "OBXXXX1A.dcm": ("refused", "no_model_for_modality"),
    "OBXXXX1A_expb.dcm": ("refused", "no_model_for_modality"),
    "OBXXXX1A_rle_2frame.dcm": ("quarantined", "uid_conflict"),
    "OutOfBoundsOverlay.dcm": ("refused", "no_model_for_modality"),
    "RG1_J2KI.dcm": (ANSWERED, ""),
    "RG2_J2KI.dcm": ("refused", "other_body_part"),
    "RG2_JPLL.dcm": ("refused", "other_body_part"),
    "RG2_JPLY.dcm": ("refused", "unsupported_transfer_syntax"),
    "RG3_J2KR.dcm": ("refused", "other_body_part"),
    "RG3_JLSL.dcm": ("refused", "other_body_part"),
    "RG3_JLSN.dcm": ("refused", "other_body_part"),
    "RG3_JPLY.dcm": ("refused", "unsupported_transfer_syntax"),
    "SC_rgb_jpeg_app14_dcmd.dcm": ("refused", "other_kind"),
    "US-PAL-8-10x-echo.dcm": ("refused", "no_model_for_modality"),
    "US-RGB-8-epicard.dcm": ("quarantined", "uid_conflict"),
    "US1_J2KI.dcm": ("refused", "no_model_for_modality"),
    "US1_J2KR.dcm": ("refused", "no_model_for_modality"),
    "US1_RLE.dcm": ("refused", "no_model_for_modality"),
    "US1_UNCI.dcm": ("refused", "no_model_for_modality"),
    "XA1_JPLY.dcm": ("refused", "unsupported_transfer_syntax"),
    "XA1_RLE.dcm": ("refused", "no_model_for_modality"),
    "YBR_422.dcm": ("refused", "no_model_for_modality"),
    "YBR_FULL-RLE.dcm": ("refused", "no_model_for_modality"),
    "badVR.dcm": ("refused", "unsupported"),
    "chrJapMulti.dcm": ("refused", "not_an_image"),
    "chrJapMultiExplicitIR6.dcm": ("quarantined", "uid_conflict"),
    "chrKoreanMulti.dcm": ("refused", "not_an_image"),
    "color-pl.dcm": ("refused", "no_model_for_modality"),
    "color-px.dcm": ("refused", "no_model_for_modality"),
    "dx_image.dcm": ("refused", "too_few_pixels"),
    "empty_charset_LEI.dcm": ("quarantined", "no_sop_instance_uid"),
    "examples_overlay.dcm": ("refused", "no_model_for_modality"),
    "examples_palette.dcm": ("quarantined", "uid_conflict"),
    "examples_rgb_color.dcm": ("refused", "no_model_for_modality"),
    "examples_ybr_color.dcm": ("refused", "no_model_for_modality"),
    "gdcm-CR-MONO1-10-chest.dcm": (ANSWERED, ""),
    "gdcm-US-ALOKA-16.dcm": ("refused", "no_model_for_modality"),
    "jpeg-ls-Palette.dcm": ("refused", "no_model_for_modality"),
    "liver_1frame.dcm": ("refused", "unsupported"),
    "meta_missing_tsyntax.dcm": ("quarantined", "no_sop_instance_uid"),
    "multiframe.dcm": ("refused", "other_kind"),
    "nested_priv_SQ.dcm": ("quarantined", "no_sop_instance_uid"),
    "no-pixel-spacing.dcm": ("refused", "no_model_for_modality"),
    "no_meta.dcm": ("quarantined", "not_an_image"),
    "priv_SQ.dcm": ("refused", "not_an_image"),
    "rtdose_1frame.dcm": ("quarantined", "uid_conflict"),
    "rtplan_truncated.dcm": ("refused", "not_an_image"),
    "test-SR.dcm": ("refused", "not_an_image"),
    "waveform_ecg.dcm": ("refused", "not_an_image"),
    "will-jxl.dcm": ("refused", "unsupported_transfer_syntax"),
}


@pytest.fixture(scope="module")
def ended(waypost_data: Path, tmp_path_factory) -> dict[str, tuple[str, str, str]]:
    """Admit and read all; file name to state, first reason's code and its sentence."""
    folder = waypost_data / "dicom_dialects" / "files"
    data, config = tmp_path_factory.mktemp("dialects"), Config()
    store, files = open_store(data)
    found = {}
    with build_decoder(config) as decoder, build_decoder(config) as comparer:
        admitter = build_admitter(config, data, (store, files), comparer)
        read = build_pipeline(config, decoder, load_models(config, data)).read
        worker = Worker(
            store, files, read, routes=[], owner="worker-1", clock=time.time, detail="{}"
        )
        for path in sorted(folder.iterdir()):
            admission = admitter.admit(Arrival(path.read_bytes(), Source.SHELL, path.name))
            while worker.run_once():
                pass
            found[path.name] = _outcome(store, admission.instance_id)
    store.close()
    return found


def _outcome(store, instance_id) -> tuple[str, str, str]:
    with store.read() as db:
        instance = instances.by_id(db, instance_id)
        reading = readings.latest(db, instance_id)
    reasons = [instance.quarantine] if instance.quarantine else list(reading.reading.reasons)
    first = reasons[0] if reasons else None
    return str(instance.state), first.code if first else "", first.text if first else ""


def test_the_table_names_every_file(ended):
    assert set(ended) == set(OUTCOMES)
    assert len(OUTCOMES) == 65


@pytest.mark.parametrize("name", sorted(OUTCOMES))
def test_each_ends_as_the_table_says_with_a_sentence(ended, name):
    state, code, text = ended[name]
    wanted, wanted_code = OUTCOMES[name]
    if wanted == ANSWERED:
        assert state in {"read", "abstained"}
        return
    assert (state, code) == (wanted, wanted_code)
    assert text.endswith(".")
    assert len(text) > 30
