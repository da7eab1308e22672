"""From the last byte of the 7.2 MB film to the committed reading: 30 sends, by stage.

Prints and writes the time to `ready`, the p50 and p95 of the whole way and of each stage, and the
peak memory of all processes together.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import build_context

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.machine import MemoryWatch, big_film, copies, describe, quantile, save
from tests.e2e.appliance import Running, running

SENDS = 30
BARS = {"p95_ms": 1000.0, "ready_s": 5.0, "peak_rss_mb": 700.0}


def main() -> None:
    """Measure, print, write; exit 1 when a bar is missed."""
    machine = describe()
    films = copies(big_film(), SENDS + 1)
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder) / "data", "--ae-title", "WAYPOST") as box,
    ):
        watch = MemoryWatch(box.process.pid)
        watch.start()
        rows = [_send(box, film) for film in films][1:]  # the first one warms up
        watch.finish()
        started_in_s = box.started_in_s
    result = {
        "machine": machine,
        "sends": SENDS,
        "film_bytes": len(films[0]),
        "ready_s": round(started_in_s, 2),
        "peak_rss_mb": round(watch.peak_rss_bytes / 1e6),
        "peak_pss_mb": round(watch.peak_pss_bytes / 1e6),
        "processes_mb": {name: round(size / 1e6) for name, size in watch.at_peak.items()},
        "stages_ms": {
            stage: {
                "p50": round(quantile([row[stage] for row in rows], 0.5), 1),
                "p95": round(quantile([row[stage] for row in rows], 0.95), 1),
            }
            for stage in rows[0]
        },
    }
    _show(result)
    save("latency", result)
    missed = [
        name
        for name, value in (
            ("p95_ms", result["stages_ms"]["total"]["p95"]),
            ("ready_s", result["ready_s"]),
            ("peak_rss_mb", result["peak_rss_mb"]),
        )
        if value > BARS[name]
    ]
    sys.exit(f"missed: {', '.join(missed)}" if missed else 0)


def _send(box: Running, content: bytes) -> dict[str, float]:
    dataset = dcmread(DicomBytesIO(content))
    ae = ApplicationEntity(ae_title="BENCH")
    last_byte = [0.0]

    def sent(event: evt.Event) -> None:
        if event.data[:1] == b"\x04":  # P-DATA-TF
            last_byte[0] = time.time()

    context = build_context(dataset.SOPClassUID, [dataset.file_meta.TransferSyntaxUID])
    association = ae.associate(
        box.host,
        box.port,
        [context],
        ae_title="WAYPOST",
        evt_handlers=[(evt.EVT_DATA_SENT, sent)],
        max_pdu=0,
    )
    status = association.send_c_store(dataset).get("Status")
    answered_at = time.time()
    last = last_byte[0]
    committed_at, body = _await(box.data / "waypost.db", str(dataset.SOPInstanceUID))
    association.release()
    assert status == 0x0000, status
    timings = json.loads(body)["timings"]
    answer = (answered_at - last) * 1000
    total = (committed_at - last) * 1000
    stages = {name: timings[name] for name in ("decode", "quality", "preprocess", "predict")}
    stages["explain"] = timings["explain"]
    rest = total - answer - timings["total"]
    return {"receive": answer, **stages, "wait, draw, commit": rest, "total": total}


def _await(path: Path, uid: str) -> tuple[float, str]:
    connection = sqlite3.connect(path)
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            row = connection.execute(
                "select body from reading join instance on instance.id = reading.instance_id"
                " where sop_instance_uid = ?",
                [uid],
            ).fetchone()
            if row is not None:
                return time.time(), str(row[0])
            time.sleep(0.005)
    finally:
        connection.close()
    raise SystemExit("no reading within 30 s")


def _show(result: dict) -> None:
    print(f"ready in {result['ready_s']} s; peak memory {result['peak_rss_mb']} MB RSS", end="")
    print(f" ({result['peak_pss_mb']} MB PSS)")
    for name, size in result["processes_mb"].items():
        print(f"  {size:5d} MB  {name}")
    print(f"{'ms':>24}  {'p50':>7} {'p95':>7}")
    for stage, row in result["stages_ms"].items():
        print(f"{stage:>24}  {row['p50']:7.1f} {row['p95']:7.1f}")


if __name__ == "__main__":
    main()
