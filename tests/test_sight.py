"""The gate and the outline are asked once; the models see the film upright, people as it came."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import numpy as np
import pytest

from appliance.domain import DecodedImage, Frame, ModelRef, ReadAnyway, ReadingState
from appliance.errors import InferenceError
from appliance.inference.predict import Prediction, shares_of
from appliance.measure import frame_or_doubt
from appliance.pipeline import Pipeline, Reader
from appliance.preprocess import prepare
from appliance.scope import Policy
from appliance.sight import Eyes
from tests.models import FixedPredictor, framed, manifest
from tests.quality.drawn import chest
from tests.test_framed import HEADER, CountingPredictor, WatchingPredictor
from tests.test_measure import TWO_LUNGS
from tests.test_segmentation import LUNGS

GATE = manifest("gate")
SIDES = ("upright", "turned_left", "upside_down", "turned_right")
FILM = DecodedImage(pixels=chest(400), header=HEADER)
ASKED = ReadAnyway(
    "Nurse A", "The patient has left.", datetime(2026, 3, 1, 9, 5, tzinfo=timezone.utc)
)


class Gate:
    """Tells the same of every image, and counts how often it is asked."""

    ref = ModelRef("gate", "1.0.0", "ef" * 32, "fixed")

    def __init__(self, *told: str) -> None:
        codes = [output.code for output in GATE.outputs]
        self._logits = np.array([6.0 if code in told else -2.0 for code in codes], np.float32)
        self.asked = 0

    def predict(self, batch: np.ndarray) -> Prediction:
        self.asked += 1
        return Prediction(self._logits, np.zeros((len(self._logits), 1, 1), np.float32))


def read(gate: Gate, film: DecodedImage = FILM, anyway: ReadAnyway | None = None):
    watching, drawing = WatchingPredictor(), CountingPredictor(TWO_LUNGS)
    readers = [Reader(framed(), watching), Reader(LUNGS, drawing), Reader(GATE, gate)]
    reading, _ = Pipeline(lambda _content: film, readers, Policy()).read(b"film", anyway=anyway)
    return reading, watching, drawing


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_film_that_lies_wrong_is_read_upright_and_shown_as_it_came(turns, inverted):
    pixels = np.rot90(255 - FILM.pixels if inverted else FILM.pixels, turns).copy()
    gate = Gate("frontal_chest", SIDES[turns], "inverted" if inverted else "bone_bright")
    reading, watching, drawing = read(gate, replace(FILM, pixels=pixels))
    straight = frame_or_doubt(TWO_LUNGS, 400, 400, "lungs", 0.05)
    assert isinstance(straight, Frame)
    cut = FILM.pixels[straight.top : straight.bottom, straight.left : straight.right]
    assert reading.state is ReadingState.READ
    assert np.array_equal(watching.shown[0], prepare(cut, framed().input))
    assert gate.asked == drawing.asked == 1

    frame = reading.explanation.frame
    marked = np.zeros((400, 400), np.uint8)
    marked[straight.top : straight.bottom, straight.left : straight.right] = 1
    stored = np.rot90(marked, turns)[frame.top : frame.bottom, frame.left : frame.right]
    assert stored.all()
    assert stored.sum() == marked.sum()

    said = [reason.code for reason in reading.reasons]
    side = {0: [], 2: ["upside_down"]}.get(turns, ["on_its_side"])
    assert said[: len(side) + inverted] == ["inverted"] * inverted + side


def test_what_is_no_chest_film_is_not_turned():
    gate = Gate("other", "upside_down", "inverted")
    reading, _, _ = read(gate)
    assert not {"upside_down", "inverted"} & {reason.code for reason in reading.reasons}


def test_a_stopped_film_is_not_read_and_read_when_a_person_asks():
    flat = replace(FILM, pixels=(128 + (FILM.pixels.astype(float) - 128) * 0.2).astype(np.uint8))
    gate = Gate("frontal_chest", "upright", "bone_bright")
    reading, watching, _ = read(gate, flat)
    assert reading.state is ReadingState.REFUSED
    assert reading.reasons[0].code == "low_contrast"
    assert reading.findings == ()
    assert reading.stopped_for_quality
    assert watching.shown == []

    reading, watching, _ = read(gate, flat, ASKED)
    assert reading.state is ReadingState.READ
    assert reading.reasons[0].code == "read_anyway"
    assert reading.reasons[0].text == (
        "Read anyway, asked for by Nurse A, 2026-03-01 09:05 UTC: The patient has left."
    )
    assert reading.reasons[1].code == "low_contrast"
    assert not reading.quality.fit
    assert not reading.stopped_for_quality


def test_asking_for_it_does_not_lift_the_rules_of_intended_use():
    lateral = replace(FILM, header=replace(HEADER, view_position="LL"))
    reading, _, _ = read(Gate("frontal_chest", "upright", "bone_bright"), lateral, ASKED)
    assert reading.state is ReadingState.REFUSED
    assert reading.reasons[0].code == "lateral_view"


def test_an_ultrasound_image_is_not_looked_at_as_a_film():
    gate = Gate("breast_ultrasound", "upside_down", "inverted")
    eyes = Eyes([Reader(GATE, gate), Reader(LUNGS, CountingPredictor(TWO_LUNGS))])
    use = replace(manifest().intended_use, modalities=("US",))
    grey = np.zeros((40, 50), np.uint8)
    seen = eyes.look(grey, Reader(replace(manifest(), intended_use=use), FixedPredictor(0.0)))
    assert seen.grey is grey
    assert seen.kinds is None
    assert seen.film is None
    assert gate.asked == 0


def test_the_gates_answer_is_a_share_of_each_group():
    gate = Gate("frontal_chest", "turned_left", "bone_bright")
    seen = Eyes([Reader(GATE, gate)]).look(FILM.pixels, Reader(manifest(), FixedPredictor(0.0)))
    assert seen.stance.turns == 1
    assert set(seen.kinds) == {"kind", "orientation", "polarity"}
    assert all(sum(shares.values()) == pytest.approx(1) for shares in seen.kinds.values())
    assert seen.kinds["kind"]["frontal_chest"] > 0.99
    assert seen.film is None
    assert shares_of(Prediction(np.zeros(1, np.float32), np.zeros((1, 1, 1))), manifest()) == {}


def test_a_gate_that_fails_is_a_failed_row():
    failing = FixedPredictor(0.0, InferenceError("The engine failed."))
    readers = [Reader(manifest(), WatchingPredictor()), Reader(GATE, failing)]
    reading, _ = Pipeline(lambda _content: FILM, readers, Policy()).read(b"film")
    assert reading.state is ReadingState.FAILED
