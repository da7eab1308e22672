"""Quantizes one graph with one tool; runs in that tool's own environment.

``python bench/quantize_with.py TOOL FP32 INPUTS OUT [--keep NAMES] [--form cpu|tensorrt]``. Without
``--keep`` the tool works as it comes, all its settings its own. The last line that it prints is
JSON with the versions that did the work and the process's peak memory.
"""

# ruff: noqa: PLC0415 - each function imports what its environment alone has

from __future__ import annotations

import argparse
import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INPUT_NAME = "image"  # quantize.export.INPUT_NAME; this file runs where `quantize` is not


def onnxruntime(job: argparse.Namespace, inputs: np.ndarray) -> None:
    """ONNX Runtime's `quantize_static` as it comes (kept settings: `quantize.int8` makes those)."""
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches: Iterator[np.ndarray] = iter(inputs)

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self._batches, None)
            return None if batch is None else {INPUT_NAME: batch}

    quantize_static(job.fp32, job.out, Reader())


def waypost(job: argparse.Namespace, inputs: np.ndarray) -> None:
    """Write both graphs of `quantize.int8`, the TensorRT graph as ``.trt.onnx`` beside ``OUT``.

    The names of the nodes kept in floating point go into ``--keep``, for the other tools to read.
    """
    from quantize.int8 import quantize_both

    targets = (Path(job.out), Path(job.out).with_suffix(".trt.onnx"))
    kept = quantize_both(
        Path(job.fp32), targets, list(inputs), fp32_convolutions=job.fp32_convolutions
    )
    Path(job.keep).write_text(json.dumps(kept), encoding="utf-8")


def modelopt(job: argparse.Namespace, inputs: np.ndarray) -> None:
    """NVIDIA's Model Optimizer on the CPU; weights and what stays in float are FP32."""
    from modelopt.onnx.quantization import quantize  # type: ignore[import-not-found]

    chosen: dict[str, Any] = {}
    if job.keep:
        chosen = {
            "calibration_method": "max",
            "dq_only": True,  # 8-bit weights in the file, as in ours
            "nodes_to_exclude": [f"^{re.escape(name)}$" for name in _names(job.keep)],
        }
    quantize(
        job.fp32,
        quantize_mode="int8",
        calibration_data=np.concatenate(list(inputs)),
        calibration_eps=["cpu"],
        high_precision_dtype="fp32",
        output_path=job.out,
        **chosen,
    )


def nncf(job: argparse.Namespace, inputs: np.ndarray) -> None:
    """NNCF's ONNX backend.

    Of our settings it takes: the nodes kept in float, one scale an activation, and for TensorRT
    symmetric activations. Signed ones it does not (`signedness_to_force` is refused by its own
    table of what hardware can do), so an activation that is never negative becomes unsigned.
    """
    import nncf as tool  # type: ignore[import-not-found]
    import onnx
    from nncf.quantization.advanced_parameters import (  # type: ignore[import-not-found]
        AdvancedQuantizationParameters,
        QuantizationParameters,
    )

    chosen: dict[str, Any] = {}
    if job.keep:
        symmetric, mixed = tool.QuantizationPreset.PERFORMANCE, tool.QuantizationPreset.MIXED
        chosen = {
            "ignored_scope": tool.IgnoredScope(names=_names(job.keep)),
            "preset": symmetric if job.form == "tensorrt" else mixed,
            "advanced_parameters": AdvancedQuantizationParameters(
                activations_quantization_params=QuantizationParameters(per_channel=False)
            ),
        }
    data = tool.Dataset([{INPUT_NAME: batch} for batch in inputs])
    made = tool.quantize(onnx.load(job.fp32), data, subset_size=len(inputs), **chosen)
    onnx.save(made, job.out)


def _names(path: str) -> list[str]:
    names: list[str] = json.loads(Path(path).read_text(encoding="utf-8"))
    return names


TOOLS: dict[str, tuple[Callable[[argparse.Namespace, np.ndarray], None], tuple[str, ...]]] = {
    "onnxruntime": (onnxruntime, ("onnxruntime", "onnx")),
    "waypost": (waypost, ("onnxruntime", "onnx")),
    "modelopt": (modelopt, ("nvidia-modelopt", "torch", "onnxruntime-gpu", "onnx")),
    "nncf": (nncf, ("nncf", "onnxruntime", "onnx")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tool", choices=TOOLS)
    parser.add_argument("fp32")
    parser.add_argument("inputs", help="float32 (n, 1, 1, side, side), as .npy")
    parser.add_argument("out")
    parser.add_argument("--keep", help="JSON list of the nodes that stay in floating point")
    parser.add_argument("--form", choices=("cpu", "tensorrt"), default="cpu")
    parser.add_argument("--fp32-convolutions", type=int, default=0)
    job = parser.parse_args()
    work, packages = TOOLS[job.tool]
    work(job, np.load(job.inputs))
    versions = {package: version(package) for package in packages}
    print(json.dumps({"versions": versions, "peak_mb": _peak_mb()}))


def _peak_mb() -> int:
    """Return this process's peak resident memory, in MB (10^6 bytes).

    From /proc: what `wait4` tells of a child counts its parent's memory before `exec` too.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return round(int(line.split()[1]) * 1024 / 1e6)


if __name__ == "__main__":
    main()
