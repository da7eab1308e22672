"""Writes docs/quantizers.md from what bench/quantizers.py left in bench/out: no figure by hand."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "bench" / "out" / "quantizers.json"
TARGET = ROOT / "docs" / "quantizers.md"
# In the order of the page; the keys are those of bench/quantizers.py.
TITLES = {
    "fp32": "FP32",
    "waypost_cpu": "ONNX Runtime, our settings, CPU",
    "waypost_trt": "ONNX Runtime, our settings, TensorRT",
    "onnxruntime": "ONNX Runtime as it comes",
    "modelopt_ours": "Model Optimizer, our settings",
    "modelopt": "Model Optimizer as it comes",
    "nncf_cpu": "NNCF, our settings, CPU",
    "nncf_trt": "NNCF, our settings, TensorRT",
    "nncf": "NNCF as it comes",
}
ENVIRONMENTS = {
    "onnxruntime": "ONNX Runtime: the workbench's own, torch and TensorRT-RTX with it",
    "modelopt": "Model Optimizer, with a torch of its own",
    "nncf": "NNCF",
}


def main() -> None:
    """Read the result, write the page."""
    if not RESULT.is_file():
        sys.exit("not measured yet: run make bench-quantizers")
    TARGET.write_text(page(json.loads(RESULT.read_text(encoding="utf-8"))), encoding="utf-8")
    print(f"written: {TARGET.relative_to(ROOT)}")


def page(result: dict[str, Any]) -> str:
    """Return the page in Markdown."""
    rows = result["rows"]
    keys = [key for key in TITLES if key in rows]
    parts = "\n".join(
        [
            _head(result),
            _table(
                ("graph", "AUROC", "AUROC lost", "flips", "mean Δp", "largest Δp"),
                [(TITLES[key], *_damage(rows[key]["damage"])) for key in keys],
            ),
            _MADE,
            _table(
                ("graph", "MB", "ms", "rules broken", "TensorRT-RTX"),
                [(TITLES[key], *_made(rows[key])) for key in keys],
            ),
            _refusals(rows, keys),
            _WORK,
            _table(
                ("tool", "CPU s", "versions"),
                [
                    (TITLES[key], *_spent(rows[key]["spent"]))
                    for key in keys
                    if rows[key]["spent"] and key != "waypost_trt"
                ],
            ),
            _table(
                ("environment", "MB on the disk"),
                [
                    (title, str(result["environments_mb"][key]))
                    for key, title in ENVIRONMENTS.items()
                ],
            ),
        ]
    )
    return re.sub(r"\n{3,}", "\n\n", parts).rstrip() + "\n"


def _head(result: dict[str, Any]) -> str:
    found = result["machine"]
    return f"""# Three quantizers on one network

Written by `bench/quantizers_report.py` from what `bench/quantizers.py` measured; nothing here is
typed by hand. What follows from it is decided in [ADR 7](adr/0007-onnx-runtime-quantizes.md).

One FP32 graph (`{result["network"]}`, {result["side_px"]} px), the same {result["range_images"]}
training images for the ranges, the same {result["n"]} test images, {result["n_positive"]} of them
positive. *As it comes*: every setting is the tool's own. *Our settings*, as far as the tool takes
them: the first {result["fp32_convolutions"]} convolutions and the head in FP32, ranges from minimum
and maximum (NNCF keeps its own estimator), weights of 8 bits in the file, the head's bias
corrected. Calibration and threshold are FP32's, from the validation split, and serve every graph.

Machine: {found["cpu"]}, {found["cores"]} cores, Python {found["python"]}, Linux {found["kernel"]},
{found["date"]}; load average before: {found["load_before"]:.1f}.

## What eight bits break

*AUROC lost* is FP32's minus the graph's, with the 95 % interval of a paired bootstrap
({result["resamples"]} resamples of the test images, the same ones for both). *Flips* are decisions
at the threshold that are not FP32's. *Δp* is the change of the probability. Graphs for TensorRT
were run by ONNX Runtime node by node, which is the nearest to TensorRT that can be had without a
GPU.
"""


_MADE = """
## What the graphs are

*ms*: fastest run of one image on ONNX Runtime's CPU engine, one thread, all graphs in turn in one
process. A graph for TensorRT is not made for that engine. *Rules broken*: of
`quantize/tensorrt_contract.py`, with the number of places; a graph for the CPU is not meant to keep
them. *TensorRT-RTX*: the size of the engine that it built without a GPU, or refused.
"""

_WORK = """
## What the tools take

CPU seconds of the tool's whole process, imports included; one run of ours makes both graphs.
"""


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _damage(found: dict[str, Any]) -> tuple[str, ...]:
    lost = found["auroc_loss"]
    return (
        f"{found['auroc']:.4f}",
        f"{lost['value']:+.4f} ({lost['low']:+.4f} to {lost['high']:+.4f})",
        f"{found['flips']} of {found['n']}",
        f"{found['mean_change']:.4f}",
        f"{found['max_change']:.3f}",
    )


def _made(row: dict[str, Any]) -> tuple[str, ...]:
    broken = row["broken_rules"]
    rules = ", ".join(f"`{rule}` {count}" for rule, count in sorted(broken.items())) or "none"
    built = row["built"]
    return (
        f"{row['bytes'] / 1e6:.2f}",
        f"{row['fastest_ms']:.2f}",
        rules,
        "refused" if built["trouble"] else f"{built['engine_bytes'] / 1e6:.1f} MB",
    )


def _refusals(rows: dict[str, Any], keys: list[str]) -> str:
    lines = [
        f"- {TITLES[key]}: {_first_words(rows[key]['built']['trouble'])}"
        for key in keys
        if rows[key]["built"]["trouble"]
    ]
    return "\n".join(["TensorRT-RTX's words where it refused:", "", *lines, ""]) if lines else ""


def _first_words(trouble: str) -> str:
    """Return the parser's reason without the node's name and the places in its source."""
    line = trouble.replace("\n", " ")
    for start in ("Assertion failed: ", "input has type "):
        if start in line:
            line = line[line.index(start) :]
            break
    return line.split(". ")[0][:160].strip()


def _spent(found: dict[str, Any]) -> tuple[str, ...]:
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return (
        f"{found['cpu_s']:.1f}",
        versions,
    )


if __name__ == "__main__":
    main()
