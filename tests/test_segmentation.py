"""A model that outlines, from the manifest to the pictures and the JSON line."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from appliance.domain import DecodedImage, Header, ModelRef, ReadingState, Urgency
from appliance.errors import InferenceError
from appliance.inference.predict import Prediction
from appliance.manifest import OutputSpec, Task
from appliance.pipeline import Pipeline, Reader
from appliance.report.compose import json_line
from appliance.report.overlay import mask_png, outline_png
from appliance.scope import Policy, choose_model
from appliance.terminal import reading_table
from appliance.wiring.reading import write_overlay
from tests.models import FixedPredictor, manifest
from tests.test_measure import TWO_LUNGS, places

ROWS, COLUMNS = 420, 380
HEADER = Header(
    sop_instance_uid="1.2.3",
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    modality="DX",
    body_part_examined="CHEST",
    view_position="PA",
    patient_age_years=30.0,
)
FILM = DecodedImage(
    pixels=np.clip(
        np.linspace(30, 225, COLUMNS) + np.random.default_rng(0).normal(0, 12, (ROWS, COLUMNS)),
        0,
        255,
    ).astype(np.uint8),
    header=HEADER,
    notes=(),
)
LUNGS = replace(
    manifest(),
    id="cxr-lungs",
    task=Task.SEGMENTATION,
    outputs=(OutputSpec("lungs", "Lung fields"),),
    calibration=(),
    operating_points=(),
    abstention=(),
)
KINDS = replace(LUNGS, id="gate", task=Task.KIND)


class DrawingPredictor:
    """Answers every image with the same map."""

    ref = ModelRef("cxr-lungs", "1.0.0", "cd" * 32, "fixed")

    def __init__(self, grid: np.ndarray) -> None:
        self._grid = grid

    def predict(self, batch: np.ndarray) -> Prediction:
        assert batch.dtype == np.float32
        return Prediction(np.array([self._grid.mean()], np.float32), self._grid[np.newaxis])


def pipeline(grid: np.ndarray = TWO_LUNGS) -> Pipeline:
    readers = [
        Reader(LUNGS, DrawingPredictor(grid)),
        Reader(manifest(), FixedPredictor(0.0)),
    ]
    return Pipeline(lambda _content: FILM, readers, Policy())


def test_a_film_is_outlined_and_measured_without_a_finding():
    reading, _ = pipeline().read(b"film", model_id="cxr-lungs")
    line = json_line("film", "1.2.3", reading)
    assert line["state"] == "read"
    assert line["findings"] == []
    assert line["measurements"] == [
        {
            "code": "lung_field_fraction",
            "label": "Lung fields' share of the image",
            "value": pytest.approx(0.27, abs=0.02),
            "unit": "1",
        }
    ]
    assert reading.outlines[0].mask.shape == (ROWS, COLUMNS)
    assert reading.urgency is Urgency.WAITING  # nobody has looked for a disease


@pytest.mark.parametrize("grid", [places(), places((0, 96, 0, 96))], ids=["nothing", "everything"])
def test_an_outline_without_sense_abstains_and_no_number_leaves(grid):
    reading, _ = pipeline(grid).read(b"film", model_id="cxr-lungs")
    line = json_line("film", "1.2.3", reading)
    assert line["state"] == "abstained"
    assert line["measurements"] == line["findings"] == []
    assert reading.outlines == ()
    assert line["reasons"][0]["code"] == "no_outline"
    assert line["reasons"][0]["text"].startswith("The lung fields could not be outlined")


def test_nobody_asked_so_the_classifier_reads():
    reading, _ = pipeline().read(b"film")
    assert reading.model is not None
    assert reading.model.id == "cxr-pneumonia"


def test_a_film_is_not_read_by_an_outline_alone_unasked():
    with pytest.raises(InferenceError):
        choose_model(HEADER, [LUNGS], policy=Policy())
    assert choose_model(HEADER, [LUNGS], requested="cxr-lungs", policy=Policy()).index == 0


def test_an_ultrasound_outline_may_be_the_reading():
    use = replace(LUNGS.intended_use, modalities=("US",))
    scan = replace(HEADER, modality="US")
    model = replace(LUNGS, intended_use=use)
    assert choose_model(scan, [model], policy=Policy()).index == 0


def test_a_model_of_kinds_reads_nothing():
    for requested in (None, "gate"):
        with pytest.raises(InferenceError):
            choose_model(HEADER, [KINDS], requested=requested, policy=Policy())


def test_the_pictures_of_an_outline(tmp_path):
    reading, image = pipeline().read(b"film", model_id="cxr-lungs")
    assert image is not None
    write_overlay(tmp_path, tmp_path / "film.dcm", reading, image)
    mask = cv2.imread(str(tmp_path / "film.lungs.mask.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (ROWS, COLUMNS)
    assert np.array_equal(mask, reading.outlines[0].mask)
    overlay = cv2.imread(str(tmp_path / "film.overlay.png"))
    assert overlay.shape == (ROWS, COLUMNS, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "film.lungs.mask.png",
        "film.overlay.png",
    ]


def test_an_abstained_outline_shows_nothing(tmp_path):
    reading, image = pipeline(places()).read(b"film", model_id="cxr-lungs")
    assert image is not None
    write_overlay(tmp_path, tmp_path / "film.dcm", reading, image)
    assert list(tmp_path.iterdir()) == []


def test_an_outline_is_drawn_on_its_edge_and_nowhere_else():
    reading, _ = pipeline().read(b"film", model_id="cxr-lungs")
    drawn = cv2.imdecode(
        np.frombuffer(outline_png(FILM.pixels, reading.outlines), np.uint8), cv2.IMREAD_COLOR
    )
    changed = (drawn != FILM.pixels[..., np.newaxis]).any(axis=2)
    edge = cv2.morphologyEx(reading.outlines[0].mask, cv2.MORPH_GRADIENT, np.ones((9, 9), np.uint8))
    assert changed.any()
    assert not (changed & (edge == 0)).any()
    mask = cv2.imdecode(
        np.frombuffer(mask_png(reading.outlines[0]), np.uint8), cv2.IMREAD_UNCHANGED
    )
    assert np.array_equal(mask, reading.outlines[0].mask)


def test_the_table_says_the_share():
    reading, _ = pipeline().read(b"film", model_id="cxr-lungs")
    table = reading_table([("film.dcm", reading)])
    assert "Lung fields' share of the image: 27%" in list(table.columns[2].cells)


def test_an_unfit_film_is_refused_before_it_is_outlined():
    blank = replace(FILM, pixels=np.full((ROWS, COLUMNS), 9, np.uint8))
    readers = [Reader(LUNGS, DrawingPredictor(TWO_LUNGS))]
    reading, _ = Pipeline(lambda _content: blank, readers, Policy()).read(
        b"film", model_id="cxr-lungs"
    )
    assert reading.state is ReadingState.REFUSED
    assert reading.outlines == ()
