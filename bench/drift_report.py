"""Writes the measured part of docs/drift.md from what bench/drift.py left: no figure by hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.report import machine

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "bench" / "out" / "drift.json"
PAGE = ROOT / "docs" / "drift.md"
BEGIN, END = "<!-- measured -->\n", "<!-- end -->"


def main() -> None:
    """Put the tables between the marks."""
    if not RESULT.is_file():
        sys.exit("not measured yet; run make bench-drift")
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    told = written(json.loads(RESULT.read_text(encoding="utf-8")))
    PAGE.write_text(f"{before}{BEGIN}{told}{END}{after}", encoding="utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}")


def written(result: dict[str, Any]) -> str:
    """Return the measured part."""
    quiet = "\n".join(
        f"| {name} | {site['films']} | {site['abnormal']:.2f} | {site['stable_watched']:,}"
        f" | {site['false_alarms']} | {site['false_alarms_per_1000']:.2f} |"
        for name, site in result["sites"].items()
    )
    changes = "\n".join(
        f"| {name} | {change} | {row['score_above']:.2f} | {100 * row['found_within_200']:.1f} %"
        f" | {_delay(row['median'])} | {_delay(row['p95'])} | {', '.join(row['first'])} |"
        for name, site in result["sites"].items()
        for change, row in site["changes"].items()
    )
    return f"""Films on which `cxr-pneumonia` 1.0.0 was neither trained nor calibrated are read as
the device reads them, as they are and with a change made by code. From what was seen,
{result["streams"]} streams are drawn for each row (`make bench-drift`): a reference, then
{result["stable_images"]:,} stable images, where after an alarm the stream begins anew, or changed
ones until the first alarm.
{machine(result)}

While nothing changes:

| films of | films | called abnormal | stable images watched | false alarms | per 1,000 images |
| --- | --- | --- | --- | --- | --- |
{quiet}

After a change of the detector; *above* is the chance that a changed film scores higher than an
unchanged one (0.5: the score does not move), delays are in images:

| films of | change | above | found within 200 | median | 95 in 100 by | found by |
| --- | --- | --- | --- | --- | --- | --- |
{changes}

*gamma* is the display's curve, *gain* a factor on the grey levels (cut at white), *noise* normal
with 12 grey levels, *blur* Gaussian with a hundredth of the shorter side. `distance` is not
exercised here: no reading carries one yet.
"""


def _delay(images: int | None) -> str:
    return "over 600" if images is None else str(images)


if __name__ == "__main__":
    main()
