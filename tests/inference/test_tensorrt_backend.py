"""One contract for every engine, then what only TensorRT does: variants, kept engines, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from appliance.errors import BackendUnavailableError, InferenceError
from appliance.inference import registry
from appliance.inference.engine_cache import EngineCache, EngineKey, KeptEngine
from appliance.inference.onnxruntime_cpu import OnnxRuntimeCpu
from appliance.inference.tensorrt_gpu import TensorRtGpu, possible_variants
from tests.inference.fake_tensorrt.machine import Machine
from tests.inference.tensorrt_parts import GENERATIONS, backend, with_float_weights
from tests.models import manifest

GRAPH = manifest().path("model.trt.onnx")
SIDE = manifest().input.side_px
BATCH = np.random.default_rng(5).normal(0, 1, (1, 1, SIDE, SIDE)).astype(np.float32)


@pytest.fixture(scope="session")
def float_weights(tmp_path_factory) -> Path:
    return with_float_weights(GRAPH, tmp_path_factory.mktemp("graph") / "model.trt.onnx")


@pytest.fixture(scope="session")
def exact() -> tuple[np.ndarray, ...]:
    return OnnxRuntimeCpu(exact=True).load(GRAPH, 1).run(BATCH)


def graph_of(name: str, float_weights: Path) -> Path:
    return float_weights if name == "8.5" else GRAPH


@pytest.fixture(params=["onnxruntime", *GENERATIONS])
def engine(request, float_weights):
    """A backend with a graph that it takes."""
    if request.param == "onnxruntime":
        return OnnxRuntimeCpu(), manifest().path("model.cpu.onnx")
    return backend(Machine(), request.param), graph_of(request.param, float_weights)


# --- the contract ---


def test_it_says_who_it_is_and_what_it_needs(engine):
    made, _ = engine
    assert made.name
    assert made.requires
    assert made.graph in manifest().files
    assert made.is_available() is None


def test_it_answers_in_the_graphs_order_with_float32(engine, exact):
    made, graph = engine
    logits, cam = made.load(graph, 1).run(BATCH)
    assert logits.dtype == cam.dtype == np.float32
    assert (logits.shape, cam.shape) == ((1, 1), exact[1].shape)
    assert abs(float(logits[0, 0] - exact[0][0, 0])) < 1.0


def test_an_answer_is_not_overwritten_by_the_next(engine):
    made, graph = engine
    session = made.load(graph, 1)
    first = session.run(BATCH)[0]
    kept = first.copy()
    session.run(np.zeros_like(BATCH))
    assert np.array_equal(first, kept)


def test_another_shape_is_an_error(engine):
    made, graph = engine
    with pytest.raises(InferenceError, match="failed on this image"):
        made.load(graph, 1).run(np.zeros((1, 1, 8, 8), np.float32))


def test_a_damaged_graph_is_an_error(engine, tmp_path):
    made, _ = engine
    (tmp_path / made.graph).write_bytes(b"damaged")
    with pytest.raises(BackendUnavailableError, match=made.graph):
        made.load(tmp_path / made.graph, 1)


# --- the generations ---


@pytest.mark.parametrize(
    ("generation", "names"),
    [
        ("8.5", ["int8 and fp32", "int8 and fp16"]),
        ("10.3", ["int8 as the graph says", "int8 and fp16"]),
        ("11.4", ["int8 as the graph says"]),
    ],
)
def test_each_generation_builds_what_its_names_allow(generation, names):
    module = GENERATIONS[generation](Machine())
    assert [variant.name for variant in possible_variants(module)] == names


@pytest.mark.parametrize(
    ("generation", "built"),
    [("8.5", ["int8", "fp16+int8"]), ("10.3", ["typed", "fp16+int8"]), ("11.4", ["typed"])],
)
def test_all_its_forms_are_built_with_the_flags_they_need(generation, built, float_weights):
    machine = Machine()
    backend(machine, generation).load(graph_of(generation, float_weights), 1)
    assert machine.built == built


def test_the_fakes_have_the_names_of_their_version_and_no_others():
    v8, v10, v11 = (make(Machine()) for make in GENERATIONS.values())
    for module in (v8, v10):
        assert hasattr(module.BuilderFlag, "FP16")
        assert hasattr(module.BuilderFlag, "INT8")
        assert hasattr(module.BuilderFlag, "OBEY_PRECISION_CONSTRAINTS")
        assert hasattr(module.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH")
        assert hasattr(module.OnnxParser, "supports_model")
    for name in ("FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"):
        assert not hasattr(v11.BuilderFlag, name)
    assert not hasattr(v11.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH")
    assert not hasattr(v11.OnnxParser, "supports_model")
    assert not hasattr(v8.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")
    for module in (v10, v11):
        assert hasattr(module.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")
        assert hasattr(module.OnnxParser, "supports_model_v2")
        assert hasattr(module.BuilderFlag, "VERSION_COMPATIBLE")
        assert hasattr(module.BuilderFlag, "STRIP_PLAN")


def test_tensorrt_8_refuses_8_bit_weights_and_says_so():
    made = backend(Machine(), "8.5")
    with pytest.raises(BackendUnavailableError, match="invalid weights type of Int8"):
        made.load(GRAPH, 1)


def test_no_generation_takes_the_graph_of_the_cpu(engine):
    made, _ = engine
    if made.name == "onnxruntime-cpu":
        pytest.skip("it is this engine's own")
    with pytest.raises(BackendUnavailableError, match="made no engine"):
        made.load(manifest().path("model.cpu.onnx"), 1)


# --- the choice among forms ---


@pytest.mark.parametrize(
    ("slow", "variant"),
    [({"typed": 0.01}, "int8 and fp16"), ({"fp16": 0.01}, "int8 as the graph says")],
)
def test_the_faster_form_is_kept_and_both_times_are_noted(tmp_path, slow, variant):
    machine = Machine(slow_s=slow)
    backend(machine, engines=tmp_path).load(GRAPH, 1)
    (sidecar,) = [p for p in tmp_path.glob("*.json") if "attempt" not in p.name]
    told = json.loads(sidecar.read_text())
    assert told["variant"] == variant
    assert set(told["latencies_ms"]) == {"int8 as the graph says", "int8 and fp16"}
    assert told["key"]["gpu"] == "Orin"
    assert len(machine.streams) == 1, "the slower engine gave its memory back"
    assert len(machine.memory) == 3


def test_a_form_that_does_not_prove_itself_is_not_chosen():
    machine = Machine()
    seen = []

    def prove(session) -> str | None:
        seen.append(session)
        return "too far" if len(seen) == 1 else None

    backend(machine).load(GRAPH, 1, prove=prove)
    assert len(seen) == 2
    assert len(machine.streams) == 1


def test_when_none_proves_itself_each_reason_is_told():
    machine = Machine()
    with pytest.raises(BackendUnavailableError) as caught:
        backend(machine).load(GRAPH, 1, prove=lambda _: "too far")
    assert caught.value.text.count("too far") == 2
    assert machine.memory == {}
    assert machine.streams == set()


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        ("build", "could not be built: no tactic was found"),
        ("load", "cannot be loaded"),
        ("context", "no room for this engine"),
        ("run", "failed on this image"),
        ("memory", "cudaMalloc answered 2"),
    ],
)
def test_whatever_fails_on_the_gpu_is_a_reason(broken, text):
    with pytest.raises(BackendUnavailableError, match=text):
        backend(Machine(broken={broken})).load(GRAPH, 1)


def test_a_closed_session_does_not_run():
    session = backend(Machine()).load(GRAPH, 1)
    session.close()
    session.close()
    with pytest.raises(InferenceError, match="closed"):
        session.run(BATCH)


def test_an_unexpected_error_of_tensorrt_is_a_reason_that_is_remembered(tmp_path):
    made = backend(Machine(), engines=tmp_path)

    def gone():
        raise RuntimeError("no symbol")

    broken = TensorRtGpu(tmp_path, find=made._find, trt=gone)
    with pytest.raises(BackendUnavailableError, match="no symbol"):
        broken.load(GRAPH, 1)
    assert "no symbol" in (broken.failure(GRAPH) or "")
    made.load(GRAPH, 1)
    assert made.failure(GRAPH) is None


# --- kept engines ---


def kept_file(folder: Path) -> Path:
    (path,) = folder.glob("*.engine")
    return path


def test_a_kept_engine_is_found_again(tmp_path):
    machine = Machine()
    backend(machine, engines=tmp_path).load(GRAPH, 1)
    answer = backend(machine, engines=tmp_path).load(GRAPH, 1).run(BATCH)
    assert len(machine.built) == 2, "nothing was built the second time"
    assert len(answer) == 2
    assert list(tmp_path.glob("*.part")) == []


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "sidecar", "no sidecar", "no engine"])
def test_a_damaged_engine_is_built_anew(tmp_path, damage):
    machine = Machine()
    backend(machine, engines=tmp_path).load(GRAPH, 1)
    path = kept_file(tmp_path)
    content = path.read_bytes()
    sidecar = path.with_suffix(".json")
    if damage == "flip":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "sidecar":
        sidecar.write_text("{")
    elif damage == "no sidecar":
        sidecar.unlink()
    else:
        path.unlink()
    backend(machine, engines=tmp_path).load(GRAPH, 1)
    assert len(machine.built) == 4
    assert kept_file(tmp_path).read_bytes()


def test_an_engine_of_another_version_or_gpu_is_built_anew(tmp_path):
    machine = Machine()
    backend(machine, "10.3", tmp_path).load(GRAPH, 1)
    backend(machine, "11.4", tmp_path).load(GRAPH, 1)
    assert len(machine.built) == 3
    backend(machine, "11.4", tmp_path, gpu="Thor").load(GRAPH, 1)
    assert len(machine.built) == 4
    assert len(list(tmp_path.glob("*.engine"))) == 1


def test_a_kept_engine_that_no_longer_proves_itself_is_built_anew(tmp_path):
    machine = Machine()
    backend(machine, engines=tmp_path).load(GRAPH, 1)
    answers = iter(["drifted", None, None])
    backend(machine, engines=tmp_path).load(GRAPH, 1, prove=lambda _: next(answers))
    assert len(machine.built) == 4


def test_an_engine_that_cannot_be_kept_reads_all_the_same(tmp_path, caplog):
    occupied = tmp_path / "engines"
    occupied.write_text("a file where the folder should be")
    assert backend(Machine(), engines=occupied).load(GRAPH, 1).run(BATCH)
    assert "not kept" in caplog.text


def test_engines_of_graphs_that_are_gone_are_removed(tmp_path):
    cache = EngineCache(tmp_path)
    old, new = (EngineKey(letter * 64, "10.3", "Orin") for letter in "ab")
    for key in (old, new):
        cache.keep(key, KeptEngine(b"engine", "int8"))
        cache.begin(key)
    (tmp_path / "notes.txt").write_text("not ours")
    (tmp_path / f"{'b' * 16}.engine.12.part").write_bytes(b"cut off")
    cache.keep_only({new.graph_sha256})
    assert cache.find(old) is None
    assert cache.find(new) == KeptEngine(b"engine", "int8", {})
    assert {path.name.split(".")[0] for path in tmp_path.iterdir()} == {"b" * 16, "notes"}
    assert not list(tmp_path.glob("*.part"))
    EngineCache(tmp_path / "none").keep_only(set())


def test_a_try_that_ends_the_process_three_times_is_not_made_again(tmp_path):
    key = EngineKey("a" * 64, "10.3", "Orin")
    cache = EngineCache(tmp_path)
    assert [EngineCache(tmp_path).begin(key) for _ in range(3)] == [None] * 3
    assert "ended the process" in (cache.begin(key) or "")
    assert "ended the process" in (cache.failure(key) or "")
    assert cache.begin(EngineKey("a" * 64, "11.4", "Orin")) is None, "another key is tried"


def test_a_try_that_was_given_up_in_good_order_does_not_count(tmp_path):
    made = backend(Machine(), engines=tmp_path)
    key = made.key(GRAPH)
    assert key is not None
    for _ in range(5):
        assert made.cache.begin(key) is None
        made.give_up(GRAPH)


# --- without a GPU ---


def test_here_it_says_why_it_cannot_run_unless_it_can():
    made = TensorRtGpu()
    reason = made.is_available()
    assert made in registry.BACKENDS or made.name in {b.name for b in registry.BACKENDS}
    if reason is not None:
        assert "tensorrt" in reason or "GPU" in reason
        with pytest.raises(BackendUnavailableError, match="requires"):
            made.load(GRAPH, 1)
        assert made.failure(GRAPH) is None
        made.give_up(GRAPH)


def test_the_one_that_answers_at_once_is_chosen():
    assert registry.choose().name == "onnxruntime-cpu"
