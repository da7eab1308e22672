"""Run inside a namespace with loopback only: the whole appliance among strangers.

DCMTK's storescu and dcmsend send, Chromium watches the list, an archive takes film and result by
C-STORE and by STOW-RS. Prints what was seen as one JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import sync_playwright

from tests.builders import make_cr, make_us
from tests.e2e.appliance import Running, running, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

FILM, SECOND, SCAN = "1.2.3.4.1", "1.2.3.4.2", "1.2.3.4.3"


def main(folder: Path, config: str) -> None:
    """Let the strangers meet the appliance."""
    for name, content in (
        ("film.dcm", make_cr(rows=600, columns=500, sop_instance_uid=FILM)),
        ("second.dcm", make_cr(rows=500, columns=600, sop_instance_uid=SECOND)),
        ("scan.dcm", make_us(sop_instance_uid=SCAN)),
    ):
        (folder / name).write_bytes(content)
    with running(folder / "data", config=config) as box, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        seen = watch(browser.new_page(viewport={"width": 1366, "height": 768}), box, folder)
        browser.close()
        seen["delivered"] = wait_until(
            lambda: [_open(box, uid) for uid in (FILM, SECOND, SCAN)] == [0, 0, 0], 60
        )
        seen["deliveries"] = {uid: box.case(uid)["deliveries"] for uid in (FILM, SECOND, SCAN)}
        seen["route"] = subprocess.run(
            ["ip", "route"], capture_output=True, text=True, check=True
        ).stdout
    print(json.dumps(seen))


def watch(page: Page, box: Running, folder: Path) -> dict[str, Any]:
    """Open the list, let the strangers send, and see the readings arrive without a reload."""
    foreign: list[str] = []
    page.on("request", lambda r: r.url.startswith((box.web, "data:")) or foreign.append(r.url))
    page.goto(f"{box.web}/")
    page.evaluate("window.waypostWasHere = true")
    address = [box.host, str(box.port)]
    storescu = subprocess.run(
        ["storescu", "-v", "-aec", "WAYPOST", *address, str(folder / "film.dcm")],
        capture_output=True,
        text=True,
        check=False,
    )
    report = folder / "report.txt"
    later = [str(folder / "second.dcm"), str(folder / "scan.dcm")]
    subprocess.run(
        ["dcmsend", "-aec", "WAYPOST", "--create-report-file", str(report), *address, *later],
        capture_output=True,
        check=False,
    )
    wrong = subprocess.run(
        ["storescu", "-aec", "SOMEONE", *address, str(folder / "film.dcm")],
        capture_output=True,
        text=True,
        check=False,
    )
    page.locator("[id^=case-]").nth(2).wait_for(timeout=30_000)
    settled = wait_until(
        lambda: all(
            (box.case(uid) or {}).get("state") in {"read", "abstained", "refused"}
            for uid in (FILM, SECOND, SCAN)
        )
    )
    page.wait_for_timeout(1500)
    page.screenshot(path=str(folder / "worklist.png"), full_page=True)
    return {
        "storescu": storescu.returncode,
        "dcmsend": report.read_text(encoding="utf-8") if report.is_file() else "",
        "wrong_title": [wrong.returncode, wrong.stderr],
        "settled": settled,
        "same_page": page.evaluate("window.waypostWasHere === true"),
        "text": page.inner_text("main"),
        "foreign": foreign,
        "states": {uid: box.case(uid)["state"] for uid in (FILM, SECOND, SCAN)},
    }


def _open(box: Running, uid: str) -> int:
    line = box.case(uid)
    return -1 if line is None else int(line["deliveries"]["open"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
