"""The CPU answers while the engine is built; then the GPU answers, if it is right."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from appliance.config import Config
from appliance.domain import ModelRef
from appliance.errors import BackendUnavailableError, InferenceError
from appliance.inference.engine_cache import EngineCache, EngineKey, KeptEngine
from appliance.inference.predict import Prediction, check_golden, check_parity, load_predictor
from appliance.inference.tensorrt_gpu import TensorRtGpu
from appliance.inference.upgrade import SwitchingPredictor, Upgrade
from appliance.wiring.reading import (
    _engine_failures,
    backend_troubles,
    build_upgrade,
    load_models,
)
from tests.inference.fake_tensorrt.machine import Machine
from tests.inference.tensorrt_parts import backend
from tests.models import FixedPredictor, manifest

SIDE = manifest().input.side_px
BATCH = np.random.default_rng(5).normal(0, 1, (1, 1, SIDE, SIDE)).astype(np.float32)


@pytest.fixture(scope="module")
def cpu():
    return load_predictor(manifest(), threads=1)


@pytest.fixture
def predictor(cpu) -> SwitchingPredictor:
    return SwitchingPredictor(cpu)


def done(accelerator, predictor) -> Upgrade:
    upgrade = Upgrade(accelerator, [(manifest(), predictor)], threads=1)
    upgrade.start(lambda: None)
    assert upgrade.join(100)
    return upgrade


def numbered(name: str, logit: float = 0.0, error: Exception | None = None) -> FixedPredictor:
    made = FixedPredictor(logit, error)
    made.ref = ModelRef("m", "1", "", name)
    return made


# --- the switch ---


def test_each_answer_names_the_engine_that_gave_it():
    predictor = SwitchingPredictor(numbered("cpu"))
    assert predictor.ref.backend == "cpu"
    predictor.predict(BATCH)
    predictor.switch(numbered("gpu"))
    assert predictor.ref.backend == "cpu", "the last answer was the CPU's"
    assert predictor.live.backend == "gpu"
    predictor.predict(BATCH)
    assert predictor.ref.backend == "gpu"


def test_a_switch_in_the_middle_of_an_image_does_not_change_its_name():
    inside, go_on = threading.Event(), threading.Event()

    class Slow(FixedPredictor):
        ref = ModelRef("m", "1", "", "cpu")

        def predict(self, batch: np.ndarray) -> Prediction:
            inside.set()
            assert go_on.wait(30)
            return super().predict(batch)

    predictor = SwitchingPredictor(Slow(-3.0))
    named = []

    def read() -> None:
        logit = float(predictor.predict(BATCH).logits[0])
        named.append((logit, predictor.ref.backend))

    thread = threading.Thread(target=read)
    thread.start()
    assert inside.wait(30)
    predictor.switch(numbered("gpu", 3.0))
    assert float(predictor.predict(BATCH).logits[0]) == 3.0
    assert predictor.ref.backend == "gpu"
    go_on.set()
    thread.join(30)
    assert named == [(-3.0, "cpu")]


def test_an_engine_that_fails_is_left_for_good_and_the_image_is_read():
    predictor = SwitchingPredictor(numbered("cpu", -3.0))
    said = []
    predictor.on_fall_back = said.append
    predictor.switch(numbered("gpu", 3.0, InferenceError("The GPU is gone.")))
    assert float(predictor.predict(BATCH).logits[0]) == -3.0
    assert predictor.ref.backend == predictor.live.backend == "cpu"
    assert said == ["The GPU is gone."]


def test_the_first_engines_failure_is_an_error():
    predictor = SwitchingPredictor(numbered("cpu", error=InferenceError("broken")))
    with pytest.raises(InferenceError, match="broken"):
        predictor.predict(BATCH)


# --- the upgrade ---


def test_the_cpu_answers_until_the_engine_is_proven(predictor, tmp_path):
    building, go_on = threading.Event(), threading.Event()

    class Waiting(TensorRtGpu):
        def load(self, *args, **options):
            building.set()
            assert go_on.wait(60)
            return super().load(*args, **options)

    fake = backend(Machine(), engines=tmp_path)
    accelerator = Waiting(tmp_path, find=fake._find, trt=fake._trt, cuda=fake._cuda, timed_runs=3)
    upgrade = Upgrade(accelerator, [(manifest(), predictor)], threads=1)
    changes = []
    upgrade.start(lambda: changes.append(upgrade.summary()))
    assert building.wait(60)
    first = predictor.predict(BATCH)
    assert predictor.ref.backend == "onnxruntime-cpu"
    assert "the CPU answers meanwhile" in upgrade.summary()
    assert upgrade.reads_with == "onnxruntime-cpu"
    go_on.set()
    assert upgrade.join(100)
    second = predictor.predict(BATCH)
    assert predictor.ref == replace(predictor._first.ref, backend="tensorrt-gpu")
    assert upgrade.reads_with == "tensorrt-gpu"
    assert "reads here" in changes[-1]
    assert np.abs(first.logits - second.logits).max() < 1.0
    assert check_golden(predictor, manifest()).ok


def test_a_gpu_that_computes_wrongly_does_not_read(predictor, tmp_path):
    upgrade = done(backend(Machine(offset=0.5), engines=tmp_path), predictor)
    assert predictor.live.backend == "onnxruntime-cpu"
    assert "golden vectors differ by" in upgrade.summary()
    assert list(tmp_path.glob("*.engine")) == []
    assert "golden vectors" in (
        backend(Machine(), engines=tmp_path).failure(manifest().path("model.trt.onnx")) or ""
    )


def test_a_kept_engine_that_computes_wrongly_now_does_not_read(predictor, tmp_path):
    machine = Machine()
    done(backend(machine, engines=tmp_path), predictor)
    machine.offset = 5.0
    predictor.switch(predictor._first)
    done(backend(machine, engines=tmp_path), predictor)
    assert predictor.live.backend == "onnxruntime-cpu"
    assert list(tmp_path.glob("*.engine")) == []


def test_after_a_failure_a_new_start_tries_again(predictor, tmp_path):
    done(backend(Machine(broken={"build"}), engines=tmp_path), predictor)
    assert predictor.live.backend == "onnxruntime-cpu"
    done(backend(Machine(), engines=tmp_path), predictor)
    assert predictor.live.backend == "tensorrt-gpu"


def test_a_gpu_that_dies_while_it_reads_is_told(predictor):
    machine = Machine()
    upgrade = done(backend(machine), predictor)
    machine.broken.add("run")
    predictor.predict(BATCH)
    assert predictor.ref.backend == "onnxruntime-cpu"
    assert "the CPU answers again" in upgrade.summary()


def test_without_a_gpu_the_reason_is_told(predictor):
    upgrade = done(TensorRtGpu(find=lambda: "no usable GPU: none"), predictor)
    assert upgrade.summary() == "no usable GPU: none"
    assert predictor.live.backend == "onnxruntime-cpu"


def test_a_package_without_that_graph_stays_on_the_cpu(predictor):
    files = {k: v for k, v in manifest().files.items() if k != "model.trt.onnx"}
    upgrade = Upgrade(
        backend(Machine()), [(replace(manifest(), files=files), predictor)], threads=1
    )
    upgrade.run()
    assert "the package has no model.trt.onnx" in upgrade.summary()
    assert Upgrade(backend(Machine()), [], threads=1).reads_with == ""


def test_closing_gives_up_what_is_tried_and_begins_nothing_more(predictor, tmp_path):
    upgrades: list[Upgrade] = []

    class Closing(TensorRtGpu):
        def load(self, model_path, threads, *, prove=None):
            self.cache.begin(self.key(model_path))
            upgrades[0].close()
            assert list(tmp_path.glob("*.attempt.json")) == []
            raise BackendUnavailableError("the process ends")

    fake = backend(Machine(), engines=tmp_path)
    closing = Closing(tmp_path, find=fake._find, trt=fake._trt, cuda=fake._cuda)
    other = SwitchingPredictor(numbered("cpu"))
    upgrades.append(
        Upgrade(closing, [(manifest(), predictor), (replace(manifest(), id="m"), other)], threads=1)
    )
    upgrades[0].run()
    assert upgrades[0].states[f"m {manifest().version}"] == "waits"
    upgrades[0].close()


# --- in the appliance ---


def test_the_worker_gets_an_upgrade_of_its_models(tmp_path):
    key = EngineKey("0" * 64, "10.3", "Orin")
    EngineCache(tmp_path / "engines").keep(key, KeptEngine(b"of a model that is gone", "int8"))
    config = Config()
    models = load_models(config, tmp_path)
    assert build_upgrade(config, tmp_path, models).reads_with == "onnxruntime-cpu"
    assert list((tmp_path / "engines").iterdir()) == []
    upgrade = build_upgrade(config, tmp_path, models, backend(Machine()))
    upgrade.run()
    assert upgrade.reads_with == "tensorrt-gpu", upgrade.summary()


def test_check_tells_why_an_engine_could_not_be_made(tmp_path):
    made = backend(Machine(), engines=tmp_path)
    assert _engine_failures(made, tmp_path) is None
    with pytest.raises(BackendUnavailableError):
        made.load(manifest().path(made.graph), 1, prove=lambda _: "too far")
    assert "too far" in (_engine_failures(made, tmp_path) or "")
    assert backend_troubles(tmp_path)["onnxruntime-cpu"] is None


# --- what "agrees" means ---


def test_the_tolerance_is_the_packages_own_or_the_cpus(predictor):
    exact = predictor
    off = SwitchingPredictor(predictor)
    golden = manifest().golden
    assert check_parity(off, exact, manifest()).tolerance == golden.cpu_tolerance
    tight = replace(manifest(), golden=replace(golden, tensorrt_tolerance=0.01))
    check = check_parity(off, exact, tight)
    assert check.ok
    assert (check.tolerance, check.max_abs_difference) == (0.01, 0.0)
