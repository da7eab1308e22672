"""Durable C-STORE: 40 films of 7 MB over one association from DCMTK's storescu, beside Orthanc.

Both receivers take the same files in turn, three rounds, in one network namespace made for it
(Orthanc cannot bind to loopback alone). Waypost runs whole: its worker reads meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.machine import big_film, copies, describe, save
from tests.e2e.appliance import running

if TYPE_CHECKING:
    from collections.abc import Iterator

FILMS = 40
ROUNDS = 3
BAR = 0.5
NAMESPACE = "waypost-bench"
ORTHANC_PORT = 14242


def main() -> None:
    """Make the namespace and measure in it."""
    if "--inside" in sys.argv:
        measure()
        return
    for tool in ("storescu", "Orthanc", "ip"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is missing: apt-get install dcmtk orthanc iproute2")
    if os.geteuid() != 0:
        sys.exit("network namespaces need root")
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    try:
        inside = ["ip", "netns", "exec", NAMESPACE]
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        ended = subprocess.run([*inside, sys.executable, __file__, "--inside"], check=False)
    finally:
        subprocess.run(["ip", "netns", "delete", NAMESPACE], check=True)
    sys.exit(ended.returncode)


def measure() -> None:
    """Send to both in turn; print and write films a second and their ratio."""
    machine = describe()
    rates: dict[str, list[float]] = {"waypost": [], "orthanc": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running(folder / "data") as box, orthanc(folder) as port:
            for number in range(ROUNDS):
                films = _write(folder / f"films{number}")
                rates["waypost"].append(_send(films, box.port, "WAYPOST"))
                rates["orthanc"].append(_send(films, port, "ORTHANC"))
                shutil.rmtree(films)
            stored = sum(box.get("/api/worklist")[key] for key in ("open", "reviewed"))
    assert stored == FILMS * ROUNDS, stored
    ratios = [ours / theirs for ours, theirs in zip(*rates.values(), strict=True)]
    result = {
        "machine": machine,
        "films": FILMS,
        "rounds": ROUNDS,
        "films_per_s": {name: [round(x, 2) for x in values] for name, values in rates.items()},
        "ratio_median": round(statistics.median(ratios), 2),
        "ratios": [round(x, 2) for x in ratios],
    }
    for name, values in rates.items():
        shown = "  ".join(f"{value:6.2f}" for value in values)
        print(f"{name:>8}  {shown}  films/s")
    print(f"ratio (median of {ROUNDS}): {result['ratio_median']}")
    save("ingest_rate", result)
    sys.exit(0 if result["ratio_median"] >= BAR else f"missed: below {BAR}")


def _write(folder: Path) -> Path:
    folder.mkdir()
    for number, content in enumerate(copies(big_film(), FILMS)):
        (folder / f"{number:03d}.dcm").write_bytes(content)
    return folder


def _send(folder: Path, port: int, ae_title: str) -> float:
    command = ["storescu", "-aec", ae_title, "+sd", "127.0.0.1", str(port), str(folder)]
    started = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return FILMS / (time.monotonic() - started)


@contextlib.contextmanager
def orthanc(folder: Path) -> Iterator[int]:
    """Run Orthanc with its own storage until the block ends."""
    settings = {
        "StorageDirectory": str(folder / "orthanc"),
        "IndexDirectory": str(folder / "orthanc"),
        "HttpPort": 18042,
        "DicomPort": ORTHANC_PORT,
        "DicomAet": "ORTHANC",
        "Plugins": [],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowStore": True,
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    process = subprocess.Popen(
        ["Orthanc", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", ORTHANC_PORT)) == 0:
                    break
            time.sleep(0.1)
        yield ORTHANC_PORT
    finally:
        process.terminate()
        process.wait(20)


if __name__ == "__main__":
    main()
