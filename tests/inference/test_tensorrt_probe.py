"""Looking for a GPU in a child process: however the child ends, there is an answer."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.inference.gpu_probe import Gpu, _gpu_name, find_gpu, probe

ROOT = Path(__file__).resolve().parents[2]


def child(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_a_child_that_answers_names_the_gpu():
    told = child("""print('noise'); print('{"name": "Orin", "tensorrt": "10.3.0"}')""")
    assert probe(told) == Gpu("Orin", "10.3.0")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed .*SIGSEGV"),
        ("import os; os.abort()", "crashed .*SIGABRT"),
        ("import sys; sys.exit('there is no driver')", "there is no driver"),
        ("import sys; sys.exit(7)", "status 7"),
        ("print('hello')", "no answer"),
        ("", "no answer"),
        ("print('[]')", "no answer"),
    ],
)
def test_a_child_that_does_not_is_a_reason(code, reason):
    answer = probe(child(code))
    assert isinstance(answer, str)
    assert answer.startswith("no usable GPU: ")
    assert re.search(reason, answer)


def test_a_child_that_hangs_is_ended():
    answer = probe(child("import time; time.sleep(60)"), timeout_s=0.5)
    assert answer == "no usable GPU: looking for one took more than 0.5 seconds"


def test_a_child_that_cannot_be_started_is_a_reason():
    assert "could not be looked for" in str(probe(("/nowhere/python",)))


def test_the_real_child_ends_in_order_here():
    ended = subprocess.run(
        [sys.executable, "-m", "appliance.inference.gpu_probe"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if ended.returncode == 0:
        assert '"tensorrt"' in ended.stdout
    else:
        assert "driver" in ended.stderr or "tensorrt" in ended.stderr


def test_it_is_found_out_once():
    assert find_gpu() is find_gpu()


class Driver:
    """`libcuda` by name; `code` is what `failing` answers."""

    def __init__(self, failing: str = "") -> None:
        self._failing = failing

    def __getattr__(self, name: str):
        def call(*arguments) -> int:
            if name == "cuDeviceGetName":
                arguments[0].value = b"Orin (nvgpu)"
            return 100 if name == self._failing else 0

        return call


def test_the_driver_names_the_gpu_or_says_no():
    assert _gpu_name(lambda _: Driver()) == "Orin (nvgpu)"
    with pytest.raises(SystemExit, match="cuInit answered 100"):
        _gpu_name(lambda _: Driver("cuInit"))

    def none(name: str) -> Driver:
        raise OSError(name)

    with pytest.raises(SystemExit, match="no NVIDIA driver"):
        _gpu_name(none)
