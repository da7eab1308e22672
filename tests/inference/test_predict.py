from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance.domain import ModelRef
from appliance.errors import BackendUnavailableError, InferenceError, ManifestError
from appliance.inference import registry
from appliance.inference.onnxruntime_cpu import OnnxRuntimeCpu, _saturates
from appliance.inference.predict import Predictor, check_golden, load_predictor
from appliance.manifest import MANIFEST_NAME, ModelManifest, load_manifest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "models" / "cxr-pneumonia" / "1.0.0"
PACKAGES = sorted(path.parent for path in (ROOT / "models").glob(f"*/*/{MANIFEST_NAME}"))


@pytest.fixture(scope="module")
def manifest() -> ModelManifest:
    return load_manifest(PACKAGE)


@pytest.fixture(scope="module")
def predictor(manifest: ModelManifest) -> Predictor:
    return load_predictor(manifest, threads=1)


def noise(manifest: ModelManifest, seed: int) -> np.ndarray:
    side = manifest.input.side_px
    return np.random.default_rng(seed).normal(0, 1, (1, 1, side, side)).astype(np.float32)


class FakeSession:
    """Answers what it was given, as any engine might."""

    def __init__(self, *answer: np.ndarray) -> None:
        self._answer = answer

    def run(self, batch: np.ndarray) -> tuple[np.ndarray, ...]:
        return self._answer


class Absent(OnnxRuntimeCpu):
    name = "absent"

    def is_available(self) -> str | None:
        return "there is none"


@pytest.mark.parametrize("directory", PACKAGES, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_golden_vectors_agree_here(directory: Path) -> None:
    package = load_manifest(directory)
    check = check_golden(load_predictor(package, threads=1), package)
    assert check.ok
    assert check.max_abs_difference <= check.tolerance


def test_two_threads_answer_the_same(manifest: ModelManifest, predictor: Predictor) -> None:
    batch = noise(manifest, 1)
    other = load_predictor(manifest, threads=2).predict(batch)
    assert np.abs(other.logits - predictor.predict(batch).logits).max() < 1e-3


def test_the_map_adds_up_to_the_logit(manifest: ModelManifest, predictor: Predictor) -> None:
    biases = []
    for seed in range(4):
        prediction = predictor.predict(noise(manifest, seed))
        assert prediction.logits.dtype == prediction.cam.dtype == np.float32
        assert prediction.cam.shape == (
            1,
            manifest.input.side_px // 32,
            manifest.input.side_px // 32,
        )
        biases.append(prediction.logits - prediction.cam.mean(axis=(1, 2)))
    assert np.ptp(np.array(biases)) < 1e-5


def test_a_result_names_its_model(manifest: ModelManifest, predictor: Predictor) -> None:
    assert predictor.ref == ModelRef(
        "cxr-pneumonia", "1.0.0", manifest.files["model.cpu.onnx"], "onnxruntime-cpu"
    )


def test_no_torch_comes_along() -> None:
    program = (
        "import sys; from pathlib import Path;"
        "from appliance.manifest import load_manifest;"
        "from appliance.inference.predict import load_predictor, check_golden;"
        f"m = load_manifest(Path({str(PACKAGE)!r}));"
        "assert check_golden(load_predictor(m, threads=1), m).ok;"
        "heavy = {'torch', 'onnx', 'pandas', 'scipy', 'sklearn'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, timeout=60)


def test_another_network_fails_its_golden_vectors(manifest: ModelManifest) -> None:
    side = manifest.input.side_px // 32
    wrong = Predictor(
        FakeSession(np.zeros((1, 1), np.float32), np.zeros((1, 1, side, side), np.float32)),
        ModelRef("x", "1", "", "fake"),
        outputs=1,
    )
    check = check_golden(wrong, manifest)
    assert not check.ok
    assert check.max_abs_difference > check.tolerance


def test_golden_vectors_must_be_what_the_manifest_says(
    manifest: ModelManifest, predictor: Predictor, tmp_path: Path
) -> None:
    shutil.copy(PACKAGE / "golden.npz", tmp_path)
    one_more = replace(manifest.golden, n=manifest.golden.n + 1)
    with pytest.raises(ManifestError, match="does not hold"):
        check_golden(predictor, replace(manifest, golden=one_more))
    (tmp_path / "golden.npz").write_bytes(b"not an archive")
    with pytest.raises(ManifestError, match="cannot be read"):
        check_golden(predictor, replace(manifest, directory=tmp_path))


@pytest.mark.parametrize(
    "answer",
    [
        (np.zeros((1, 1), np.float32),),
        (np.zeros((1, 2), np.float32), np.zeros((1, 1, 6, 6), np.float32)),
        (np.zeros((1, 1), np.float32), np.zeros((1, 36), np.float32)),
        (np.full((1, 1), np.nan, np.float32), np.zeros((1, 1, 6, 6), np.float32)),
        (np.zeros((1, 1), np.float32), np.full((1, 1, 6, 6), np.inf, np.float32)),
    ],
)
def test_nonsense_is_an_error_and_never_an_answer(answer: tuple[np.ndarray, ...]) -> None:
    predictor = Predictor(FakeSession(*answer), ModelRef("x", "1", "", "fake"), outputs=1)
    with pytest.raises(InferenceError):
        predictor.predict(np.zeros((1, 1, 8, 8), np.float32))


def test_an_engine_that_fails_is_an_error(predictor: Predictor) -> None:
    with pytest.raises(InferenceError, match="ONNX Runtime failed"):
        predictor.predict(np.zeros((1, 1, 8, 8), np.float32))


def test_a_damaged_graph_is_said(tmp_path: Path) -> None:
    graph = tmp_path / "model.cpu.onnx"
    graph.write_bytes(b"damaged")
    with pytest.raises(BackendUnavailableError, match=r"cannot load model\.cpu\.onnx"):
        OnnxRuntimeCpu().load(graph, 1)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags\t\t: fpu sse2 avx2", True),
        ("flags\t\t: fpu sse2 avx2 avx512_vnni", False),
        ("flags\t\t: fpu sse2 avx2 avx_vnni", False),
        ("Features\t: fp asimd", False),
    ],
)
def test_exact_sums_are_asked_for_where_the_processor_saturates(
    tmp_path: Path, flags: str, *, expected: bool
) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(f"processor\t: 0\n{flags}\n")
    assert _saturates(info) is expected
    assert not _saturates(tmp_path / "absent")


def test_choose_takes_the_first_that_can_run() -> None:
    cpu = OnnxRuntimeCpu()
    assert registry.choose((Absent(), cpu)) is cpu
    assert registry.choose() in registry.BACKENDS
    with pytest.raises(BackendUnavailableError, match="absent: there is none"):
        registry.choose((Absent(),))


def test_an_absent_engine_says_what_it_needs() -> None:
    with pytest.raises(BackendUnavailableError, match=r"there is none: install .*onnxruntime"):
        Absent().load(PACKAGE / "model.cpu.onnx", 1)
