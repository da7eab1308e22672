"""The comparison of quantizers, on small graphs and drawn figures; its tools are not needed."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs onnx (the development environment)")

import onnx
from onnx import TensorProto, helper, numpy_helper

from quantize.decide import Platt
from quantize.evaluate import Rules
from quantize.metrics import auroc

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import quantizers  # noqa: E402
import quantizers_report  # noqa: E402

sys.path.remove(str(ROOT / "bench"))

pytestmark = pytest.mark.filterwarnings("default")
RULES = Rules(Platt(1.0, 0.0), 0.5, 0.5, 0.5)


def scores(n: int = 80) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    truth = np.arange(n) % 2 == 0
    return truth, rng.normal(0, 1, n) + 1.5 * truth


def tiny(path: Path) -> Path:
    weight = numpy_helper.from_array(np.ones((1, 1, 3, 3), np.float32), "w")
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "w"], ["cam"], "conv"),
            helper.make_node("ReduceMean", ["cam"], ["logits"], "mean", axes=[2, 3], keepdims=0),
        ],
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 1, 8, 8))],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, (1, 1)),
            helper.make_tensor_value_info("cam", TensorProto.FLOAT, (1, 1, 6, 6)),
        ],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def test_a_graph_that_answers_the_same_has_no_damage():
    truth, logits = scores()
    found = quantizers.damage(truth, logits, logits, RULES, [""] * truth.size)
    assert (found.flips, found.n, found.mean_change, found.max_change) == (0, 80, 0, 0)
    assert (found.auroc_loss.value, found.auroc_loss.low, found.auroc_loss.high) == (0, 0, 0)


def test_damage_is_counted_against_the_reference():
    truth, logits = scores()
    worse = logits.copy()
    worse[:2] = [-4, 4]  # a positive that is lost, a negative that is found
    found = quantizers.damage(truth, worse, logits, RULES, [""] * truth.size)
    flips = int(((worse >= 0) != (logits >= 0)).sum())
    assert found.flips == flips > 0
    assert found.auroc_loss.value > 0
    assert found.auroc_loss.low <= found.auroc_loss.value <= found.auroc_loss.high
    assert found.max_change == pytest.approx(np.abs(RULES.platt(worse) - RULES.platt(logits)).max())


def test_the_bootstrap_draws_patients_not_films():
    truth, logits = scores(40)
    noisy = logits + np.random.default_rng(1).normal(0, 0.5, 40)
    alone = quantizers.paired_bootstrap(truth, noisy, logits, [""] * 40)
    # Eight copies of every film are no new evidence: the interval stays as wide.
    many = [np.tile(values, 8) for values in (truth, noisy, logits)]
    copied = quantizers.paired_bootstrap(*many, [f"p{i % 40}" for i in range(320)])
    as_if_new = quantizers.paired_bootstrap(*many, [""] * 320)
    width = alone.high - alone.low
    assert copied.high - copied.low == pytest.approx(width, rel=0.25)
    assert as_if_new.high - as_if_new.low < 0.6 * width


def test_the_bootstrap_counts_pairs_as_the_auroc_does():
    truth, logits = scores(30)
    tied = np.round(logits)
    won = quantizers._won(truth, tied)
    assert won.mean() == pytest.approx(auroc(truth, tied))
    assert set(np.unique(won)) == {0, 0.5, 1}


def test_every_graph_is_timed_in_turn(tmp_path: Path):
    graphs = {name: tiny(tmp_path / f"{name}.onnx") for name in ("one", "two")}
    batch = np.ones((1, 1, 8, 8), np.float32)
    found = quantizers.times_ms(graphs, batch, rounds=2)
    assert list(found) == ["one", "two"]
    assert all(0 < value < 1000 for value in found.values())


def test_logits_of_a_graph_are_its_first_output(tmp_path: Path):
    path = tiny(tmp_path / "one.onnx")
    batches = [np.full((1, 1, 8, 8), value, np.float32) for value in (0, 1)]
    assert quantizers.logits_of(path, batches, optimize=False).tolist() == [0, 9]


def test_broken_rules_are_counted(tmp_path: Path):
    path = tiny(tmp_path / "one.onnx")
    assert quantizers.broken_rules(path) == {}
    model = onnx.load(path)
    model.opset_import[0].version = 19
    onnx.save(model, path)
    assert quantizers.broken_rules(path)["opset"] == 1


def test_a_tools_process_is_measured_and_its_failure_is_said(tmp_path: Path):
    last = json.dumps({"versions": {"tool": "1"}, "peak_mb": 7})
    done = [sys.executable, "-c", f"print('noise'); print({last!r})"]
    spent = quantizers.spend(done, tmp_path / "log")
    assert spent.versions == {"tool": "1"}
    assert spent.wall_s > 0
    assert spent.cpu_s > 0
    assert spent.peak_mb == 7
    with pytest.raises(RuntimeError, match="no such range"):
        quantizers.spend([sys.executable, "-c", "exit('no such range')"], tmp_path / "log")


def test_a_folder_is_weighed_without_following_links(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out.bin").write_bytes(b"x" * 3_000_000)
    (tmp_path / "in" / "link").symlink_to(tmp_path / "out.bin")
    assert quantizers.folder_mb(tmp_path / "in") == 0
    assert quantizers.folder_mb(tmp_path) == 3


def test_every_way_has_a_tool_and_a_title():
    tree = ast.parse((ROOT / "bench" / "quantize_with.py").read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert {way.tool for way in quantizers.WAYS} <= functions
    titles = {way.key: way.title for way in quantizers.WAYS}
    assert {"fp32": "FP32", **titles} == quantizers_report.TITLES


def drawn_result() -> dict[str, Any]:
    interval = {"value": 0.0012, "low": -0.0004, "high": 0.0031}
    damage = {"auroc": 0.94, "auroc_loss": interval, "flips": 5, "n": 624}
    row = {
        "damage": {**damage, "mean_change": 0.0123, "max_change": 0.1},
        "bytes": 3_600_000,
        "fastest_ms": 1.5,
        "broken_rules": {"zero_point": 3, "opset": 1},
        "built": {"trouble": None, "engine_bytes": 9_000_000},
        "spent": {"wall_s": 20.0, "cpu_s": 10.0, "peak_mb": 500, "versions": {"nncf": "3.4.0"}},
    }
    refused = {"trouble": "In node 2: Assertion failed: zero(). Please set it", "engine_bytes": 0}
    machine = {"cpu": "a", "cores": 2, "python": "3.11", "kernel": "6", "date": "2026-01-01"}
    return {
        "machine": {**machine, "load_before": 0.5},
        "network": "toy 0.0.1",
        "side_px": 64,
        "range_images": 8,
        "n_positive": 390,
        "n": 624,
        "fp32_convolutions": 2,
        "resamples": 2000,
        "environments_mb": {"onnxruntime": 1, "modelopt": 2, "nncf": 3},
        "rows": {"fp32": {**row, "spent": None}, "nncf": {**row, "built": refused}},
    }


def test_the_page_holds_every_figure_in_whole_tables():
    text = quantizers_report.page(json.loads(json.dumps(drawn_result())))
    assert "| FP32 | 0.9400 | +0.0012 (-0.0004 to +0.0031) | 5 of 624 | 0.0123 | 0.100 |" in text
    assert "| FP32 | 3.60 | 1.50 | `opset` 1, `zero_point` 3 | 9.0 MB |" in text
    assert "| NNCF as it comes | 3.60 | 1.50 | `opset` 1, `zero_point` 3 | refused |" in text
    assert "- NNCF as it comes: Assertion failed: zero()\n" in text
    assert "| NNCF as it comes | 10.0 | nncf 3.4.0 |" in text
    blocks = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == 4
    for block in blocks:
        assert len({line.count("|") for line in block.strip().splitlines()}) == 1
