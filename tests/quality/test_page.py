"""The page on the quality check says what the code does."""

from __future__ import annotations

import re

from bench.quality_report import END, START
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "quality.md").read_text("utf-8")


def test_each_finding_stands_on_the_page_with_its_consequence():
    source = "".join(
        path.read_text("utf-8") for path in (ROOT / "appliance" / "quality").glob("*.py")
    )
    found = re.findall(r'Defect\(\s*"(\w+)",\s*Severity\.(\w+),', source)
    told = re.findall(r"^\| `(\w+)` \| (\w+) \|", PAGE, re.MULTILINE)
    assert len(found) == 16
    assert sorted(told) == sorted((code, severity.lower()) for code, severity in found)


def test_the_figures_are_between_their_marks():
    measured = PAGE[PAGE.index(START) : PAGE.index(END)]
    for title in ("### Found", "### Alarms on untouched films", "### Time"):
        assert title in measured
