"""The shipped gate: what its manifest says holds here; no reading depends on it yet."""

from __future__ import annotations

import csv

import cv2
import numpy as np
import pytest

from appliance.inference.predict import check_golden, load_predictor
from appliance.manifest import Task
from appliance.preprocess import prepare
from tests.models import manifest


def chest_shares(images: list[np.ndarray]) -> np.ndarray:
    """Share of the kind "frontal chest film" (n,)."""
    gate = manifest("gate")
    predictor = load_predictor(gate, threads=1)
    kinds = [i for i, output in enumerate(gate.outputs) if output.group == "kind"]
    logits = np.stack([predictor.predict(prepare(image, gate.input)).logits for image in images])
    powers = np.exp(logits[:, kinds] - logits[:, kinds].max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True))[:, 0]


def test_the_package_says_what_it_is_and_is_small():
    gate = manifest("gate")
    assert gate.task is Task.KIND
    assert gate.outputs[0].code == "frontal_chest"
    assert [o.group for o in gate.outputs] == (
        ["kind"] * 5 + ["orientation"] * 4 + ["polarity"] * 2
    )
    for name in ("model.cpu.onnx", "model.trt.onnx"):
        assert gate.path(name).stat().st_size < 3_000_000
    assert check_golden(load_predictor(gate, threads=1), gate).ok


@pytest.mark.timeout(120)
def test_other_pictures_stay_out_and_films_pass_as_the_manifest_says(waypost_data):
    gate = manifest("gate")
    threshold = gate.operating_points[0].threshold
    for name in ("qc_not_chest", "cxr_nih_adult"):
        result = next(r for r in gate.results if (r.data_set, r.split) == (name, "test"))
        with (waypost_data / name / "labels.csv").open(newline="") as stream:
            rows = [
                row
                for row in csv.DictReader(stream)
                if row["split"] == "test" and not row.get("qc_flag")
            ]
        images = [
            cv2.imread(str(waypost_data / name / row["file"]), cv2.IMREAD_GRAYSCALE) for row in rows
        ]
        passed = float((chest_shares(images) >= threshold).mean())
        if result.sensitivity is None:
            assert passed == pytest.approx(1 - result.specificity.value, abs=0.02)
        else:
            assert passed == pytest.approx(result.sensitivity.value, abs=0.02)
