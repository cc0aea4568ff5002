"""Markdown -> the text and the HTML of a mail, both from one stream of tokens, so that they cannot differ.

CommonMark without raw HTML, images and indented code; a template's indentation is no code. Values stand in the Markdown as
placeholders (``placeholder``) and are put in at the end: whatever is in them is text, and mails that differ in their values
alone share one stream.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import unescape

from markdown_it import MarkdownIt
from markdown_it.common.normalize_url import normalizeLink, validateLink
from markdown_it.common.utils import escapeHtml
from markdown_it.token import Token
from mdurl import encode

#: Columns of the text form; headings are never wrapped, so that a first line stays one line.
WIDTH = 72

#: What encloses the number of a value; no value may hold either.
OPEN, CLOSE = "\ue002", "\ue003"


class _Markdown(MarkdownIt):
    """Addresses keep their placeholders: taken for the host of one they would be spelled anew (punycode)."""

    def normalizeLink(self, url: str) -> str:
        return encode(url) if OPEN in url else super().normalizeLink(url)


_MARKDOWN = _Markdown("commonmark", {"html": False, "breaks": False})
_MARKDOWN.disable(["code", "html_block", "html_inline", "image"])
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_TAG = re.compile(r"<(p|h1|h2|h3|ul|ol|li|blockquote|code|pre|hr|a)\b")
_PLACEHOLDER = re.compile(f"{OPEN}(\\d+){CLOSE}")
# The address of a link is percent-encoded as it is parsed, and so are the placeholders in it.
_CODED_PLACEHOLDER = re.compile("%EE%80%82(\\d+)%EE%80%83")
_ADDRESS = re.compile('href="([^"]*%EE%80%82[^"]*)"')


def escape(text: str) -> str:
    """The text as Markdown that means nothing but itself (CommonMark section 2.4).

    >>> escape("*x* <b>")
    '\\\\*x\\\\* \\\\<b\\\\>'
    """
    return _PUNCTUATION.sub(r"\\\1", text)


def parse(source: str) -> Sequence[Token]:
    """The token stream that both forms are rendered from."""
    return _MARKDOWN.parse(source)


def placeholder(number: int) -> str:
    """What stands for a value until its place is known."""
    return f"{OPEN}{number}{CLOSE}"


def fill_html(html: str, values: Sequence[str]) -> str:
    """The values at their places, as text that means nothing but itself."""
    html = _ADDRESS.sub(lambda found: f'href="{escapeHtml(_address(unescape(found[1]), values))}"', html)
    return _PLACEHOLDER.sub(lambda found: escapeHtml(values[int(found[1])]), html)


def _fill(text: str, values: Sequence[str]) -> str:
    return _PLACEHOLDER.sub(lambda found: values[int(found[1])], text) if OPEN in text else text


def _address(coded: str, values: Sequence[str]) -> str:
    """The address of a link with its values; "" where they make one that no link may have, such as a script."""
    if "%EE%80%82" not in coded:
        return coded
    filled = _CODED_PLACEHOLDER.sub(lambda found: normalizeLink(values[int(found[1])]), coded)
    return filled if validateLink(filled) else ""


def render_html(tokens: Sequence[Token], styles: Mapping[str, str]) -> str:
    """HTML of the tokens with its placeholders; ``styles`` are inline styles by tag name."""
    html: str = _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})
    # Text is escaped by now, so every "<" begins a tag.
    return _TAG.sub(lambda tag: f'<{tag[1]} style="{styles[tag[1]]}"' if tag[1] in styles else tag[0], html)


def render_text(tokens: Sequence[Token], values: Sequence[str] = ()) -> str:
    """Plain text of the tokens with the values at their places, ending with a newline."""
    writer = _TextWriter(values)
    for token in tokens:
        writer.add(token)
    return "\n".join(writer.lines).strip("\n") + "\n"


class _TextWriter:
    """Collects lines; ``prefixes`` are what stands before each line inside lists and quotes."""

    def __init__(self, values: Sequence[str]) -> None:
        self.lines: list[str] = []
        self._values = values
        self._prefixes: list[str] = []
        self._bullets: list[int | None] = []
        self._bullet = ""
        self._heading = False

    def add(self, token: Token) -> None:
        match token.type:
            case "inline":
                self._write(inline_text(token.children or (), self._values), wrap=not self._heading)
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
                for line in _fill(token.content, self._values).rstrip("\n").split("\n"):
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


def inline_text(tokens: Sequence[Token], values: Sequence[str] = ()) -> str:
    """The words of an inline run; a link becomes its label and its address, or the address alone where they agree."""
    words: list[str] = []
    links: list[tuple[str, int]] = []
    for token in tokens:
        match token.type:
            case "text" | "code_inline":
                words.append(_fill(token.content, values))
            case "softbreak":
                words.append(" ")
            case "hardbreak":
                words.append("\n")
            case "link_open":
                links.append((_address(str(token.attrGet("href") or ""), values), len(words)))
            case "link_close":
                address, start = links.pop()
                label = "".join(words[start:])
                if address and address.removeprefix("mailto:") != label:
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
