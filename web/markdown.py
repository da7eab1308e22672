"""Markdown to HTML that the pages' own policy accepts: no raw HTML, no image, no style."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence
    from typing import Any

    from markdown_it.renderer import RendererHTML
    from markdown_it.token import Token
    from markdown_it.utils import OptionsDict

_ALIGN = "text-align:"


def _make() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    # An image could ask a foreign host, or break the layout; a card's pictures stay in the file.
    markdown.disable("image")
    markdown.add_render_rule("th_open", _cell)
    markdown.add_render_rule("td_open", _cell)
    markdown.add_render_rule("table_open", _table_open)
    markdown.add_render_rule("table_close", _table_close)
    return markdown


def _cell(
    _renderer: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    _options: OptionsDict,
    _env: MutableMapping[str, Any],
) -> str:
    """Write a cell's alignment as a class: the policy refuses style attributes."""
    token = tokens[index]
    style = str(token.attrGet("style") or "")
    if style.startswith(_ALIGN):
        return f'<{token.tag} class="align-{style.removeprefix(_ALIGN)}">'
    return f"<{token.tag}>"


def _table_open(*_: object) -> str:
    """Let a wide table scroll by itself on a narrow screen."""
    return '<div class="scroll" tabindex="0"><table>'


def _table_close(*_: object) -> str:
    return "</table></div>"


_MARKDOWN = _make()


def to_html(text: str) -> str:
    """Return `text` (CommonMark with tables) as HTML; whatever HTML it holds is escaped."""
    return str(_MARKDOWN.render(text))
