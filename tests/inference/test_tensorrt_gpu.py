"""What only a real GPU can show: `pytest -m gpu` on a Jetson, or on a PC with TensorRT."""

from __future__ import annotations

import sys
import time

import pytest

from appliance.inference.gpu_probe import Gpu, find_gpu
from appliance.inference.onnxruntime_cpu import OnnxRuntimeCpu
from appliance.inference.predict import Predictor, check_parity, load_predictor
from appliance.inference.tensorrt_gpu import TensorRtGpu
from appliance.inference.upgrade import SwitchingPredictor, Upgrade
from tests.models import manifest

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def gpu() -> Gpu:
    found = find_gpu()
    if isinstance(found, str):
        pytest.skip(found)
    return found


def test_the_engine_is_built_proven_kept_and_reads(gpu, tmp_path, capsys):
    cpu = load_predictor(manifest(), threads=1)
    predictor = SwitchingPredictor(cpu)
    start = time.perf_counter()
    upgrade = Upgrade(TensorRtGpu(tmp_path), [(manifest(), predictor)], threads=2)
    upgrade.run()
    built_s = time.perf_counter() - start
    assert predictor.live.backend == "tensorrt-gpu", upgrade.summary()

    graph = manifest().path("model.trt.onnx")
    exact = Predictor(OnnxRuntimeCpu(exact=True).load(graph, 2), cpu.ref, outputs=1)
    check = check_parity(predictor, exact, manifest())
    assert check.ok

    start = time.perf_counter()
    session = TensorRtGpu(tmp_path).load(graph, 1)
    kept_s = time.perf_counter() - start
    assert kept_s < built_s
    backend = TensorRtGpu(tmp_path)
    key = backend.key(graph)
    assert key is not None
    kept = backend.cache.find(key)
    assert kept is not None
    with capsys.disabled():
        sys.stdout.write(
            f"\n{gpu.name}, TensorRT {gpu.tensorrt}: built in {built_s:.1f} s, found again in "
            f"{kept_s:.1f} s, {len(kept.content)} bytes, {kept.variant}; one run "
            f"{session.median_ms(200)} ms of {dict(kept.latencies_ms)}; golden vectors within "
            f"{check.max_abs_difference:.3g} (allowed {check.tolerance:.3g})\n"
        )
