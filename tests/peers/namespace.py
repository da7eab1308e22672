"""A network namespace with nothing but loopback, and the processes that a test starts in it."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_number = itertools.count()


def why_not() -> str:
    """Return why a namespace cannot be made here, or "" when it can."""
    if os.geteuid() != 0:
        return "a network namespace needs root"
    if shutil.which("ip") is None:
        return "ip (iproute2) is not here"
    name = f"waypost-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if made.returncode != 0:
        return "network namespaces are not allowed here"
    subprocess.run(["ip", "netns", "delete", name], check=True)
    return ""


class Namespace:
    def __init__(self) -> None:
        self.name = f"waypost-{os.getpid()}-{next(_number)}"
        self.enter = ("ip", "netns", "exec", self.name)
        self.processes: list[subprocess.Popen[bytes]] = []
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.link("up")

    def link(self, state: str) -> None:
        command = ["ip", "-n", self.name, "link", "set", "lo", state]
        subprocess.run(command, check=True)

    def slow_down(self, rate: str) -> None:
        """Make every packet pass a token bucket; `rate` as tc writes it, ``8mbit``."""
        # Loopback's own packets are larger than the bucket, which would drop them all.
        small = ["ip", "-n", self.name, "link", "set", "lo", "mtu", "1500"]
        subprocess.run(small, check=True)
        bucket = ["root", "tbf", "rate", rate, "burst", "64kb", "latency", "400ms"]
        subprocess.run(["tc", "-n", self.name, "qdisc", "add", "dev", "lo", *bucket], check=True)

    def start(self, *command: str, log: Path) -> None:
        with log.open("wb") as output:
            process = subprocess.Popen([*self.enter, *command], stdout=output, stderr=output)
        self.processes.append(process)

    def python(self, *arguments: str, check: bool = True) -> bytes:
        """Run `tests.peers.inside` here, and return what it printed."""
        done = subprocess.run(
            [*self.enter, sys.executable, "-m", "tests.peers.inside", *arguments],
            cwd=ROOT,
            capture_output=True,
            timeout=100,
            check=False,
        )
        if check:
            assert done.returncode == 0, done.stderr.decode()
        return done.stdout if done.returncode == 0 else b""

    def drain(self, folder: Path, **target: Any) -> dict[str, list[str]]:
        """Run a courier here; return the state and last error of each item."""
        said = self.python("drain", str(folder), json.dumps(target))
        found: dict[str, list[str]] = json.loads(said)
        return found

    def wait_for(self, done: Callable[[], object], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            assert all(process.poll() is None for process in self.processes), "a peer ended"
            assert time.monotonic() < deadline, "the peer did not come up"
            time.sleep(0.2)

    def close(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            _end(process)
        subprocess.run(["ip", "netns", "delete", self.name], check=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
