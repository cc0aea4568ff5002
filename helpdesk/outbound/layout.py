"""The one page that every HTML mail is: its style is moved into the elements once, not with every mail."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import css_inline

_SPECIMEN = (
    "<!--specimen--><h1>x</h1><h2>x</h2><h3>x</h3><p>x</p><ul><li>x</li></ul><ol><li>x</li></ol><blockquote>x</blockquote>"
    "<pre>x</pre><code>x</code><hr><a href='x'>x</a><div class='words'>x</div><!--/specimen-->"
)
_RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ur", "yi"})
_EDGE_SPACES = re.compile(r"(?m)^ +|  +")


class Layout:
    """A page with ``$language``, ``$direction``, ``$title`` and ``$body``, and the styles of what may stand in it."""

    def __init__(self, file: Path) -> None:
        source = file.read_text(encoding="utf-8").replace("$body", _SPECIMEN + "$body")
        page = css_inline.CSSInliner(keep_style_tags=False, load_remote_stylesheets=False).inline(source)
        before, _, rest = page.partition("<!--specimen-->")
        specimen, _, after = rest.partition("<!--/specimen-->")
        styles = dict(re.findall(r'<(\w+)[^>]*? style="([^"]*)"', specimen))
        self._words = styles.pop("div", "")
        self._paragraph = styles.get("p", "")
        self._pieces = re.split(r"\$(language|direction|title|body)", before + after)
        self.styles: Mapping[str, str] = MappingProxyType(styles)

    def page(self, language: str, title: str, body: str) -> str:
        """The whole document; ``body`` is HTML, the rest plain text."""
        direction = "rtl" if re.split("[-_]", language)[0] in _RIGHT_TO_LEFT else "ltr"
        values = {"language": html.escape(language), "direction": direction, "title": html.escape(title), "body": body}
        return "".join(values[piece] if number % 2 else piece for number, piece in enumerate(self._pieces))

    def verbatim(self, text: str) -> str:
        """A person's words as HTML: paragraphs, line breaks and every space as he wrote them."""
        paragraphs = re.split(r"\n[ \t]*\n", text.expandtabs(8))
        inner = "".join(f'<p dir="auto" style="{self._paragraph}">{_lines(paragraph)}</p>' for paragraph in paragraphs)
        return f'<div style="{self._words}">{inner}</div>\n'


def _lines(paragraph: str) -> str:
    # HTML joins spaces, and drops those that begin a line.
    kept = _EDGE_SPACES.sub(lambda run: "\u00a0" * len(run[0]), paragraph)
    return html.escape(kept, quote=False).replace("\n", "<br>\n")
