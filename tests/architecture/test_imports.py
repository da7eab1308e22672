"""What a fresh process carries: importing does nothing, and nothing heavy comes along."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEVICE = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in ("appliance", "web")
    for path in (ROOT / folder).rglob("*.py")
    if path.name not in {"__init__.py", "__main__.py"}
)
TRAINING = {"torch", "onnx", "pandas", "matplotlib", "sklearn", "scipy"}

_PROBE = """
import importlib, json, sys, threading
importlib.import_module(sys.argv[1])
print(json.dumps({"modules": sorted({name.split(".")[0] for name in sys.modules}),
                  "threads": threading.active_count()}))
"""


def carried(module: str) -> dict:
    ended = subprocess.run(
        [sys.executable, "-c", _PROBE, module],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        timeout=60,
    )
    assert ended.stdout.count("\n") == 1, "importing printed something"
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def all_at_once() -> dict:
    code = f"import importlib\nfor name in {DEVICE!r}: importlib.import_module(name)\n"
    probe = code + _PROBE.replace("importlib.import_module(sys.argv[1])", "")
    ended = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return json.loads(ended.stdout)


def test_no_training_library_comes_along(all_at_once):
    assert TRAINING.isdisjoint(all_at_once["modules"])


def test_importing_starts_nothing(all_at_once):
    assert all_at_once["threads"] == 1


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("web.app", {"onnxruntime", "pynetdicom", "cv2"}),
        ("appliance.processes.receive", {"onnxruntime", "flask", "cv2"}),
        ("appliance.processes.courier", {"onnxruntime", "flask"}),
        ("appliance.processes.run", {"onnxruntime", "flask", "cv2", "pydicom"}),
        ("appliance.decoder.child", {"onnxruntime", "flask", "pynetdicom", "sqlite_utils"}),
    ],
)
def test_each_process_carries_only_what_it_needs(module, without):
    assert without.isdisjoint(carried(module)["modules"])


def test_the_device_environment_has_no_torch():
    lock = (ROOT / "requirements" / "device.lock").read_text(encoding="utf-8")
    names = {line.split("==")[0] for line in lock.splitlines() if "==" in line}
    assert {"torch", "onnx", "pandas", "matplotlib", "scikit-learn"}.isdisjoint(names)


def test_the_lock_is_hashed_and_names_no_host():
    lock = (ROOT / "requirements" / "device.lock").read_text(encoding="utf-8")
    packages = [line for line in lock.splitlines() if "==" in line]
    assert packages
    assert lock.count("--hash=sha256:") >= len(packages)
    for path in (ROOT / "requirements").glob("*.lock"):
        assert "://" not in path.read_text(encoding="utf-8"), path.name
