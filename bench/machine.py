"""What the measures share: the machine, memory of a process tree, quantiles, the big film."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.uid import generate_uid

OUT = Path(__file__).parent / "out"


def describe() -> dict[str, Any]:
    """Return processor, cores, kernel, Python and date (UTC)."""
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "load_before": os.getloadavg()[0],
    }


def save(name: str, result: dict[str, Any]) -> None:
    """Keep a result as JSON and say where."""
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten: {path}")


def quantile(values: list[float], q: float) -> float:
    """Return the nearest-rank quantile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(q * len(ordered) + 0.5) - 1))]


def big_film() -> bytes:
    """Return the 7.2 MB CR chest film of ``pydicom-data``."""
    return (package_files("data_store") / "data" / "RG1_UNCR.dcm").read_bytes()


def copies(content: bytes, count: int) -> list[bytes]:
    """Return `count` copies of a DICOM file, each a SOP Instance of its own."""
    dataset = dcmread(DicomBytesIO(content))
    made = []
    for _ in range(count):
        uid = generate_uid()
        dataset.SOPInstanceUID = uid
        dataset.file_meta.MediaStorageSOPInstanceUID = uid
        buffer = DicomBytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        made.append(buffer.getvalue())
    return made


class MemoryWatch(threading.Thread):
    """Samples RSS and PSS, in bytes, of a process and all below it, and keeps the peaks."""

    def __init__(self, pid: int, every_s: float = 0.05) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._every_s = every_s
        self._ended = threading.Event()
        self.peak_rss_bytes = 0
        self.peak_pss_bytes = 0
        self.at_peak: dict[str, int] = {}

    def run(self) -> None:
        """Sample until `finish`."""
        while not self._ended.wait(self._every_s):
            rss = dict(self._sample("Rss:"))
            total = sum(rss.values())
            if total > self.peak_rss_bytes:
                self.peak_rss_bytes, self.at_peak = total, rss
                pss = sum(value for _, value in self._sample("Pss:"))
                self.peak_pss_bytes = max(self.peak_pss_bytes, pss)

    def _sample(self, field: str) -> list[tuple[str, int]]:
        found = []
        for pid, name in _tree(self._pid):
            try:
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            for line in text.splitlines():
                if line.startswith(field):
                    found.append((f"{name} {pid}", int(line.split()[1]) * 1024))
        return found

    def finish(self) -> None:
        """Stop sampling."""
        self._ended.set()
        self.join()


def _name(words: list[str]) -> str:
    if "-m" in words:
        return words[words.index("-m") + 1]
    return "appliance.decoder.child" if any("decoder" in word for word in words) else "other"


def _tree(root: int) -> list[tuple[int, str]]:
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            stat = (entry / "stat").read_text().rsplit(") ", 1)[1].split()
            words = (entry / "cmdline").read_text().split("\0")
        except OSError:
            continue
        parents[int(entry.name)] = int(stat[1])
        names[int(entry.name)] = _name(words)
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return [(pid, names.get(pid, "?")) for pid in found]
