"""Figures, decisions and data tables: numpy only."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from quantize.data import DataError, Sample, SiteSpec, read_site, split_sha256
from quantize.decide import Platt, abstention_band, fit_platt, threshold_for
from quantize.metrics import (
    auroc,
    auroc_difference,
    auroc_interval,
    calibration_error,
    even_weights,
    share,
    weighted_quantile,
)
from quantize.phantoms import phantoms

SPEC = SiteSpec("site_a", ("spot",), ("none",))


def scores(n: int, shift: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.4
    return truth, rng.normal(0, 1, n) + shift * truth


def test_auroc_counts_pairs() -> None:
    truth, values = scores(80, 1.0, 0)
    values = np.round(values, 1)  # ties
    pairs = [(p > n) + 0.5 * (p == n) for p in values[truth] for n in values[~truth]]
    assert auroc(truth, values) == pytest.approx(np.mean(pairs))
    assert auroc_interval(truth, values).value == pytest.approx(np.mean(pairs))


def test_delongs_interval_covers() -> None:
    expected = 0.7602  # of two unit normals one apart: Phi(1 / sqrt 2)
    covered = 0
    for seed in range(200):
        interval = auroc_interval(*scores(150, 1.0, seed))
        covered += interval.low <= expected <= interval.high
    assert 0.90 <= covered / 200 <= 0.99


def test_a_graph_does_not_differ_from_itself() -> None:
    truth, values = scores(100, 1.0, 1)
    same = auroc_difference(truth, values, values)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    noisy = auroc_difference(truth, values, values + np.random.default_rng(2).normal(0, 1, 100))
    assert noisy.low < noisy.value < noisy.high


def test_wilsons_interval() -> None:
    interval = share(9, 10)  # Newcombe, Stat Med 17:857, 1998 gives the formula; by hand:
    assert interval.value == 0.9
    assert (interval.low, interval.high) == pytest.approx((0.5958, 0.9821), abs=1e-3)
    assert share(10, 10).high == pytest.approx(1.0)
    assert share(0, 10).low == pytest.approx(0.0)


def test_weights_make_sites_and_classes_even() -> None:
    truth = np.array([True] * 90 + [False] * 10 + [True] * 2 + [False] * 8)
    sites = np.array(["a"] * 100 + ["b"] * 10)
    weights = even_weights(truth, sites)
    for site in "ab":
        for label in (True, False):
            assert weights[(sites == site) & (truth == label)].sum() == pytest.approx(110 / 4)


def test_quantile() -> None:
    values = np.array([3.0, 1.0, 2.0, 4.0])
    even = np.ones(4)
    assert [weighted_quantile(values, even, level) for level in (0.0, 0.25, 0.26, 1.0)] == [
        1.0,
        1.0,
        2.0,
        4.0,
    ]


def test_platt_finds_the_scale() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, 20_000)
    truth = rng.random(20_000) < 1 / (1 + np.exp(-(1.5 * logits)))
    platt = fit_platt(logits, truth, np.full(20_000, "a"))
    assert platt.slope == pytest.approx(1.5, abs=0.1)
    assert platt.intercept == pytest.approx(0.0, abs=0.1)
    error = calibration_error(truth, platt(logits), np.ones(20_000))
    assert error < 0.02


def test_the_threshold_reaches_its_target() -> None:
    truth, values = scores(500, 1.5, 4)
    sites = np.where(np.random.default_rng(5).random(500) < 0.3, "a", "b")
    chosen = threshold_for(values, truth, sites, 0.9)
    weights = even_weights(truth, sites)[truth]
    found = values[truth] >= chosen
    assert 0.9 <= weights[found].sum() / weights.sum() < 0.93


def test_the_band_holds_its_promise_on_fresh_films() -> None:
    truth, values = scores(4000, 1.5, 6)
    one_site = np.full(4000, "a")
    probabilities = Platt(1.0, -0.7)(values)
    lower, upper = abstention_band(probabilities, truth, one_site, 0.1)
    assert lower < upper
    fresh_truth, fresh = scores(4000, 1.5, 7)
    fresh = Platt(1.0, -0.7)(fresh)
    assert (fresh[fresh_truth] >= lower).mean() == pytest.approx(0.9, abs=0.02)
    assert (fresh[~fresh_truth] <= upper).mean() == pytest.approx(0.9, abs=0.02)


def test_classes_that_part_have_no_band() -> None:
    truth = np.array([True] * 50 + [False] * 50)
    probabilities = np.where(truth, 0.9, 0.1)
    lower, upper = abstention_band(probabilities, truth, np.full(100, "a"), 0.1)
    assert lower == upper == pytest.approx(0.5)


def test_phantoms_are_drawn_the_same_each_time() -> None:
    drawn = phantoms(64, 3, 1)
    assert drawn.shape == (3, 64, 64)
    assert drawn.dtype == np.uint8
    assert (drawn == phantoms(64, 3, 1)).all()
    assert (drawn[0] != drawn[1]).any()


def rewrite(data: Path, change: dict[str, str], row: int = 0) -> None:
    table = data / "site_a" / "labels.csv"
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    rows[row] |= change
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_reads_a_site(data: Path) -> None:
    samples = read_site(data, SPEC)
    assert len(samples) == 24
    assert {s.split for s in samples} == {"train", "val", "test"}
    measured = read_site(data, SiteSpec("site_a", ("spot",), (), measure_only=True))
    assert {s.split for s in measured} == {"test"}
    assert all(s.positive for s in measured)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"patient": "p4"}, "patient p4 is in two splits"),
        ({"patient": ""}, "has no patient"),
        ({"split": "later"}, "unknown split"),
    ],
)
def test_a_leaking_table_is_refused(data: Path, change: dict[str, str], sentence: str) -> None:
    rewrite(data, change)
    with pytest.raises(DataError, match=sentence):
        read_site(data, SPEC)


def test_the_young_and_the_ageless_may_be_left_out(data: Path) -> None:
    table = data / "site_a" / "labels.csv"
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    ages = ["14", "15", "", "80"] * len(rows)
    for row, age in zip(rows, ages, strict=False):
        row["age"] = age
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    spec = SiteSpec("site_a", ("spot",), ("none",), least_age=15.0)
    ages_kept = [s.age for s in read_site(data, spec)]
    assert set(ages_kept) == {15.0, 80.0}
    assert len(read_site(data, SPEC)) == len(rows)


def test_no_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is missing"):
        read_site(tmp_path, SPEC)


def test_a_splits_hash_knows_members_and_labels() -> None:
    one = Sample("a", "1.png", True, "test", "p1")
    two = Sample("a", "2.png", False, "test", "p2")
    assert split_sha256([one, two]) == split_sha256([two, one])
    assert split_sha256([one]) != split_sha256([one, two])
    changed = Sample("a", "2.png", True, "test", "p2")
    assert split_sha256([one, two]) != split_sha256([one, changed])
