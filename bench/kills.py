"""At least 200 random kill -9 of the receiver and the worker while a station sends; a full disk.

Afterwards every acknowledged instance must be there with its bytes, read exactly once, and the
database whole. The full disk (root only: a small tmpfs) must answer A7xx and recover.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from appliance.store.database import Store
from bench.machine import describe, save
from tests.builders import make_cr
from tests.e2e.appliance import Running, running, send, wait_until

SEED = 20261124


def main() -> None:
    """Kill, send, look; print and write what was found; exit 1 when anything was lost."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    kills = parser.parse_args().kills
    result: dict[str, Any] = {"machine": describe(), "seed": SEED}
    with tempfile.TemporaryDirectory() as folder:
        result["kills"] = run_kills(Path(folder) / "data", kills)
    print(result["kills"])
    if os.geteuid() == 0:
        result["full_disk"] = run_full_disk()
        print(result["full_disk"])
    else:
        print("the full disk needs root for a small tmpfs: skipped")
    save("kills", result)
    bad = [key for key in ("lost", "read_twice", "unread", "damaged") if result["kills"][key]]
    if result["kills"]["database"] != "ok" or bad:
        sys.exit(f"violated: {bad or 'database'}")


def run_kills(data: Path, kills: int) -> dict[str, Any]:
    """Send small films all the time while processes are killed; return what was found."""
    chance = random.Random(SEED)
    acknowledged: dict[str, str] = {}
    done = threading.Event()
    with running(data) as box:
        sender = threading.Thread(target=_keep_sending, args=(box, acknowledged, done))
        sender.start()
        killed = {"receive": 0, "worker": 0}
        try:
            for _ in range(kills):
                name = chance.choice(tuple(killed))
                work = {"receive": lambda: len(acknowledged), "worker": lambda: _readings(data)}
                if chance.random() < 0.95:  # most kills fall into work, some into a start
                    before = work[name]()
                    wait_until(lambda: work[name]() > before, 60)  # noqa: B023
                time.sleep(chance.uniform(0.0, 0.2))
                _kill(box, name)
                killed[name] += 1
        finally:
            done.set()
            sender.join(60)
        settled = wait_until(lambda: _open_jobs(data) == 0, 120)
    found = inspect(data, acknowledged)
    return {"killed": killed, "settled": settled, "acknowledged": len(acknowledged), **found}


def _kill(box: Running, name: str) -> None:
    assert wait_until(lambda: name in box.pids(), 30), f"{name} did not come back"
    with contextlib.suppress(ProcessLookupError):
        os.kill(box.pids()[name], signal.SIGKILL)


def _keep_sending(box: Running, acknowledged: dict[str, str], done: threading.Event) -> None:
    number = 0
    while not done.is_set():
        batch = []
        for _ in range(5):
            number += 1
            uid = f"1.2.826.0.1.3680043.9.7433.{number}"
            batch.append((uid, make_cr(rows=240, columns=240, sop_instance_uid=uid)))
        statuses = send(box, [content for _, content in batch], timeout_s=1.5)
        for (uid, content), status in zip(batch, statuses, strict=True):
            if status == 0x0000:
                acknowledged[uid] = hashlib.sha256(content).hexdigest()
        if None in statuses:
            time.sleep(0.1)


def _open_jobs(data: Path) -> int:
    return _count(data, "select count(*) from job where state <> 'done'")


def _readings(data: Path) -> int:
    return _count(data, "select count(*) from reading")


def _count(data: Path, query: str) -> int:
    store = Store(data / "waypost.db")
    try:
        with store.read() as db:
            return int(db.execute(query).fetchone()[0])
    finally:
        store.close()


def inspect(data: Path, acknowledged: dict[str, str]) -> dict[str, Any]:
    """Hold the store against what was acknowledged."""
    store = Store(data / "waypost.db")
    try:
        with store.read() as db:
            kept = {
                row["sop_instance_uid"]: row
                for row in db.execute(
                    "select sop_instance_uid, sha256, (select count(*) from reading"
                    " where instance_id = instance.id) as readings from instance"
                    " where state <> 'quarantined'"
                )
            }
            quarantined = db.execute(
                "select count(*) from instance where state = 'quarantined'"
            ).fetchone()[0]
        damaged = 0
        for row in kept.values():
            path = data / "files" / row["sha256"][:2] / row["sha256"]
            content = path.read_bytes() if path.is_file() else b""
            damaged += hashlib.sha256(content).hexdigest() != row["sha256"]
        return {
            "kept": len(kept),
            "lost": sum(uid not in kept for uid in acknowledged),
            "read_twice": sum(row["readings"] > 1 for row in kept.values()),
            "unread": sum(row["readings"] == 0 for row in kept.values()),
            "damaged": damaged,
            "quarantined": quarantined,
            "database": store.quick_check(),
        }
    finally:
        store.close()


def run_full_disk() -> dict[str, Any]:
    """Fill a 24 MB disk by sending, look at the answers, make room, send again."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], check=True)
        try:
            return _fill(Path(folder))
        finally:
            subprocess.run(["umount", folder], check=True)


def _fill(folder: Path) -> dict[str, Any]:
    ballast = folder / "ballast"
    films = [
        make_cr(rows=1000, columns=1000, sop_instance_uid=f"1.2.826.0.1.3680043.9.7433.9.{n}")
        for n in range(12)
    ]
    with running(folder / "data") as box:
        ballast.write_bytes(b"\0" * 6_000_000)
        first = send(box, films)
        ballast.unlink()
        full = [number for number, status in enumerate(first) if status != 0x0000]
        again = send(box, [films[number] for number in full[:2]])
    leftovers = [path.name for path in (folder / "data" / "files").glob("*/.*.part")]
    return {
        "answers": [f"{status:04X}" if status is not None else "none" for status in first],
        "after_room": [f"{status:04X}" if status is not None else "none" for status in again],
        "leftovers": len(leftovers),
    }


if __name__ == "__main__":
    main()
