from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from appliance.errors import InstallError
from appliance.supervisor import Role, Supervisor

# A role that becomes ready and waits; and one that ends before it is ready.
WAITS = """
import os, sys, time
fd = int(sys.argv[sys.argv.index("--ready-fd") + 1])
os.write(fd, b"127.0.0.1:%d\\n" % os.getpid())
time.sleep(60)
"""
ENDS = "import sys; sys.exit(3)"


def role(name: str, code: str) -> Role:
    return Role(name, (sys.executable, "-c", code))


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def wait_for(condition, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_all_are_ready_and_all_end():
    supervisor = Supervisor([role("a", WAITS), role("b", WAITS)])
    ready = supervisor.start()
    pids = supervisor.pids()
    assert ready == {name: f"127.0.0.1:{pid}" for name, pid in pids.items()}
    supervisor.shut_down()
    assert all(gone(pid) for pid in pids.values())


def test_one_that_does_not_start_ends_the_others():
    supervisor = Supervisor([role("a", WAITS), role("b", ENDS)])
    with pytest.raises(InstallError, match="The b process did not start"):
        supervisor.start()
    assert all(gone(pid) for pid in supervisor.pids().values())


def test_one_that_is_killed_comes_back_and_the_other_lives_on():
    supervisor = Supervisor([role("a", WAITS), role("b", WAITS)])
    supervisor.start()
    before = dict(supervisor.pids())
    watcher = threading.Thread(target=supervisor.run)
    watcher.start()
    try:
        os.kill(before["a"], signal.SIGKILL)
        assert wait_for(lambda: supervisor.pids()["a"] != before["a"])
        assert supervisor.pids()["b"] == before["b"]
        assert not gone(supervisor.pids()["a"])
    finally:
        supervisor.stop()
        watcher.join(10)
        supervisor.shut_down()
