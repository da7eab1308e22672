"""What runs inside a peer test's network namespace: a courier, and questions to the peer.

``python -m tests.peers.inside drain FOLDER TARGET`` drains the outbox of the box in FOLDER;
``... get URL USER PASSWORD`` prints the answer to a GET.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

import httpx

from appliance.sync.courier import Courier
from appliance.sync.cstore import CStoreTransport
from appliance.sync.stow import StowTransport
from appliance.sync.transport import Transport
from tests.sync.box import Box
from tests.sync.seeds import rows


def transport(target: dict[str, str]) -> Transport:
    timeout_s = float(target.get("timeout_s", "5"))
    if target["kind"] == "stow":
        return StowTransport(
            target["url"], user=target["user"], password=target["password"], timeout_s=timeout_s
        )
    return CStoreTransport(
        "127.0.0.1",
        int(target["port"]),
        called_ae_title=target["ae_title"],
        calling_ae_title="WAYPOST",
        timeout_s=timeout_s,
    )


def drain(folder: Path, target: dict[str, str]) -> None:
    box = Box(folder)
    courier = Courier(
        box.store,
        {"hub": transport(target)},
        box.payloads,
        owner="courier-1",
        clock=time.time,
        random=random.random,
        lease_s=60,
    )
    deadline = time.monotonic() + float(target.get("seconds", "20"))
    while time.monotonic() < deadline:
        courier.run_once()
        if {row["state"] for row in rows(box.store).values()} <= {"delivered", "dead"}:
            break
        time.sleep(0.1)
    found = rows(box.store)
    said = {uid: [row["state"], row["last_error"]] for uid, row in found.items()}
    sys.stdout.write(json.dumps(said))


def get(url: str, user: str, password: str) -> None:
    answer = httpx.get(url, auth=(user, password), trust_env=False, timeout=10)
    sys.stdout.buffer.write(answer.raise_for_status().content)


if __name__ == "__main__":
    if sys.argv[1] == "drain":
        drain(Path(sys.argv[2]), json.loads(sys.argv[3]))
    else:
        get(*sys.argv[2:])
