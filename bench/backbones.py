"""Each backbone through export and eight bits: parity, size, MACs, time; and Lite0's saving.

Every graph gets pictures drawn by code. Times are of one film on one thread, in processor time, so
that waiting for a core on a busy machine is not counted; the graphs of a row, and all of the speed
table, take turns in one process, so that what else a busy machine does to them it does to all. A
turn is ten runs: after the first, which is kept apart, a graph finds its weights in the caches.
Results are kept after each row; `--resume` goes on.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import sys
import tempfile
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.machine import OUT, describe, quantile, save
from quantize.backbones import BACKBONES, at_scale, backbone, build
from quantize.evaluate import open_graph
from quantize.export import INPUT_NAME, export
from quantize.int8 import quantize_both
from quantize.phantoms import golden_phantoms, phantoms
from quantize.prune import channel_pruner
from quantize.spec import PruneSpec
from quantize.tensorrt_contract import check_graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Run = Callable[[], object]

SIDES = (160, 224)
OWN_SIDES = {"inception_v3": (299,)}  # published for another size than 224
TURN = 10
RANGE_PHANTOMS = 12
SPEED_KEPT = (2, 7)  # convolutions in floating point: the fewest that do, and the recipes'
PRUNE_RATIO = 0.3
VERSIONS = ("torch", "torchvision", "timm", "onnx", "onnxruntime", "openvino", "torch-pruning")


@dataclass(frozen=True)
class Times:
    """Of one graph, in ms; `cold` is the least of the runs right after another graph's."""

    min: float
    p10: float
    median: float
    cold: float


def main() -> None:
    """Measure what was asked for, write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", default=",".join(BACKBONES), help="backbones, with commas between"
    )
    parser.add_argument("--rounds", type=int, default=100, help="at most, for each row")
    parser.add_argument("--seconds", type=float, default=30.0, help="of timing for each row, about")
    parser.add_argument("--resume", action="store_true", help="keep the rows that are there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    kept = OUT / "backbones.json"
    found = json.loads(kept.read_text()) if arguments.resume and kept.is_file() else {}
    result = {
        "machine": describe(),
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
        "rows": found.get("rows", []),
        "speed": found.get("speed", []),
    }
    names, limits = arguments.only.split(","), (arguments.rounds, arguments.seconds)
    with tempfile.TemporaryDirectory() as folder:
        for side in _missing(SIDES, result["speed"]):
            result["speed"].append(_speed(side, Path(folder), limits))
            save("backbones", result)
        for name in names:
            there = [row for row in result["rows"] if row["name"] == name]
            for side in _missing((*SIDES, *OWN_SIDES.get(name, ())), there):
                result["rows"].append(_row(name, side, Path(folder), limits))
                save("backbones", result)


def _missing(sides: tuple[int, ...], rows: list[dict[str, Any]]) -> list[int]:
    return [side for side in sides if side not in {row["side_px"] for row in rows}]


def _row(name: str, side: int, folder: Path, limits: tuple[int, float]) -> dict[str, Any]:
    torch.manual_seed(0)
    pretrained = bool(backbone(name).weights[0])
    network = build(name, 1, side_px=side, pretrained=pretrained).eval()
    inputs = _normalized(phantoms(side, RANGE_PHANTOMS, seed=1))
    at_scale(network, torch.from_numpy(inputs[:8, 0]), pretrained=pretrained)
    fp32, cpu, tensorrt = (folder / f"{form}.onnx" for form in ("fp32", "cpu", "trt"))
    export(network, side, fp32)
    plan = backbone(name)
    quantize_both(
        fp32,
        (cpu, tensorrt),
        list(inputs),
        fp32_convolutions=plan.fp32_convolutions,
        also=plan.also,
        leave_out=plan.leave_out,
    )
    runs = {"fp32": _onnxruntime(fp32, side), "int8": _onnxruntime(cpu, side)}
    times = _in_turn(runs, *limits)
    return {
        "name": name,
        "side_px": side,
        "weights": "published" if pretrained else "random",
        "parameters": sum(p.numel() for p in network.parameters()),
        "macs": macs(fp32),
        "bytes": {form: path.stat().st_size for form, path in _forms(fp32, cpu, tensorrt)},
        "ms": {form: asdict(time) for form, time in times.items()},
        "speed_up": times["fp32"].min / times["int8"].min,
        **_parity(network, fp32, cpu, tensorrt),
        "tensorrt_breaks": sorted({f"{v.rule}: {v.text}" for v in check_graph(tensorrt)}),
        "operators": sorted({node.op_type for node in onnx.load(fp32).graph.node}),
    }


def _forms(*paths: Path) -> list[tuple[str, Path]]:
    return [(path.stem, path) for path in paths]


def _normalized(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Make network inputs, float32 (n, 1, 1, side, side), of grey images (n, side, side)."""
    return ((images.astype(np.float32) / 255 - 0.5) / 0.25)[:, None, None]


def _parity(network: nn.Module, fp32: Path, cpu: Path, tensorrt: Path) -> dict[str, float]:
    side = onnx.load(fp32).graph.input[0].type.tensor_type.shape.dim[-1].dim_value
    inputs = _normalized(golden_phantoms(side))
    with torch.inference_mode():
        by_torch = np.array([float(network(torch.from_numpy(x))[0]) for x in inputs])
    found = {}
    for form, path in _forms(fp32, cpu, tensorrt):
        session = open_graph(path, optimize=form != "trt", threads=1)
        rows = [session.run(["logits", "cam"], {INPUT_NAME: x}) for x in inputs]
        found[form] = (
            np.array([float(row[0][0, 0]) for row in rows]),
            np.stack([r[1] for r in rows]),
        )
    logits, maps = found["fp32"]
    return {
        "torch_logit_change": float(np.abs(by_torch - logits).max()),
        "int8_logit_change": float(np.abs(found["cpu"][0] - logits).max()),
        "int8_map_change": _apart(found["cpu"][1], maps),
        "tensorrt_logit_change": float(np.abs(found["trt"][0] - logits).max()),
        "tensorrt_map_change": _apart(found["trt"][1], maps),
    }


def _apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Root mean square of the difference over that of `other`."""
    return float(np.sqrt(np.square(one - other).mean() / np.square(other).mean()))


def macs(path: Path) -> int:
    """Count the multiplications of a graph's convolutions and matrix products, for one film."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path), data_prop=True)
    shapes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        shapes[value.name] = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    total = 0
    for node in model.graph.node:
        if node.op_type == "Conv":
            each = math.prod(shapes[node.input[1]][1:])
        elif node.op_type in ("MatMul", "Gemm"):
            each = shapes[node.input[0]][-1]
        else:
            continue
        here = math.prod(shapes[node.output[0]]) * each
        if here == 0:
            raise ValueError(f"{path.name}: the shape of {node.output[0]} is not known")
        total += here
    return total


def _onnxruntime(path: Path, side: int) -> Run:
    session = open_graph(path, threads=1)
    feed = {INPUT_NAME: _normalized(golden_phantoms(side))[0]}
    return lambda: session.run(None, feed)


def _openvino(path: Path, side: int) -> Run:
    import openvino  # noqa: PLC0415

    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = openvino.Core().compile_model(str(path), "CPU", settings).create_infer_request()
    feed = [_normalized(golden_phantoms(side))[0]]
    return lambda: request.infer(feed)


def _in_turn(runs: dict[str, Run], rounds: int, seconds: float) -> dict[str, Times]:
    """Time each, a turn of runs at a time, after a turn that is not counted; at least three."""
    first: dict[str, list[float]] = {name: [] for name in runs}
    taken: dict[str, list[float]] = {name: [] for name in runs}
    ends_at = time.monotonic() + seconds
    for turn in range(1 + max(3, rounds // TURN)):
        if turn > 3 and time.monotonic() > ends_at:
            break
        for name, run in runs.items():
            ms = [_time(run) for _ in range(TURN)]
            if turn:
                first[name].append(ms[0])
                taken[name] += ms[1:]
    return {
        name: Times(min(ms), quantile(ms, 0.1), float(np.median(ms)), min(first[name]))
        for name, ms in taken.items()
    }


def _time(run: Run) -> float:
    started = time.process_time()
    run()
    return 1000 * (time.process_time() - started)


def _speed(side: int, folder: Path, limits: tuple[int, float]) -> dict[str, Any]:
    """Time Lite0 whole and cut, in both engines, on the same files."""
    torch.manual_seed(0)
    inputs = _normalized(phantoms(side, RANGE_PHANTOMS, seed=1))
    network = build("efficientnet_lite0", 1, pretrained=True).eval()
    at_scale(network, torch.from_numpy(inputs[:8, 0]), pretrained=True)
    files = {"FP32": folder / "fp32.onnx"}
    export(network, side, files["FP32"])
    cut = folder / "cut.onnx"
    _cut(network, torch.from_numpy(inputs[:4, 0]))
    export(network, side, cut)
    for kept in SPEED_KEPT:
        for source, what in ((files["FP32"], "INT8"), (cut, "cut, INT8")):
            target = folder / f"{source.stem}-{kept}.onnx"
            targets = (target, folder / "unused.onnx")
            quantize_both(source, targets, list(inputs), fp32_convolutions=kept)
            files[f"{what}, {kept} convolutions in FP32"] = target
    runs: dict[str, Run] = {}
    for name, path in files.items():
        runs[f"ort {name}"], runs[f"ov {name}"] = _onnxruntime(path, side), _openvino(path, side)
    times = _in_turn(runs, 3 * limits[0], 4 * limits[1])
    whole, size = times["ort FP32"].min, files["FP32"].stat().st_size
    rows = [
        {
            "file": name,
            "bytes": path.stat().st_size,
            "size_share": path.stat().st_size / size,
            "onnxruntime_ms": asdict(times[f"ort {name}"]),
            "openvino_ms": asdict(times[f"ov {name}"]),
            "speed_up": whole / times[f"ort {name}"].min,
            "speed_up_cold": times["ort FP32"].cold / times[f"ort {name}"].cold,
            "openvino_over_onnxruntime": times[f"ov {name}"].min / times[f"ort {name}"].min,
        }
        for name, path in files.items()
    ]
    return {"side_px": side, "rows": rows}


def _cut(network: Any, inputs: torch.Tensor) -> None:
    """Cut channels by what phantoms say matters; nothing is learnt again: for sizes and times."""
    spec = PruneSpec(PRUNE_RATIO, 1, 0, 1, 0, 0.0)
    pruner = channel_pruner(network, inputs.shape[-1], spec)
    logits, _ = network(inputs)
    nn.functional.binary_cross_entropy_with_logits(logits, torch.ones_like(logits)).backward()
    pruner.step()
    network.zero_grad()


if __name__ == "__main__":
    main()
