from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from appliance.domain import (
    Channel,
    ChosenPoint,
    DecodedImage,
    Header,
    ReadingState,
    Reason,
    Urgency,
)
from appliance.errors import DecodeError, InferenceError, NotAnImageError
from appliance.pipeline import Pipeline, Reader
from appliance.report.compose import json_line
from appliance.scope import Policy
from tests.models import FixedPredictor, manifest

FILM = DecodedImage(
    pixels=np.tile(np.linspace(0, 255, 400).astype(np.uint8), (400, 1)),
    header=Header(
        sop_instance_uid="1.2.3",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        modality="CR",
        body_part_examined="CHEST",
        view_position="PA",
        patient_age_years=30.0,
    ),
    notes=(Reason("window_clipped", "The window clipped everything."),),
)


def logit_of(probability: float) -> float:
    rule = manifest().calibration[0]
    return (math.log(probability / (1 - probability)) - rule.intercept) / rule.slope


def pipeline(logit: float = 0.0, *, image: DecodedImage = FILM, error=None, fault=None) -> Pipeline:
    def decode(_content: bytes) -> DecodedImage:
        if error is not None:
            raise error
        return image

    return Pipeline(decode, [Reader(manifest(), FixedPredictor(logit, fault))], Policy())


def test_a_positive_film_is_read_found_explained_and_urgent():
    reading, image = pipeline(logit_of(0.97)).read(b"film")
    assert image is FILM
    assert reading.state is ReadingState.READ
    assert reading.findings[0].positive
    assert reading.findings[0].probability == pytest.approx(0.97, abs=1e-3)
    assert reading.urgency is Urgency.URGENT
    assert reading.explanation is not None
    assert [reason.code for reason in reading.reasons] == ["window_clipped"]
    assert reading.timings.total >= reading.timings.predict > 0


def test_a_film_far_below_the_operating_point_is_read_and_routine():
    reading, _ = pipeline(logit_of(0.01)).read(b"film")
    assert reading.state is ReadingState.READ
    assert not reading.findings[0].positive
    assert reading.urgency is Urgency.ROUTINE


def test_between_the_bounds_no_number_leaves(monkeypatch):

    rule = replace(manifest().abstention[0], lower=0.3, upper=0.7)
    unsure = replace(manifest(), abstention=(rule,))
    readers = [Reader(unsure, FixedPredictor(logit_of(0.5)))]
    reading, _ = Pipeline(lambda _content: FILM, readers, Policy()).read(b"film")
    line = json_line("film", "1.2.3", reading)
    assert line["state"] == "abstained"
    assert line["findings"] == line["measurements"] == []
    assert line["reasons"][0]["code"] == "not_sure"
    assert "research" not in line
    assert reading.explanation is None
    assert json_line("film", "1.2.3", reading, research=True)["research"] == {
        "probabilities": {"pneumonia": pytest.approx(0.5, abs=1e-3)}
    }


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (NotAnImageError("No pixels."), ReadingState.REFUSED),
        (DecodeError("Damaged."), ReadingState.FAILED),
    ],
)
def test_what_cannot_be_decoded_is_a_row_with_a_reason(error, state):
    reading, image = pipeline(error=error).read(b"film")
    assert image is None
    assert reading.state is state
    assert reading.reasons[0].text == error.text
    assert reading.findings == ()
    assert reading.research == {}


def test_an_engine_that_fails_is_a_failed_reading():
    reading, image = pipeline(fault=InferenceError("The engine failed.")).read(b"film")
    assert image is FILM
    assert reading.state is ReadingState.FAILED
    assert reading.findings == ()


def test_an_unfit_film_is_refused_with_the_reasons_and_the_values():

    blank = replace(FILM, pixels=np.full((400, 400), 7, np.uint8))
    reading, _ = pipeline(image=blank).read(b"film")
    assert reading.state is ReadingState.REFUSED
    assert reading.reasons[0].code == "no_contrast"
    assert json_line("film", None, reading)["quality"]["fit"] is False


def test_without_a_model_the_box_says_so():
    reading, _ = Pipeline(lambda _content: FILM, [], Policy()).read(b"film")
    assert reading.state is ReadingState.FAILED
    assert reading.reasons[0].code == "no_model"


def test_the_json_line_has_the_promised_keys():
    line = json_line("film", "1.2.3", pipeline(logit_of(0.9)).read(b"film")[0])
    assert list(line) == [
        "source",
        "sop_instance_uid",
        "state",
        "reasons",
        "model",
        "findings",
        "measurements",
        "explanation",
        "quality",
        "timings_ms",
    ]
    assert set(line["model"]) == {"id", "version", "sha256", "backend"}
    assert set(line["findings"][0]) == {
        "code",
        "label",
        "probability",
        "operating_point",
        "positive",
        "coverage",
    }
    assert line["findings"][0]["coverage"] == pytest.approx(0.9)
    assert line["explanation"] == {"finding": "pneumonia", "region": None}
    assert set(line["timings_ms"]) == {
        "decode",
        "quality",
        "preprocess",
        "predict",
        "explain",
        "total",
    }


def chosen(threshold: float, **other) -> ChosenPoint:
    own = manifest()
    point = ChosenPoint(
        model_id=own.id,
        model_version=own.version,
        model_sha256=own.sha256,
        output="pneumonia",
        channel=Channel.DIGITAL,
        threshold=threshold,
        by="Ada",
        chosen_on="2026-11-25",
    )
    return replace(point, **other)


def test_a_point_that_the_site_chose_takes_the_place_of_the_models_own_and_is_named():
    reading, _ = pipeline(logit_of(0.9)).read(b"film", points=[chosen(0.95)])
    (finding,) = reading.findings
    assert not finding.positive
    assert finding.operating_point.threshold == 0.95
    assert finding.operating_point.name == "chosen here on 2026-11-25 by Ada"
    assert reading.urgency is Urgency.ROUTINE
    line = json_line("film.dcm", "1.2.3", reading, research=False)
    assert line["findings"][0]["operating_point"]["name"].startswith("chosen here on")


@pytest.mark.parametrize(
    "other",
    [
        {"model_version": "0.9.0"},
        {"model_sha256": "ab" * 32},
        {"model_id": "cxr-tb"},
        {"channel": Channel.PHOTOGRAPHED},
        {"output": "tuberculosis"},
    ],
)
def test_a_point_of_another_model_version_or_channel_is_never_used(other):
    reading, _ = pipeline(logit_of(0.9)).read(b"film", points=[chosen(0.95, **other)])
    assert reading.findings[0].positive
    assert reading.findings[0].operating_point.name == manifest().operating_points[0].name


def test_a_picture_without_a_header_is_a_photographed_film():
    image = replace(FILM, header=Header(sop_instance_uid="1.2.3"))
    point = chosen(0.95, channel=Channel.PHOTOGRAPHED)
    reading, _ = pipeline(logit_of(0.9), image=image).read(b"film", points=[point])
    assert not reading.findings[0].positive
