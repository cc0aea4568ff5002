"""Markdown -> the text and the HTML of a mail, both from one stream of tokens, so that they cannot differ.

CommonMark without raw HTML, images and indented code; a template's indentation is no code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

#: Columns of the text form; headings are never wrapped, so that a first line stays one line.
WIDTH = 72

_MARKDOWN = MarkdownIt("commonmark", {"html": False, "breaks": False})
_MARKDOWN.disable(["code", "html_block", "html_inline", "image"])
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_TAG = re.compile(r"<(p|h1|h2|h3|ul|ol|li|blockquote|code|pre|hr|a)\b")


def escape(text: str) -> str:
    """The text as Markdown that means nothing but itself (CommonMark section 2.4).

    >>> escape("*x* <b>")
    '\\\\*x\\\\* \\\\<b\\\\>'
    """
    return _PUNCTUATION.sub(r"\\\1", text)


def parse(source: str) -> Sequence[Token]:
    """The token stream that both forms are rendered from."""
    return _MARKDOWN.parse(source)


def render_html(tokens: Sequence[Token], styles: Mapping[str, str]) -> str:
    """HTML of the tokens; ``styles`` are inline styles by tag name."""
    html: str = _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})
    # Text is escaped by now, so every "<" begins a tag.
    return _TAG.sub(lambda tag: f'<{tag[1]} style="{styles[tag[1]]}"' if tag[1] in styles else tag[0], html)


def render_text(tokens: Sequence[Token]) -> str:
    """Plain text of the tokens, ending with a newline."""
    writer = _TextWriter()
    for token in tokens:
        writer.add(token)
    return "\n".join(writer.lines).strip("\n") + "\n"


class _TextWriter:
    """Collects lines; ``prefixes`` are what stands before each line inside lists and quotes."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._prefixes: list[str] = []
        self._bullets: list[int | None] = []
        self._bullet = ""
        self._heading = False

    def add(self, token: Token) -> None:
        match token.type:
            case "inline":
                self._write(inline_text(token.children or ()), wrap=not self._heading)
            case "heading_open" | "heading_close":
                self._heading = token.nesting == 1
                self._gap()
            case "paragraph_open":
                if not token.hidden:
                    self._gap()
            case "bullet_list_open":
                self._gap(inside=True)
                self._bullets.append(None)
            case "ordered_list_open":
                self._gap(inside=True)
                self._bullets.append(int(token.attrGet("start") or 1))
            case "bullet_list_close" | "ordered_list_close":
                self._bullets.pop()
            case "list_item_open":
                number = self._bullets[-1]
                self._bullet = "- " if number is None else f"{number}. "
                if number is not None:
                    self._bullets[-1] = number + 1
                self._prefixes.append(" " * len(self._bullet))
            case "list_item_close":
                self._prefixes.pop()
                self._bullet = ""
            case "blockquote_open":
                self._gap()
                self._prefixes.append("> ")
            case "blockquote_close":
                self._prefixes.pop()
            case "fence":
                self._gap()
                for line in token.content.rstrip("\n").split("\n"):
                    self._line(line)
            case "hr":
                self._gap()
                self._line("-" * 20)
            case _:
                pass

    def _gap(self, inside: bool = False) -> None:
        """An empty line before a block, but none after a bullet and none before a list within a list."""
        if self.lines and self.lines[-1].strip(" >") and not self._bullet and not (inside and self._bullets):
            self.lines.append("".join(self._prefixes).rstrip())

    def _write(self, text: str, wrap: bool) -> None:
        room = WIDTH - sum(map(len, self._prefixes))
        for line in text.split("\n"):
            for piece in _wrapped(line, room) if wrap else [line]:
                self._line(piece)

    def _line(self, line: str) -> None:
        before = "".join(self._prefixes)
        if self._bullet:
            before, self._bullet = before[: -len(self._bullet)] + self._bullet, ""
        self.lines.append((before + line).rstrip())


def inline_text(tokens: Sequence[Token]) -> str:
    """The words of an inline run; a link becomes its label and its address, or the address alone where they agree."""
    words: list[str] = []
    links: list[tuple[str, int]] = []
    for token in tokens:
        match token.type:
            case "text" | "code_inline":
                words.append(token.content)
            case "softbreak":
                words.append(" ")
            case "hardbreak":
                words.append("\n")
            case "link_open":
                links.append((str(token.attrGet("href") or ""), len(words)))
            case "link_close":
                address, start = links.pop()
                label = "".join(words[start:])
                if address.removeprefix("mailto:") != label:
                    words.append(f" <{address}>")
            case _:
                pass
    return "".join(words)


def _wrapped(text: str, room: int) -> list[str]:
    """Lines of at most ``room`` columns where words allow it; an address is never broken."""
    lines, line = [], ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > room:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]
