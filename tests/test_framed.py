"""A model that is shown only the part around the lungs, from its package to the pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.config import Config
from appliance.domain import DecodedImage, Header, ModelRef, ReadingState, Source
from appliance.errors import ConfigError
from appliance.inference.predict import Prediction
from appliance.measure import frame_or_doubt
from appliance.pipeline import Pipeline, Reader
from appliance.preprocess import prepare
from appliance.report.compose import json_line
from appliance.scope import Policy
from appliance.store import instances, jobs, readings
from appliance.store.instances import NewInstance
from appliance.wiring.models import describe_models
from appliance.wiring.reading import LoadedModels, load_models, read_files
from appliance.wiring.settings import Options
from appliance.worker import Worker
from tests.models import copy_package, framed, manifest, write_framed_package
from tests.test_measure import TWO_LUNGS, places
from tests.test_segmentation import LUNGS, DrawingPredictor

ROWS, COLUMNS = 500, 400
HEADER = Header(
    sop_instance_uid="1.2.3",
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    modality="DX",
    body_part_examined="CHEST",
    view_position="PA",
    patient_age_years=30.0,
)
FILM = DecodedImage(
    pixels=np.random.default_rng(0).integers(0, 256, (ROWS, COLUMNS)).astype(np.uint8),
    header=HEADER,
)


class WatchingPredictor:
    """Answers with a fixed logit, and keeps what it was shown."""

    ref = ModelRef("cxr-pneumonia", "1.0.0", "ab" * 32, "fixed")

    def __init__(self) -> None:
        self.shown: list[np.ndarray] = []

    def predict(self, batch: np.ndarray) -> Prediction:
        self.shown.append(batch)
        return Prediction(np.array([6.0], np.float32), np.full((1, 6, 6), 6.0, np.float32))


class CountingPredictor(DrawingPredictor):
    """Draws the same map, and counts how often it is asked."""

    asked = 0

    def predict(self, batch: np.ndarray) -> Prediction:
        self.asked += 1
        return super().predict(batch)


def read(grid: np.ndarray | None, model=None, film: DecodedImage = FILM):
    watching, drawing = WatchingPredictor(), CountingPredictor(TWO_LUNGS if grid is None else grid)
    readers = [Reader(model or framed(), watching), Reader(LUNGS, drawing)]
    reading, _ = Pipeline(lambda _content: film, readers, Policy()).read(b"film")
    return reading, watching, drawing


def test_the_model_is_shown_the_part_around_the_lungs_and_no_more():
    reading, watching, drawing = read(None)
    frame = frame_or_doubt(TWO_LUNGS, ROWS, COLUMNS, "lungs", 0.05)
    cut = FILM.pixels[frame.top : frame.bottom, frame.left : frame.right]
    assert reading.state is ReadingState.READ
    assert np.array_equal(watching.shown[0], prepare(cut, framed().input))
    assert not np.array_equal(watching.shown[0], prepare(FILM.pixels, framed().input))
    assert reading.explanation.frame == frame
    assert reading.reasons == ()
    assert drawing.asked == 1


def test_a_colour_picture_is_framed_like_its_grey():
    colour = replace(FILM, pixels=np.dstack([FILM.pixels] * 3))
    assert np.array_equal(read(None, film=colour)[1].shown[0], read(None)[1].shown[0])


@pytest.mark.parametrize("grid", [places(), places((0, 96, 0, 96))], ids=["nothing", "everything"])
def test_a_doubtful_outline_shows_the_whole_image_and_is_said(grid):
    reading, watching, _ = read(grid)
    assert reading.state is ReadingState.READ
    assert np.array_equal(watching.shown[0], prepare(FILM.pixels, framed().input))
    assert reading.explanation.frame is None
    assert [reason.code for reason in reading.reasons] == ["whole_image", "lungs_not_outlined"]
    assert "could not be outlined" in reading.reasons[0].text


def test_a_model_without_the_rule_is_shown_the_whole_image():
    reading, watching, drawing = read(None, manifest())
    assert drawing.asked == 1  # for the quality check
    assert reading.explanation.frame is None
    assert np.array_equal(watching.shown[0], prepare(FILM.pixels, manifest().input))


def test_a_film_that_is_refused_is_not_outlined():
    blank = replace(FILM, pixels=np.full((ROWS, COLUMNS), 9, np.uint8))
    reading, watching, drawing = read(None, film=blank)
    assert reading.state is ReadingState.REFUSED
    assert drawing.asked == len(watching.shown) == 0


def test_without_the_outliner_the_image_is_a_failed_row_that_says_why():
    pipeline = Pipeline(lambda _content: FILM, [Reader(framed(), WatchingPredictor())], Policy())
    reading, _ = pipeline.read(b"film")
    assert reading.state is ReadingState.FAILED
    assert reading.reasons[0].code == "no_model"
    assert "cxr-lungs" in reading.reasons[0].text


def test_the_outline_is_counted_in_the_same_laps_as_ever():
    assert set(json_line("film", None, read(None)[0])["timings_ms"]) == {
        "decode",
        "quality",
        "preprocess",
        "predict",
        "explain",
        "total",
    }


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that the box takes for its shipped packages: a framed classifier."""
    folder = tmp_path / "packages"
    write_framed_package(folder)
    monkeypatch.setenv("WAYPOST_MODELS", str(folder))
    return folder


def loaded(tmp_path: Path) -> LoadedModels:
    return load_models(Config(), tmp_path / "data")


def test_a_model_without_its_outliner_is_not_offered_and_the_package_to_install_is_named(
    packages, tmp_path
):
    models = loaded(tmp_path)
    assert models.readers == ()
    (check,) = models.checks
    assert not check.ok
    assert check.code == "model_cxr-pneumonia 1.0.0"
    assert "Install the package cxr-lungs" in check.text
    (fact,) = describe_models(tmp_path / "data")
    assert "Install the package cxr-lungs" in fact["state"]
    options = Options(data=tmp_path / "data")
    with pytest.raises(ConfigError, match=r"no model cxr-pneumonia here.*package cxr-lungs"):
        next(read_files(options, [], "cxr-pneumonia"))


def test_an_outliner_that_is_damaged_is_as_good_as_absent(packages, tmp_path):
    package = copy_package("cxr-lungs", packages)
    with (package / "golden.npz").open("ab") as stream:
        stream.write(b" ")
    models = loaded(tmp_path)
    assert models.readers == ()
    assert [check.ok for check in models.checks] == [False, False]


def test_a_framed_package_reads_through_the_worker(packages, tmp_path, store, files, clock):
    copy_package("cxr-lungs", packages)
    models = loaded(tmp_path)
    assert [check.ok for check in models.checks] == [True, True]
    film = replace(FILM, pixels=phantom())
    pipeline = Pipeline(lambda _content: film, models.readers, Policy())
    new = NewInstance(
        header=HEADER,
        media_type="application/dicom",
        sha256=files.put(b"film"),
        size_bytes=4,
        source=Source.DICOM,
        station="ROOM1",
    )
    with store.transaction() as db:
        instance_id = instances.insert(db, new, clock())
    worker = Worker(
        store, files, pipeline.read, routes=[], owner="worker-1", clock=clock, detail="{}"
    )
    assert worker.run_once()
    with store.read() as db:
        kept = readings.latest(db, instance_id)
        assert not jobs.has_due(db, clock())
    assert kept is not None
    assert kept.reading.model.id == "cxr-pneumonia"
    assert kept.reading.state is ReadingState.READ
    assert "whole_image" not in {reason.code for reason in kept.reading.reasons}
    frame = kept.reading.explanation.frame
    assert 0 <= frame.left < frame.right <= film.pixels.shape[1]
    assert frame.width < 0.98 * film.pixels.shape[1] or frame.height < 0.98 * film.pixels.shape[0]
    heat = cv2.imdecode(
        np.frombuffer(files.read(kept.artifacts["heat"]), np.uint8), cv2.IMREAD_UNCHANGED
    )
    assert heat.shape[:2] == film.pixels.shape


def phantom() -> np.ndarray:
    """Return the first drawn chest of the outlining model's golden vectors, larger."""
    with np.load(manifest("cxr-lungs").directory / "golden.npz") as vectors:
        chest = vectors["inputs"][0]
    return cv2.resize(chest, (480, 480), interpolation=cv2.INTER_CUBIC)
