"""The shipped cxr-lungs: what its manifest says holds here."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.domain import DecodedImage, Header, ReadingState
from appliance.inference.predict import load_predictor
from appliance.manifest import Task
from appliance.measure import outline
from appliance.pipeline import Pipeline, Reader
from appliance.preprocess import prepare
from appliance.scope import Policy
from quantize.segment_data import load_films, read_outlined
from tests.models import manifest


def test_the_shipped_package_is_a_small_segmentation_model():
    shipped = manifest("cxr-lungs")
    assert shipped.task is Task.SEGMENTATION
    assert [output.code for output in shipped.outputs] == ["lungs"]
    for name in ("model.cpu.onnx", "model.trt.onnx"):
        assert shipped.path(name).stat().st_size < 3_000_000
    for result in shipped.results:
        assert result.dice is not None
        assert result.dice_difference is not None
        assert result.dice_difference.value > -0.005


def test_a_blank_film_is_refused_although_the_network_would_draw_lungs_on_it():
    shipped = manifest("cxr-lungs")
    reader = Reader(shipped, load_predictor(shipped, threads=1))
    blank = DecodedImage(np.full((300, 300), 120, np.uint8), Header(), ())
    reading, _ = Pipeline(lambda _content: blank, [reader], Policy()).read(
        b"film", model_id="cxr-lungs"
    )
    assert reading.state is ReadingState.REFUSED
    assert reading.outlines == reading.measurements == ()


@pytest.mark.timeout(120)
def test_the_shipped_graph_keeps_its_dice_on_the_test_masks(waypost_data):
    shipped = manifest("cxr-lungs")
    predictor = load_predictor(shipped, threads=1)
    for result in shipped.results:
        if result.split != "test":
            continue
        samples = read_outlined(waypost_data, result.data_set, "lungmask")
        films = load_films(waypost_data, [s for s in samples if s.split == "test"])
        dices = []
        for image, truth in zip(films.images, films.masks, strict=True):
            cam = predictor.predict(prepare(image, shipped.input)).cam
            drawn = outline(cam[0], *image.shape, "lungs", "Lung fields").mask > 0
            lung = truth > 0
            dices.append(2 * int((drawn & lung).sum()) / int(drawn.sum() + lung.sum()))
        assert len(dices) == result.n_positive
        assert float(np.mean(dices)) == pytest.approx(result.dice.value, abs=0.002)
