"""Puts a package's folder together: graphs, golden vectors, card, and the manifest pinning them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from appliance.manifest import MANIFEST_NAME, Golden, Quantization, load_manifest
from quantize.manifest_writer import toml
from quantize.phantoms import phantoms
from quantize.stages import file_sha256

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from appliance.manifest import InputSpec, ModelManifest

GRAPHS = ("model.cpu.onnx", "model.trt.onnx")
GOLDEN_COUNT = 8
_GOLDEN_SEED = 20240601
# Logits: below this, engines differ by the order of their sums alone.
_LEAST_TOLERANCE = 0.05


def assemble(
    manifest: ModelManifest, write_card: Callable[[ModelManifest], str], folder: Path, out: Path
) -> ModelManifest:
    """Write the package into `out` and read it back, every hash verified.

    Parameters
    ----------
    manifest
        Complete but for its files and its golden vectors.
    folder
        The run's folder, which holds both graphs.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in GRAPHS:
        shutil.copyfile(folder / name, out / name)
    golden = Golden(cpu_tolerance=write_golden(out, manifest.input), n=GOLDEN_COUNT)
    manifest = replace(manifest, golden=golden)
    (out / "card.md").write_text(write_card(manifest), encoding="utf-8")
    files = {name: file_sha256(out / name) for name in ("card.md", "golden.npz", *GRAPHS)}
    (out / MANIFEST_NAME).write_text(toml(replace(manifest, files=files)), encoding="utf-8")
    return load_manifest(out)


def write_golden(out: Path, spec: InputSpec) -> float:
    """Write golden.npz from drawn phantoms; return the tolerance that another engine is allowed.

    The tolerance is three times what separates ONNX Runtime's integer kernels from its floating
    point run of the same Q/DQ graph: two correct answers that differ by rounding.
    """
    inputs = phantoms(spec.side_px, GOLDEN_COUNT, _GOLDEN_SEED)
    logits, in_float = (_logits(out / GRAPHS[0], inputs, spec, fast=fast) for fast in (True, False))
    np.savez_compressed(out / "golden.npz", inputs=inputs, logits=logits)
    return round(max(_LEAST_TOLERANCE, 3 * float(np.abs(logits - in_float).max())), 3)


def _logits(
    graph: Path, inputs: NDArray[np.uint8], spec: InputSpec, *, fast: bool
) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    if not fast:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    batches = ((inputs.astype(np.float32) / np.float32(255) - spec.mean) / spec.std).astype(
        np.float32
    )[:, np.newaxis, np.newaxis]
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: batch})[0] for batch in batches])


def quantization(
    recipe: Path, range_calibration: str, n_images: int, kept_in_float: tuple[str, ...]
) -> Quantization:
    """Say how the two graphs were made (`quantize.int8.quantize_both`)."""
    return Quantization(
        recipe=f"quantize/recipes/{recipe.name}",
        tool=f"onnxruntime {onnxruntime.__version__}, static, Q/DQ, per-channel weights",
        range_calibration=range_calibration,
        n_images=n_images,
        fp32_nodes=kept_in_float,
        cpu="activations unsigned 8 bits asymmetric, weights signed 8 bits, biases 32 bits",
        tensorrt="activations and weights signed 8 bits symmetric, zero point 0, biases float",
        pruning="none",
    )
