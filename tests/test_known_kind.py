"""What the gate sees decides with the header which model reads an image, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from appliance import health
from appliance.domain import DecodedImage, Header, Kind, ModelRef, ReadingState, Urgency
from appliance.errors import UnsupportedError
from appliance.inference.predict import Prediction
from appliance.pipeline import Pipeline, Reader
from appliance.scope import Policy, choose_model, kind_of, kinds_read
from tests.models import FixedPredictor, manifest

GATE = manifest("gate")
FILM = manifest()
POINT = GATE.operating_points[0].threshold
CHEST = Header(
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    modality="DX",
    body_part_examined="CHEST",
    view_position="PA",
    patient_age_years=40.0,
)
BREAST = replace(
    FILM,
    id="us-breast-lesion",
    intended_use=replace(FILM.intended_use, modalities=("US",), body_parts=("BREAST",)),
)


def choose(header: Header = CHEST, kind: Kind | None = None, models=(FILM,), **more):
    return choose_model(header, models, policy=Policy(), kind=kind, **more)


def seen(code: str, share: float = 0.99, *, sure: bool = True) -> Kind:
    return Kind(code, share, sure)


def shares(**given: float) -> dict[str, float]:
    codes = [output.code for output in GATE.outputs if output.group == "kind"]
    rest = (1 - sum(given.values())) / (len(codes) - len(given))
    return {code: given.get(code, rest) for code in codes}


def test_the_kind_is_what_holds_half_of_the_answer():
    assert kind_of(shares(frontal_chest=0.99), GATE) == Kind("frontal_chest", 0.99, sure=True)
    doubtful = kind_of(shares(frontal_chest=POINT - 0.01), GATE)
    assert (doubtful.code, doubtful.sure) == ("frontal_chest", False)
    assert kind_of(shares(breast_ultrasound=0.6), GATE).sure
    assert kind_of(shares(frontal_chest=0.4), GATE).code == "other"


def test_a_models_kinds_follow_from_what_it_is_made_for():
    assert kinds_read(FILM.intended_use) == {"frontal_chest"}
    assert kinds_read(BREAST.intended_use) == {"breast_ultrasound"}
    nothing = replace(FILM.intended_use, body_parts=("HAND",))
    assert kinds_read(nothing) == frozenset()
    assert choose(CHEST, seen("frontal_chest")).doubt is None


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("other", "This does not look like a frontal chest film."),
        ("breast_ultrasound", "This looks like a breast ultrasound image, not like a frontal"),
        ("lung_ultrasound", "lung ultrasound"),
    ],
)
@pytest.mark.parametrize("requested", [None, "cxr-pneumonia"])
def test_another_kind_is_refused_whatever_the_header_says(code, words, requested):
    with pytest.raises(UnsupportedError, match=words) as refused:
        choose(CHEST, seen(code), requested=requested)
    assert refused.value.code == "other_kind"
    assert "send it again" in refused.value.text


def test_films_are_refused_by_an_ultrasound_model():
    header = replace(CHEST, modality="US", body_part_examined="BREAST", view_position=None)
    assert choose(header, seen("breast_ultrasound"), (BREAST,)).index == 0
    with pytest.raises(UnsupportedError, match="not like a breast ultrasound"):
        choose(header, seen("frontal_chest"), (BREAST,))


@pytest.mark.parametrize("header", [Header(), replace(CHEST, modality="OT", body_part_examined="")])
def test_the_kind_chooses_the_model_where_the_header_is_silent(header):
    models = (FILM, BREAST)
    assert choose(header, seen("frontal_chest"), models).index == 0
    assert choose(header, seen("breast_ultrasound"), models).index == 1
    assert choose(header, seen("frontal_chest"), (BREAST, FILM)).index == 1


def test_what_the_image_told_is_said():
    silent = replace(CHEST, modality="SC", body_part_examined=None)
    codes = [note.code for note in choose(silent, seen("frontal_chest")).notes]
    assert codes == ["kind_told_by_image"]
    with pytest.raises(UnsupportedError) as refused:
        choose(silent)
    assert refused.value.code == "unknown_kind"


def test_the_rules_of_the_header_hold_beside_the_kind():
    for changes, code in (
        ({"view_position": "LL"}, "lateral_view"),
        ({"patient_age_years": 0.1}, "age_out_of_range"),
        ({"body_part_examined": "HAND"}, "other_body_part"),
    ):
        with pytest.raises(UnsupportedError) as refused:
            choose(replace(CHEST, **changes), seen("frontal_chest"))
        assert refused.value.code == code


class Gate:
    """Gives every image the same share of being a chest film, upright and bright."""

    ref = ModelRef("gate", "1.0.0", "ef" * 32, "fixed")

    def __init__(self, share: float) -> None:
        logits = {"frontal_chest": float(np.log(share / (1 - share)) + np.log(4))}
        logits |= {"upright": 9.0, "bone_bright": 9.0}
        codes = [output.code for output in GATE.outputs]
        self._logits = np.array([logits.get(code, 0.0) for code in codes], np.float32)
        self.asked = 0

    def predict(self, batch: np.ndarray) -> Prediction:
        self.asked += 1
        return Prediction(self._logits, np.zeros((len(self._logits), 8, 8), np.float32))


def read(share: float, header: Header = CHEST):
    rng = np.random.default_rng(0)
    image = DecodedImage(rng.integers(0, 255, (512, 512), np.uint8), header)
    gate = Gate(share)
    readers = [Reader(FILM, FixedPredictor(5.0)), Reader(GATE, gate)]
    reading, _ = Pipeline(lambda _content: image, readers, Policy()).read(b"film")
    assert gate.asked == 1
    return reading


def test_the_gate_is_asked_once_and_a_film_is_read():
    assert read(0.99).state is ReadingState.READ


def test_a_picture_of_something_else_is_refused_with_what_to_do():
    reading = read(0.2)
    assert (reading.state, reading.urgency) == (ReadingState.REFUSED, Urgency.WAITING)
    assert reading.reasons[0].code == "other_kind"
    assert reading.research == {}


def test_a_doubtful_film_is_for_a_person_and_carries_no_number():
    reading = read((0.5 + POINT) / 2)
    assert (reading.state, reading.urgency) == (ReadingState.ABSTAINED, Urgency.UNSURE)
    assert reading.reasons[0].code == "kind_doubtful"
    assert (reading.findings, reading.measurements, reading.explanation) == ((), (), None)
    assert set(reading.research) == {"pneumonia"}  # for whoever evaluates, also when abstained


def test_without_a_gate_the_box_reads_and_says_that_kinds_are_not_checked():
    image = DecodedImage(np.random.default_rng(0).integers(0, 255, (512, 512), np.uint8), CHEST)
    pipeline = Pipeline(lambda _content: image, [Reader(FILM, FixedPredictor(5.0))], Policy())
    assert pipeline.read(b"film")[0].state is ReadingState.READ
    check = health.check_kinds(None)
    assert not check.ok
    assert "not checked" in check.text
    assert health.check_kinds("gate").ok
