"""A handful of real films of each set: left alone as they are, noticed when they are spoilt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from bench.chest_sets import FITTED_ON, UNSEEN, Models, rows_of
from bench.film_defects import DEFECTS
from bench.quality import check
from tests.models import MODELS

if TYPE_CHECKING:
    from pathlib import Path

FILMS = 6
# Found on nearly every film of every set, so that five of six is a floor that a fault breaks.
SURE = (
    "inverted",
    "upside down",
    "turned 90° to the left",
    "blurred",
    "over-exposed",
    "low contrast",
)


@pytest.fixture(scope="module")
def models() -> Models:
    return Models(MODELS)


@pytest.mark.parametrize("site", [*FITTED_ON, UNSEEN])
def test_films_are_left_alone_and_defects_are_found(waypost_data: Path, models: Models, site: str):
    rows = rows_of(waypost_data, site, ("test",), FILMS)
    assert len(rows) == FILMS
    found = dict.fromkeys(SURE, 0)
    untouched = 0
    for number, row in enumerate(rows):
        grey = row.grey()
        drawn = models.outline(grey)
        untouched += not {"inverted", "upside_down", "on_its_side", "blurred"} & _codes(
            grey, models
        )
        if drawn is None:
            continue
        for name in SURE:
            code, make = DEFECTS[name]
            spoilt = make(grey, drawn.mask > 0, np.random.default_rng(number))
            found[name] += code in _codes(spoilt, models)
    assert untouched >= FILMS - 1
    assert all(count >= FILMS - 1 for count in found.values()), found


def _codes(grey: np.ndarray, models: Models) -> set[str]:
    return {reason.code for reason in check(grey, models).reasons}
