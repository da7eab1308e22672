"""What refuses a model, a data set, a film: numpy only."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from quantize import gates
from quantize.data import DataError, Sample, SiteSpec, read_site
from quantize.gates import Gate, GateError, require
from quantize.leaks import check_leaks, fingerprints, twins
from quantize.metrics import auprc, brier, chance_calibration_error, roc
from quantize.phantoms import phantoms

NOT_A_NUMBER = float("nan")


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (gates.auroc_loss(0.005, pruned=False), gates.auroc_loss(0.0051, pruned=False)),
        (gates.auroc_loss(0.0099, pruned=True), gates.auroc_loss(0.011, pruned=True)),
        (gates.auroc_loss(-0.1, pruned=False), gates.auroc_loss(NOT_A_NUMBER, pruned=False)),
        (gates.flips(10, 1000), gates.flips(11, 1000)),
        (gates.flips(0, 5), gates.flips(0, 0)),
        (gates.tensorrt_flips(1, 100), gates.tensorrt_flips(2, 100)),
        (gates.probability_change(0.02), gates.probability_change(NOT_A_NUMBER)),
        (gates.map_agreement(0.98), gates.map_agreement(0.97)),
        (gates.map_identity(1e-6), gates.map_identity(1e-4)),
        (gates.map_cost(0.05), gates.map_cost(0.06)),
        (gates.map_randomized("x", 0.29), gates.map_randomized("x", -0.3)),
        (gates.planted_lesions(85, 100, 0.2), gates.planted_lesions(84, 100, 0.2)),
        (gates.planted_lesions(1, 1, 0.2), gates.planted_lesions(0, 0, 0.2)),
        (gates.calibration(0.05, 0.01), gates.calibration(0.051, 0.01)),
        (gates.calibration(0.049, 0.071), gates.calibration(0.07, 0.071)),
        (gates.distinct_scores(95, 100), gates.distinct_scores(94, 100)),
        (gates.parity("a and b", 0.1, 0.1), gates.parity("a and b", 0.2, 0.1)),
        (gates.shortcut_in_data("s", "k", 0.96), gates.shortcut_in_data("s", "k", 0.97)),
        (
            gates.shortcut_margin("s", "k", 0.85, 0.88),
            gates.shortcut_margin("s", "k", 0.85, 0.87),
        ),
        (gates.tensorrt_contract([]), gates.tensorrt_contract(["a node"])),
    ],
)
def test_a_gate_passes_and_refuses(good: Gate, bad: Gate) -> None:
    assert good.passed
    assert not bad.passed
    assert good.name == bad.name or "parity" not in good.name
    assert good.sentence


def test_one_refusal_refuses_and_says_why() -> None:
    require([gates.flips(0, 10)])
    with pytest.raises(GateError, match="1 of 2 gates refuse this model:\n- calibration: the exp"):
        require([gates.flips(0, 10), gates.calibration(0.2, 0.0)])


def test_a_leaked_film_is_found_and_named(tmp_path: Path) -> None:
    films = list(phantoms(96, 6, 3))
    (tmp_path / "site").mkdir()
    samples = []
    for number, film in enumerate([*films, films[1]]):
        split = "train" if number < 4 else "test"
        name = f"{number}.jpg"
        quality = 40 if number == 6 else 95  # the copy was stored again
        cv2.imwrite(str(tmp_path / "site" / name), film, [cv2.IMWRITE_JPEG_QUALITY, quality])
        samples.append(Sample("site", name, number % 2 == 0, split, f"p{number}"))
    with pytest.raises(
        DataError, match=r"1 pair of films .* site/1\.jpg \(train\) and site/6\.jpg"
    ):
        check_leaks(tmp_path, samples)
    check_leaks(tmp_path, samples[:6])


def test_a_copy_within_a_split_is_no_leak() -> None:
    film = phantoms(96, 1, 4)[0]
    prints = fingerprints([film, film])
    assert not twins(prints, ["train", "train"])
    (twin,) = twins(prints, ["train", "test"])
    assert (twin.first, twin.second, twin.bits) == (0, 1, 0)


def test_films_of_one_grey_do_not_stumble() -> None:
    assert not twins(fingerprints([np.zeros((40, 40), np.uint8)] * 2), ["train", "test"])


def test_unknown_patients_must_be_said(data: Path) -> None:
    table = data / "site_a" / "labels.csv"
    text = table.read_text().replace(",p0,", ",,")
    table.write_text(text)
    with pytest.raises(DataError, match="has no patient"):
        read_site(data, SiteSpec("site_a", ("spot",), ("none",)))
    assert read_site(data, SiteSpec("site_a", ("spot",), ("none",), patients_unknown=True))


def test_precision_and_recall() -> None:
    truth = np.array([True, False, True, False, False])
    scores = np.array([0.9, 0.8, 0.7, 0.2, 0.1])
    assert auprc(truth, scores) == pytest.approx((1 + 2 / 3) / 2)
    assert auprc(truth, np.zeros(5)) == pytest.approx(0.4)  # ties: the share of positives
    assert brier(truth, truth.astype(float)) == 0
    x, y = roc(truth, scores)
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(y, x) == pytest.approx(5 / 6)


def test_chance_alone_makes_a_calibration_error() -> None:
    rng = np.random.default_rng(0)
    few, many = rng.random(60), rng.random(6000)
    assert chance_calibration_error(few, np.ones(60), 200) > 0.1
    assert chance_calibration_error(many, np.ones(6000), 50) < 0.03
