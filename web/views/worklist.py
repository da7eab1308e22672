"""The worklist: open cases, the most urgent first, and the reviewed ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Blueprint, render_template, request

from web.cases import case_of
from web.state import pages

if TYPE_CHECKING:
    from web.cases import Case

VIEW = Blueprint("worklist", __name__)
PAGE_SIZE = 25
LAST_PAGE = 100_000


@dataclass(frozen=True, slots=True)
class _List:
    """One page of the list, and what stands around it."""

    cases: tuple[Case, ...]
    reviewed: bool
    page: int
    page_count: int
    open_count: int
    reviewed_count: int
    mark: str

    @property
    def total(self) -> int:
        """How many cases this list has in all."""
        return self.reviewed_count if self.reviewed else self.open_count


@VIEW.get("/")
def show() -> str:
    """Return the page."""
    return render_template("worklist.html", list=_list(), here="worklist")


@VIEW.get("/worklist/rows")
def rows() -> str:
    """Return the list alone, for a page that is open and has heard of news."""
    return render_template("_rows.html", list=_list())


def _list() -> _List:
    reviewed = request.args.get("show") == "reviewed"
    held = pages()
    worklist = held.services.worklist
    # The mark is taken first: what changes while the rows are read is then news, not lost.
    mark = held.live.mark()
    overview = worklist.overview()
    total = overview.reviewed_cases if reviewed else overview.open_cases
    page_count = max(1, -(-total // PAGE_SIZE))
    page = min(max(request.args.get("page", 1, type=int), 1), page_count, LAST_PAGE)
    entries = worklist.entries(reviewed=reviewed, limit=PAGE_SIZE, offset=(page - 1) * PAGE_SIZE)
    now = held.now()
    return _List(
        cases=tuple(case_of(entry, now, reviewed=reviewed) for entry in entries),
        reviewed=reviewed,
        page=page,
        page_count=page_count,
        open_count=overview.open_cases,
        reviewed_count=overview.reviewed_cases,
        mark=mark,
    )
