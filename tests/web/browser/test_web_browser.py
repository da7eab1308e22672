from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from caseload import Caseload, film_png, read
from playwright.sync_api import expect

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    Clinic = tuple[str, dict[str, int]]

PIXEL = (
    "() => [...document.querySelector('canvas').getContext('2d').getImageData(20, 20, 1, 1).data]"
)


def test_a_new_reading_appears_without_reload(page: Page, clinic: Clinic, load: Caseload) -> None:
    base, cases = clinic
    page.goto(base)
    expect(page.locator("#live")).to_have_text("live")
    page.evaluate("() => { window.stayed = true; }")
    page.locator(f"#case-{cases['failed']} a").focus()
    load.commit(cases["arrived"], read(0.93))
    row = page.locator(f"#case-{cases['arrived']}")
    expect(row).to_contain_text("very likely (93 in 100)")
    expect(row).to_contain_text("urgent")
    assert page.evaluate("() => window.stayed")
    focused = page.evaluate("() => document.activeElement.closest('.case').id")
    assert focused == f"case-{cases['failed']}"


def test_a_waiting_case_shows_its_reading_by_itself(
    page: Page, clinic: Clinic, load: Caseload
) -> None:
    base, cases = clinic
    page.goto(f"{base}/study/{cases['arrived']}")
    expect(page.locator(".large")).to_have_text("Waiting to be read")
    load.commit(cases["arrived"], read(0.93))
    expect(page.locator(".say")).to_contain_text("very likely")


def test_the_overlay_goes_on_and_off_with_one_key(page: Page, clinic: Clinic) -> None:
    base, cases = clinic
    page.goto(f"{base}/study/{cases['urgent']}")
    page.wait_for_selector("#film[data-ready]")
    heat = page.locator(".heat")
    expect(heat).to_be_hidden()
    page.keyboard.press("o")
    expect(heat).to_be_visible()
    assert heat.bounding_box() == page.locator("canvas").bounding_box()
    page.keyboard.press("+")
    assert heat.bounding_box() == page.locator("canvas").bounding_box()
    page.keyboard.press("o")
    expect(heat).to_be_hidden()
    page.locator("#comment").focus()
    page.keyboard.press("o")
    expect(heat).to_be_hidden()  # it is a letter there


def test_light_changes_the_pixels_and_reset_brings_them_back(page: Page, clinic: Clinic) -> None:
    base, cases = clinic
    page.goto(f"{base}/study/{cases['urgent']}")
    page.wait_for_selector("#film[data-ready]")
    before = page.evaluate(PIXEL)
    page.locator("#brightness").press("ArrowRight")
    page.locator("#brightness").fill("60")
    page.wait_for_timeout(200)
    brighter = page.evaluate(PIXEL)
    assert brighter[0] > before[0]
    page.keyboard.press("i")
    page.wait_for_timeout(200)
    assert page.evaluate(PIXEL)[0] == 255 - brighter[0]
    page.keyboard.press("r")
    page.wait_for_timeout(200)
    assert page.evaluate(PIXEL) == before
    box = page.locator(".stage").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 100, box["y"] + 10)
    page.mouse.up()
    page.wait_for_timeout(200)
    assert page.evaluate(PIXEL)[0] > before[0]


def test_a_review_by_keyboard_moves_the_case(page: Page, clinic: Clinic) -> None:
    base, cases = clinic
    page.goto(f"{base}/study/{cases['urgent']}")
    page.locator("#actor").focus()
    page.keyboard.type("Nurse Ada")
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".acts")).to_contain_text("Confirmed by Nurse Ada")
    page.goto(base)
    expect(page.locator(f"#case-{cases['urgent']}")).to_have_count(0)
    page.get_by_role("link", name=re.compile("Reviewed")).click()
    expect(page.locator(f"#case-{cases['urgent']}")).to_be_visible()


def test_an_upload_is_answered(page: Page, clinic: Clinic) -> None:
    page.goto(f"{clinic[0]}/upload")
    files = [
        {"name": "film.png", "mimeType": "image/png", "buffer": film_png(77)},
        {"name": "<b>note.txt", "mimeType": "text/plain", "buffer": b"no image"},
    ]
    page.locator("#files").set_input_files(files)  # type: ignore[arg-type]
    expect(page.locator("#answers li")).to_have_count(2)
    expect(page.locator("#answers li").first).to_contain_text("kept, and waits to be read")
    expect(page.locator("#answers li").last).to_contain_text("<b>note.txt")


@pytest.mark.parametrize("width", [360, 1366])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_and_is_drawn(
    page: Page, clinic: Clinic, shots: Path, width: int, scheme: str
) -> None:
    base, cases = clinic
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 740 if width == 360 else 768})
    paths = {"worklist": "/", "reviewed": "/?show=reviewed", "upload": "/upload"}
    paths |= {"system": "/system", "help": "/help"}
    paths |= {kind: f"/study/{number}" for kind, number in cases.items()}
    for name, path in paths.items():
        page.goto(base + path)
        page.wait_for_timeout(100)
        page.screenshot(path=shots / f"{name}-{width}-{scheme}.png", full_page=width == 360)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width, name
        small = page.evaluate(
            "() => [...document.querySelectorAll('button, .act, summary, .head a')]"
            ".filter(e => e.offsetParent && e.getBoundingClientRect().height < 43.5).length"
        )
        assert small == 0, name


def test_the_reading_room_is_remembered(page: Page, clinic: Clinic) -> None:
    page.goto(clinic[0])
    page.locator("#theme").click()
    page.goto(f"{clinic[0]}/help")
    assert page.evaluate("() => document.documentElement.dataset.theme") == "room"
    expect(page.locator("#theme")).to_have_attribute("aria-pressed", "true")


def test_the_first_page_is_light(page: Page, clinic: Clinic) -> None:
    sizes: dict[str, int] = {}
    page.on("requestfinished", lambda r: sizes.update({r.url: r.sizes()["responseBodySize"]}))
    page.goto(clinic[0])
    page.wait_for_timeout(500)
    without_films = {url: size for url, size in sizes.items() if not url.endswith(".png")}
    assert sum(without_films.values()) <= 150_000, without_films
