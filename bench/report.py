"""Writes docs/measurements.md from what the measures left in bench/out: no figure by hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "bench" / "out"
TARGET = ROOT / "docs" / "measurements.md"


def main() -> None:
    """Read the results, write the page, say what is missing."""
    parts = [_HEAD]
    missing = []
    for name, write in (("latency", latency), ("ingest_rate", ingest_rate), ("kills", kills)):
        path = OUT / f"{name}.json"
        if path.is_file():
            parts.append(write(json.loads(path.read_text(encoding="utf-8"))))
        else:
            missing.append(name)
    if missing:
        sys.exit(f"not measured yet: {', '.join(missing)}; run make bench-latency and the others")
    TARGET.write_text("\n".join(parts), encoding="utf-8")
    print(f"written: {TARGET.relative_to(ROOT)}")


_HEAD = """# Measurements

Written by `make bench-report` from what `make bench-latency`, `make bench-ingest` and
`make bench-kills` measured; nothing here is typed by hand. Absolute times drift with the machine;
ratios were taken in one run. What the models were measured at stands in their cards under
[models](../models).
"""


def machine(result: dict[str, Any]) -> str:
    """Return the line that names the machine."""
    found = result["machine"]
    kernel = found["kernel"].split("-")[0]
    return (
        f"Machine: {found['cpu']}, {found['cores']} cores, Python {found['python']}, Linux"
        f" {kernel}, {found['date']}; load average before: {found['load_before']:.1f}."
    )


def latency(result: dict[str, Any]) -> str:
    """Return the section on the way of one film."""
    rows = "\n".join(
        f"| {stage} | {row['p50']} | {row['p95']} |" for stage, row in result["stages_ms"].items()
    )
    memory = "\n".join(f"| {name} | {size} |" for name, size in result["processes_mb"].items())
    return f"""## From the last byte to the committed reading

{result["sends"]} sends of the {result["film_bytes"] / 1e6:.1f} MB CR film
(`make bench-latency`).
{machine(result)}

| stage | p50 ms | p95 ms |
| --- | --- | --- |
{rows}

`ready` after {result["ready_s"]} s. All processes together at their peak:
{result["peak_rss_mb"]} MB resident ({result["peak_pss_mb"]} MB when shared pages are counted once).

| process at the peak | MB resident |
| --- | --- |
{memory}
"""


def ingest_rate(result: dict[str, Any]) -> str:
    """Return the section on durable C-STORE."""
    rows = "\n".join(
        f"| {name} | {' · '.join(str(value) for value in values)} |"
        for name, values in result["films_per_s"].items()
    )
    ratios = " · ".join(str(value) for value in result["ratios"])
    return f"""## Durable C-STORE beside Orthanc

{result["films"]} films of 7.2 MB over one association from DCMTK's `storescu`, {result["rounds"]}
rounds in turn in one run (`make bench-ingest`). Waypost runs whole: its worker reads meanwhile, and
answers only after fsync of file, folder and row. {machine(result)}

| receiver | films a second, each round |
| --- | --- |
{rows}

Ratio, each round: {ratios}; median {result["ratio_median"]}.
"""


def kills(result: dict[str, Any]) -> str:
    """Return the section on kills and the full disk."""
    found = result["kills"]
    disk = result.get("full_disk")
    text = f"""## Killed at random

`kill -9` of receiver ({found["killed"]["receive"]} times) and worker ({found["killed"]["worker"]}
times) at random moments while a station sends (`make bench-kills`). {machine(result)}

| what | count |
| --- | --- |
| instances acknowledged | {found["acknowledged"]} |
| instances kept | {found["kept"]} |
| acknowledged but lost | {found["lost"]} |
| read twice | {found["read_twice"]} |
| left unread | {found["unread"]} |
| damaged files | {found["damaged"]} |
| database | {found["database"]} |
"""
    if disk is not None:
        answers = " ".join(disk["answers"])
        text += f"""
A disk of 24 MB, filled by sending: answers {answers}; after making room:
{" ".join(disk["after_room"])}; files left half written: {disk["leftovers"]}.
"""
    return text


if __name__ == "__main__":
    main()
