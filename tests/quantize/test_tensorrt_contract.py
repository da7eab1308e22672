"""The rules of a TensorRT graph on the shipped graphs, on graphs that break them, and a build."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs onnx (the development environment)")

import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from quantize.tensorrt_contract import build_ahead, check_graph, rtx_trouble

pytestmark = pytest.mark.filterwarnings("default")

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = sorted(path.parent for path in (ROOT / "models").glob("*/*/model.trt.onnx"))
SYMMETRIC = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}


class Noise(CalibrationDataReader):
    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        # Mostly positive, so that an asymmetric range has a zero point other than 0.
        self._batches: Iterator = iter(
            [{"image": rng.uniform(-0.2, 1, (1, 1, 8, 8)).astype(np.float32)} for _ in range(4)]
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def small_network(path: Path, opset: int = 17) -> Path:
    """Write image -> Conv -> Clip -> Conv = cam -> ReduceMean = logits."""
    rng = np.random.default_rng(2)
    values = {
        "w1": rng.normal(0, 1, (4, 1, 3, 3)).astype(np.float32),
        "b1": rng.normal(0, 1, 4).astype(np.float32),
        "w2": rng.normal(0, 1, (1, 4, 1, 1)).astype(np.float32),
        "low": np.float32(0),
        "high": np.float32(6),
    }
    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["a"], "first"),
        helper.make_node("Clip", ["a", "low", "high"], ["c"], "clip"),
        helper.make_node("Conv", ["c", "w2"], ["cam"], "second"),
        helper.make_node("ReduceMean", ["cam"], ["logits"], "mean", axes=[2, 3], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 1, 8, 8))],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, (1, 1)),
            helper.make_tensor_value_info("cam", TensorProto.FLOAT, (1, 1, 6, 6)),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path)
    return path


def quantized(folder: Path, kind: QuantType, *, per_channel: bool = True, **extra: bool) -> Path:
    source = small_network(folder / "small.onnx")
    quantize_static(
        str(source),
        str(folder / "quantized.onnx"),
        Noise(),
        quant_format=QuantFormat.QDQ,
        per_channel=per_channel,
        activation_type=kind,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv", "Clip"],
        extra_options=extra,
    )
    model = onnx.load(folder / "quantized.onnx")
    kept = [entry for entry in model.opset_import if not entry.domain]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    onnx.save(model, folder / "quantized.onnx")
    return folder / "quantized.onnx"


def rules(path: Path) -> set[str]:
    return {violation.rule for violation in check_graph(path)}


def output_names(path: Path) -> list[str]:
    return [entry.name for entry in onnx.load(path).graph.output]


# --- what ships ---


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_every_shipped_graph_keeps_the_rules_and_has_the_cpu_graphs_outputs(package):
    outputs = output_names(package / "model.cpu.onnx")
    assert check_graph(package / "model.trt.onnx", outputs) == []
    assert output_names(package / "model.trt.onnx") == outputs


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_the_graph_of_the_cpu_is_refused(package):
    assert {"zero_point", "bias"} <= rules(package / "model.cpu.onnx")


# --- negative controls ---


def test_a_symmetric_graph_keeps_the_rules(tmp_path):
    assert check_graph(quantized(tmp_path, QuantType.QInt8, **SYMMETRIC)) == []


def test_float_weights_through_q_and_dq_keep_the_rules(tmp_path):
    path = quantized(tmp_path, QuantType.QInt8, **SYMMETRIC, AddQDQPairToWeight=True)
    assert check_graph(path) == []


def test_asymmetric_zero_points_are_refused(tmp_path):
    path = quantized(tmp_path, QuantType.QInt8, **{**SYMMETRIC, "ActivationSymmetric": False})
    found = check_graph(path)
    assert {violation.rule for violation in found} == {"zero_point"}
    assert all(violation.text == "the zero point is not 0" for violation in found)
    assert all(violation.node for violation in found)


def test_unsigned_activations_are_refused(tmp_path):
    path = quantized(tmp_path, QuantType.QUInt8, **SYMMETRIC)
    assert any("uint8" in violation.text for violation in check_graph(path))


def test_an_integer_bias_is_refused(tmp_path):
    path = quantized(tmp_path, QuantType.QInt8, **{**SYMMETRIC, "QuantizeBias": True})
    assert rules(path) == {"bias"}


def test_one_scale_for_all_weights_is_refused(tmp_path):
    path = quantized(tmp_path, QuantType.QInt8, per_channel=False, **SYMMETRIC)
    assert "weights" in rules(path)


def edited(folder: Path, change) -> Path:
    path = quantized(folder, QuantType.QInt8, **SYMMETRIC)
    model = onnx.load(path)
    change(model)
    onnx.save(model, path)
    return path


def no_zero_point(model: onnx.ModelProto) -> None:
    node = next(n for n in model.graph.node if n.op_type == "QuantizeLinear")
    del node.input[2]


def no_scale(model: onnx.ModelProto) -> None:
    node = next(n for n in model.graph.node if n.op_type == "QuantizeLinear")
    entry = next(e for e in model.graph.initializer if e.name == node.input[1])
    entry.CopyFrom(numpy_helper.from_array(np.float32(0), entry.name))


def many_scales(model: onnx.ModelProto) -> None:
    node = next(n for n in model.graph.node if n.op_type == "QuantizeLinear")
    entry = next(e for e in model.graph.initializer if e.name == node.input[1])
    entry.CopyFrom(numpy_helper.from_array(np.ones(1, np.float32), entry.name))


def newer(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 18


def foreign(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def another_operator(model: onnx.ModelProto) -> None:
    next(n for n in model.graph.node if n.op_type == "Clip").op_type = "HardSwish"


def one_output(model: onnx.ModelProto) -> None:
    del model.graph.output[1]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (no_zero_point, "zero_point"),
        (no_scale, "scale"),
        (many_scales, "scale"),
        (newer, "opset"),
        (foreign, "opset"),
        (another_operator, "operator"),
        (one_output, "output"),
    ],
)
def test_each_other_rule_is_noticed(tmp_path, change, rule):
    assert rules(edited(tmp_path, change)) == {rule}


# --- a trial build ---


def need_rtx() -> None:
    trouble = rtx_trouble()
    if trouble is not None:
        pytest.skip(trouble)


@pytest.mark.tensorrt_rtx
@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_every_shipped_graph_builds_without_a_gpu(package, capsys):
    need_rtx()
    report = build_ahead(package / "model.trt.onnx")
    assert report.trouble is None
    assert report.engine_bytes > 1_000_000
    with capsys.disabled():
        print(  # noqa: T201 - the figures of docs/tensorrt.md
            f"\n{package.parent.name} {package.name}: {report.built_with}, "
            f"{report.engine_bytes} bytes in {report.took_s:.2f} s"
        )


@pytest.mark.tensorrt_rtx
def test_what_the_rules_refuse_tensorrt_refuses_too(tmp_path):
    need_rtx()
    asymmetric = {**SYMMETRIC, "ActivationSymmetric": False}
    report = build_ahead(quantized(tmp_path, QuantType.QInt8, **asymmetric))
    assert report.engine_bytes == 0
    assert "zero point" in (report.trouble or "").lower()
    report = build_ahead(PACKAGES[0] / "model.cpu.onnx")
    assert "Int32" in (report.trouble or "")


@pytest.mark.tensorrt_rtx
def test_what_the_rules_take_tensorrt_takes_too(tmp_path):
    need_rtx()
    assert build_ahead(quantized(tmp_path, QuantType.QInt8, **SYMMETRIC)).trouble is None
    pair = quantized(tmp_path, QuantType.QInt8, **SYMMETRIC, AddQDQPairToWeight=True)
    assert build_ahead(pair).trouble is None
