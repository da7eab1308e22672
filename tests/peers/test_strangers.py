"""End to end with strangers, in a namespace that has no route to anywhere."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers.namespace import ROOT, Namespace, why_not
from tests.peers.test_sync_peers import HTTP, PASSWORD, USER, needs_orthanc, start_orthanc

pytestmark = [
    pytest.mark.peers,
    pytest.mark.root,
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
    pytest.mark.skipif(shutil.which("storescu") is None, reason="needs DCMTK"),
    pytest.mark.skipif(not Path("/usr/bin/chromium").exists(), reason="needs Debian's chromium"),
]


@needs_orthanc
def test_strangers_send_see_and_keep_without_any_route(namespace: Namespace, tmp_path: Path):
    start_orthanc(namespace, tmp_path)
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    config = f"""
[[target]]
name = "by C-STORE"
kind = "cstore"
host = "127.0.0.1"
port = 14242
ae_title = "HUB"

[[target]]
name = "by STOW-RS"
kind = "stow"
url = "{HTTP}/dicom-web"
user = "{USER}"
password_file = "{password}"
"""
    ended = subprocess.run(
        [*namespace.enter, sys.executable, "-m", "tests.peers.strangers", str(tmp_path), config],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    seen = json.loads(ended.stdout.splitlines()[-1])
    assert seen["route"] == ""
    assert seen["storescu"] == 0
    assert seen["dcmsend"].count("0x0000") >= 2 or "SUCCESS" in seen["dcmsend"].upper()
    assert seen["wrong_title"][0] != 0
    assert "Called AE Title Not Recognized" in seen["wrong_title"][1]
    assert seen["settled"]
    assert seen["same_page"]
    assert seen["foreign"] == []
    assert seen["states"]["1.2.3.4.3"] == "refused"
    assert seen["delivered"], seen["deliveries"]
    read = [uid for uid, state in seen["states"].items() if state in {"read", "abstained"}]
    for uid, deliveries in seen["deliveries"].items():
        wanted = 4 if uid in read else 2
        assert deliveries == {"open": 0, "done": wanted, "dead": 0}, uid
    found = json.loads(namespace.python("get", f"{HTTP}/instances?expand", USER, PASSWORD))
    kept = {item["MainDicomTags"]["SOPInstanceUID"] for item in found}
    assert {"1.2.3.4.1", "1.2.3.4.2", "1.2.3.4.3"} <= kept
    assert len(kept) == 3 + len(read)
