"""A whole appliance as a child process, and a station that sends to it."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import build_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Look every 50 ms until `condition` holds; False when it never did."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


@dataclass
class Running:
    """A running appliance."""

    process: subprocess.Popen[str]
    data: Path
    web: str
    host: str
    port: int
    started_in_s: float

    def get(self, path: str) -> Any:
        """Return the JSON at a path of the pages."""
        with urllib.request.urlopen(f"{self.web}{path}", timeout=10) as answer:
            return json.loads(answer.read())

    def case(self, sop_instance_uid: str) -> Any | None:
        """Return the worklist's line of an instance, or None."""
        for line in self.get("/api/worklist?limit=500")["cases"]:
            if line["sop_instance_uid"] == sop_instance_uid:
                return line
        return None

    def await_case(self, sop_instance_uid: str, state: str, seconds: float = 20.0) -> Any:
        """Wait until an instance is in `state` and return its line."""

        def there() -> bool:
            line = self.case(sop_instance_uid)
            return line is not None and line["state"] == state

        assert wait_until(there, seconds), (sop_instance_uid, self.case(sop_instance_uid))
        return self.case(sop_instance_uid)

    def pids(self) -> dict[str, int]:
        """Return the process ids of the roles, by their command lines."""
        return {name: pid for pid, name in children(self.process.pid)}


def children(parent: int) -> Iterator[tuple[int, str]]:
    """Yield the pid and role of each direct child of the supervisor."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            stat = (entry / "stat").read_text().rsplit(") ", 1)[1].split()
            if int(stat[1]) != parent:
                continue
            words = (entry / "cmdline").read_text().split("\0")
            if "-m" in words:
                yield int(entry.name), words[words.index("-m") + 1].rsplit(".", 1)[-1]


@contextlib.contextmanager
def running(data: Path, *options: str, config: str = "") -> Iterator[Running]:
    """Run an appliance on free ports until the block ends."""
    data.mkdir(parents=True, exist_ok=True)
    if config:
        (data / "waypost.toml").write_text(config, encoding="utf-8")
    command = [sys.executable, "-m", "appliance.cli", "run", "--data", str(data)]
    command += ["--web", "127.0.0.1:0", "--dicom", "127.0.0.1:0", *options]
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        words = dict(word.split("=", 1) for word in line.split()[1:])
        host, port = words["dicom"].rsplit(":", 1)
        yield Running(process, data, words["web"], host, int(port), time.monotonic() - started)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(20)
        if process.stdout is not None:
            process.stdout.close()


def _listens(host: str, port: int) -> bool:
    """Look first: pynetdicom leaks the socket of a refused connection."""
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def send(
    appliance: Running,
    contents: Sequence[bytes],
    *,
    ae_title: str = "WAYPOST",
    timeout_s: float = 20.0,
    sent: Callable[[int, int], None] | None = None,
) -> list[int | None]:
    """Send files over one association; return the status of each (None: no answer)."""
    datasets = [dcmread(DicomBytesIO(content)) for content in contents]
    pairs = {(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID) for ds in datasets}
    contexts = [build_context(abstract, [transfer]) for abstract, transfer in sorted(pairs)]
    if not _listens(appliance.host, appliance.port):
        return [None] * len(datasets)
    ae = ApplicationEntity(ae_title="ROOM1")
    ae.acse_timeout, ae.dimse_timeout, ae.network_timeout = 3, timeout_s, timeout_s
    association = ae.associate(appliance.host, appliance.port, contexts, ae_title=ae_title)
    if not association.is_established:
        return [None] * len(datasets)
    statuses: list[int | None] = []
    for number, dataset in enumerate(datasets):
        try:
            status = association.send_c_store(dataset).get("Status")
        except (RuntimeError, ValueError, OSError):
            status = None
        statuses.append(status)
        if sent is not None and status is not None:
            sent(number, status)
    with contextlib.suppress(RuntimeError, OSError):
        association.release()
    return statuses
