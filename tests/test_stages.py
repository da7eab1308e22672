"""The pure stages: quality, scope, triage, explanation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from appliance.domain import Header, ReadingState, Urgency
from appliance.errors import InferenceError, UnsupportedError
from appliance.explain import explain
from appliance.quality import Bounds, check_quality, to_grey
from appliance.scope import Policy, choose_model
from appliance.triage import urgency_of
from tests.models import manifest
from tests.records import read

# --- quality ---


def gradient(rows: int = 300, columns: int = 300) -> np.ndarray:
    return np.tile(np.linspace(0, 255, columns).astype(np.uint8), (rows, 1))


def codes(quality) -> list[str]:
    return [reason.code for reason in quality.reasons]


def test_a_plain_film_is_fit():
    quality = check_quality(gradient(), Bounds())
    assert quality.fit
    assert quality.values["contrast"] > 200


@pytest.mark.parametrize(
    ("pixels", "code"),
    [
        (gradient(100, 300), "too_few_pixels"),
        (gradient(300, 900), "odd_shape"),
        (np.full((300, 300), 90, np.uint8), "no_contrast"),
        (np.stack([gradient(), gradient().T, 255 - gradient()], axis=2), "colour_picture"),
    ],
)
def test_each_defect_has_its_word_and_its_advice(pixels, code):
    quality = check_quality(pixels, Bounds())
    assert not quality.fit
    assert code in codes(quality)
    assert all(reason.text.endswith(".") for reason in quality.reasons)


def test_a_tinted_film_is_no_colour_picture():
    tinted = np.stack([gradient(), gradient(), np.clip(gradient() * 0.9, 0, 255)], axis=2)
    assert check_quality(tinted.astype(np.uint8), Bounds()).fit


@given(
    pixels=hnp.arrays(
        np.uint8,
        st.one_of(
            st.tuples(st.integers(1, 40), st.integers(1, 40)),
            st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3)),
        ),
    )
)
def test_any_pixels_are_measured(pixels):
    values = check_quality(pixels, Bounds()).values
    assert all(np.isfinite(value) for value in values.values())
    assert to_grey(pixels).shape == pixels.shape[:2]


# --- scope ---

CHEST = Header(
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    modality="CR",
    body_part_examined="CHEST",
    view_position="PA",
    patient_age_years=40.0,
)


def with_(**changes) -> Header:

    return replace(CHEST, **changes)


def choose(header: Header, *, requested: str | None = None, refuse: bool = False):
    return choose_model(
        header, [manifest()], requested=requested, policy=Policy(refuse_unknown_age=refuse)
    )


def test_a_frontal_chest_film_is_read_without_a_word():
    assert choose(CHEST).notes == ()


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"body_part_examined": None}, "body_part_unknown"),
        ({"view_position": None}, "view_unknown"),
        ({"view_position": "OBLIQUE"}, "view_unknown"),
        ({"patient_age_years": None}, "age_unknown"),
        ({"body_part_examined": "CHEST AP PORTABLE"}, None),
        ({"modality": "DX", "body_part_examined": "THORAX"}, None),
    ],
)
def test_what_is_unknown_is_said(changes, note):
    assert [reason.code for reason in choose(with_(**changes)).notes] == ([note] if note else [])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"modality": "US"}, "no_model_for_modality"),
        ({"modality": "CT"}, "no_model_for_modality"),
        ({"body_part_examined": "EXTREMITY"}, "other_body_part"),
        ({"view_position": "LL"}, "lateral_view"),
        ({"patient_age_years": 0.1}, "age_out_of_range"),
        ({"modality": "OT", "body_part_examined": None}, "unknown_kind"),
    ],
)
def test_what_the_model_is_not_made_for_is_refused(changes, code):
    with pytest.raises(UnsupportedError) as refused:
        choose(with_(**changes))
    assert refused.value.code == code


def test_a_picture_without_a_header_is_read_and_that_is_said():
    assert [reason.code for reason in choose(Header()).notes] == ["no_header"]


def test_a_site_may_refuse_an_unknown_age():
    for header in (with_(patient_age_years=None), Header()):
        with pytest.raises(UnsupportedError) as refused:
            choose(header, refuse=True)
        assert refused.value.code == "age_unknown"


def test_asking_for_a_model_does_not_lift_its_rules():
    with pytest.raises(UnsupportedError):
        choose(with_(modality="US"), requested=manifest().id)
    with pytest.raises(InferenceError):
        choose(CHEST, requested="another")


# --- triage ---


def test_a_positive_finding_is_urgent_and_what_nobody_read_comes_next():
    assert urgency_of(ReadingState.READ, read(0.9).findings) is Urgency.URGENT
    assert urgency_of(ReadingState.READ, read(0.1).findings) is Urgency.ROUTINE
    assert urgency_of(ReadingState.ABSTAINED) is Urgency.UNSURE
    assert urgency_of(ReadingState.REFUSED) is urgency_of(ReadingState.FAILED) is Urgency.WAITING


# --- explanation ---


def test_little_evidence_stays_faint():
    cam = np.array([[1.0, -3.0], [12.0, 40.0]], np.float32)
    heat = explain(cam, "pneumonia", 12.0).heat
    assert heat.dtype == np.uint8
    assert heat.tolist() == [[21, 0], [255, 255]]
