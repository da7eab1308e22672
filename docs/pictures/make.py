"""Takes the pictures of the README: the samples of ``make run``, seen in Debian's Chromium."""

from __future__ import annotations

import sys
import tempfile
from importlib.resources import files as package_files
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from appliance.processes.samples import SAMPLES
from tests.e2e.appliance import Running, running, send, wait_until

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Send the samples, look at the list and at the film, keep both pictures."""
    folder = package_files("data_store") / "data"
    contents = [(folder / sample.file).read_bytes() for sample in SAMPLES]
    with tempfile.TemporaryDirectory() as name, running(Path(name) / "data") as box:
        send(box, contents)
        assert wait_until(lambda: _settled(box), 60)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
            )
            _picture(browser, f"{box.web}/", "worklist.png", 1180, 720)
            film = next(case for case in box.get("/api/worklist")["cases"] if case["findings"])
            _picture(browser, f"{box.web}/study/{film['id']}", "study.png", 1180, 720)
            browser.close()


def _settled(box: Running) -> bool:
    cases = box.get("/api/worklist")["cases"]
    return len(cases) == len(SAMPLES) and all(
        case["state"] not in {"arrived", "reading"} for case in cases
    )


def _picture(browser: Browser, address: str, name: str, width: int, height: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(address)
    page.wait_for_timeout(1000)
    if name == "study.png":
        page.keyboard.press("o")
        page.wait_for_timeout(300)
    page.screenshot(path=str(HERE / name))
    page.close()


if __name__ == "__main__":
    main()
