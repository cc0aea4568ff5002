"""HTML of a mail into the text that a person would read: links, lists and quotes kept, the rest of the form dropped.

selectolax needs minutes for a megabyte of nested containers, so one linear pass counts them first; a mail nested too
deep is stripped of its tags without a parser, and loses nothing but form.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from html import unescape

from selectolax.lexbor import LexborHTMLParser, LexborNode

from helpdesk.inbound.header_names import role_of

MAX_DEPTH = 500
MAX_HTML = 1024 * 1024
MAX_TEXT = 512 * 1024
_MAX_ATTRIBUTES = 3000
_MAX_TAGS = 100_000


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Tags as a browser reads them: a ``</`` in the value of an attribute, a comment, or the text of a style closes nothing.
_ATTRIBUTES = (
    r"(?:[ \t\n\f\r/]++|[^ \t\n\f\r/>][^ \t\n\f\r/>=]*+"
    r"(?:[ \t\n\f\r]*+=[ \t\n\f\r]*+(?:\"[^\"]*+\"|'[^']*+'|(?![\"'])[^ \t\n\f\r>]*+))?+)*+"
)
_TAG = re.compile(
    r"<!--(?:-?>|.*?(?:--!?>|\Z))"
    rf"|<(?:style|script|title|textarea)(?=[ \t\n\f\r/>]){_ATTRIBUTES}>.*?(?:</(?:style|script|title|textarea)|\Z)"
    rf"|<(/?)([a-z][^ \t\n\f\r/>]*+){_ATTRIBUTES}",
    re.I | re.S,
)
#: Elements that never nest in each other's open tag (void, or closed by the next of their kind).
_FLAT = _names(
    "area base br col embed hr img input link meta param source track wbr p li dt dd tr td th thead tbody tfoot option"
    " colgroup html body head"
)
#: Where a block ends before these do, they are opened again in each block that follows, save behind a cell.
_FORMATTING = _names("a b big code em font i nobr s small strike strong tt u")
_CELLS = _names("td th")
_CLOSED_BY_NEXT = _names("p li dd dt td th")
_SKIPPED = _names("style script head title template noscript object svg math select")
_BLOCKS = _names(
    "address article aside blockquote center dd details div dl dt fieldset figure footer form header li main nav ol"
    " section summary table tbody tfoot thead tr ul"
)
_SPACED = _names("p h1 h2 h3 h4 h5 h6 pre")
#: Containers of a quote that may hold its attribution too: then the blockquote within is the quote.
_QUOTE_CLASSES = _names("gmail_quote gmail_quote_container protonmail_quote missive_quote")
#: Lines of their own that say who wrote what is quoted below.
_ATTRIBUTIONS = _names("moz-cite-prefix gmail_attr airmail_on reply-intro")
#: Where these begin, the mail that is answered begins, and goes on to the end.
_REST = ("divRplyFwdMsg", "stopSpelling", "zwchr")
#: These hold all of the mail that is answered, and nothing else; what follows them may be an answer again.
_HOLDERS = ("OLK_SRC_BODY_SECTION", "mail-editor-reference-message-container")
_ZIMBRA_MARKERS = ("__HEADERS__", "__QUOTED_TEXT__")
#: The line that Word draws above its header block.
_WORD_BORDER = re.compile(r"border-top:\s?(?:solid\s?)?#(?:e1e1e1|b5c4df)|border-color: rgb\(181, 196, 223\)", re.I)
_YEAR_AND_TIME = re.compile(r"\b\d{4}\b[^\n]{0,40}\d[:.h]\d\d|\d[:.h]\d\d[^\n]{0,40}\b\d{4}\b")
_NO_BORDER = re.compile(r"border\s?:\s?(?:none|0)|border-style\s?:\s?none", re.I)
_HIDDEN = re.compile(r"display\s*+:\s*+none|mso-hide\s*+:\s*+all", re.I)


def to_text(html: str) -> str:
    """The text of an HTML document, quoted blocks as lines that begin with ``> ``. Linear, never raises."""
    if len(html) > MAX_HTML // 4:
        html = _DATA_URL.sub("data:", html)[:MAX_HTML]
    # Some write an emoji as the two halves of it in UTF-16.
    html = _HALVES.sub(_whole, html)
    # The parser needs seconds for thousands of options, and what stands in a choice is not shown.
    html = _OPTION.sub("", html)
    if drawing := _DRAWING.search(html):
        # A title within a drawing holds elements, which the counting below takes for words.
        html = html[: drawing.start()] + _TITLE.sub("", html[drawing.start() :])
    if too_deep(html) or _too_many_attributes(html) or _too_many_opened_again(html):
        return _stripped(html)
    body = LexborHTMLParser(html).body
    if body is None:
        return _stripped(html)
    page = _Page()
    _walk(body, page)
    return page.text()


_HALVES = re.compile(r"&#(?:x(d[89ab][0-9a-f]{2})|(5[56][0-9]{3}));&#(?:x(d[c-f][0-9a-f]{2})|(5[67][0-9]{3}));", re.I)


def _whole(halves: re.Match[str]) -> str:
    high, low = (int(halves[n], 16) if halves[n] else int(halves[n + 1]) for n in (1, 3))
    pair = high.to_bytes(2, "little") + low.to_bytes(2, "little")
    return pair.decode("utf-16-le", "ignore")


def too_deep(html: str) -> bool:
    """True where more than MAX_DEPTH containers may be open at once, or the tags are more than any letter has."""
    open_tags: Counter[str] = Counter()
    depth = 0
    for count, match in enumerate(_TAG.finditer(html)):
        if count > _MAX_TAGS:
            return True
        name = (match[2] or "").lower()
        if not name or name in _FLAT:
            continue
        if not match[1]:
            open_tags[name] += 1
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif open_tags[name]:
            open_tags[name] -= 1
            depth -= 1
    return False


_DATA_URL = re.compile(r"data:[a-z]+/[^\"'<>\s)]*+", re.I)
_OPTION = re.compile(r"</?opt(?:ion|group)\b[^<>]*+>?", re.I)
_DRAWING = re.compile(r"<(?:svg|math)\b", re.I)
_TITLE = re.compile(r"</?title\b[^<>]*+>?", re.I)
_LONG_TAG = re.compile(r"<[a-zA-Z][^<>]{20000,}+")
_BETWEEN_ATTRIBUTES = re.compile(r"[\s\"'/]+")


def _too_many_attributes(html: str) -> bool:
    """True where one tag may have so many attributes that comparing each with each takes seconds."""
    return any(len(_BETWEEN_ATTRIBUTES.findall(match[0])) > _MAX_ATTRIBUTES for match in _LONG_TAG.finditer(html))


def _too_many_opened_again(html: str) -> bool:
    """True where formatting that is not closed with its block makes many more elements than the document has letters for."""
    made, left = 0, 0
    most = 200 + len(html) // 10
    # The name of each block that is open, how many elements of formatting are open right in it, and were left before it.
    blocks: list[tuple[str, int, int]] = [("", 0, 0)]
    names: Counter[str] = Counter()
    for match in _TAG.finditer(html):
        name = (match[2] or "").lower()
        if name in _FORMATTING:
            if not match[1]:
                blocks[-1] = blocks[-1][0], blocks[-1][1] + 1, blocks[-1][2]
                continue
            at = next((i for i in range(len(blocks) - 1, max(len(blocks) - 10, -1), -1) if blocks[i][1]), -1)
            if at >= 0:
                blocks[at] = blocks[at][0], blocks[at][1] - 1, blocks[at][2]
            else:
                left = max(left - 1, 0)
        elif name in _BLOCKS or name in _SPACED or name in _CELLS:
            if not match[1]:
                made += left
                if made > most:
                    return True
            if names[name] and (match[1] or (name in _CLOSED_BY_NEXT and blocks[-1][0] == name)):
                closed = ""
                while closed != name:
                    closed, inside, before = blocks.pop()
                    names[closed] -= 1
                    left = before if closed in _CELLS else left + inside
            if not match[1]:
                blocks.append((name, 0, left))
                names[name] += 1
    return False


class _Page:
    """Collects text into lines, as a browser would lay them out."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.words: list[str] = []
        self.size = 0
        self.quotes = 0
        self.preformatted = 0
        self.bullet = ""

    def write(self, text: str) -> None:
        """Add running text; white space collapses unless it is preformatted."""
        if self.preformatted:
            first, *more = text.replace("\r\n", "\n").split("\n")
            self.words.append(first)
            for line in more:
                self.end_line(force=True)
                self.words.append(line)
            return
        shown = " ".join(text.split())
        if not shown:
            if text and self.words:
                self.words.append(" ")
            return
        self.words.append((" " if text[0].isspace() else "") + shown + (" " if text[-1].isspace() else ""))

    def end_line(self, force: bool = False) -> None:
        """End the line; an empty one is only written where ``force`` asks for it."""
        line = "".join(self.words)
        line = line.rstrip() if self.preformatted else _SPACES.sub(" ", line).strip()
        self.words = []
        if line or force:
            self.lines.append("> " * min(self.quotes, 10) + self.bullet + line)
            self.size += len(self.lines[-1]) + 1
            self.bullet = ""

    def gap(self) -> None:
        """End the line and leave an empty one, never two."""
        self.end_line()
        if self.lines and self.lines[-1].strip("> "):
            self.lines.append(("> " * min(self.quotes, 10)).rstrip())

    def end_quote(self) -> None:
        """Leave one level of quoting; empty quoted lines at its end are dropped."""
        self.end_line()
        while self.lines and self.lines[-1].startswith(">") and not self.lines[-1].strip("> "):
            self.lines.pop()
        self.quotes -= 1
        self.gap()

    def quote_alone(self, since: int) -> None:
        """Mark what was written since then as a quote, where it is one line with a figure: people write there as well."""
        self.end_line()
        if len(self.lines) - since > _MAX_ATTRIBUTION:
            return
        written = [line for line in self.lines[since:] if line.strip("> ")]
        if len(written) == 1 and len(written[0]) < 300 and any(map(str.isdigit, written[0])):
            self.lines[since:] = [f"> {line}" if line.strip("> ") else line for line in self.lines[since:]]

    def text(self) -> str:
        self.end_line()
        return _tidy(self.lines)


_MAX_ATTRIBUTION = 50
_SPACES = re.compile(r"[ \t\n\r\f\xa0]+")


def _tidy(lines: list[str]) -> str:
    """At most one empty line in a row, none at the ends."""
    out: list[str] = []
    for line in lines:
        line = line.rstrip()
        if line or (out and out[-1]):
            out.append(line)
    return "\n".join(out).strip("\n")


def _walk(body: LexborNode, page: _Page) -> None:
    """Visit every node without recursion: enter, then children, then leave."""
    node: LexborNode | None = body
    entered: list[tuple[LexborNode, bool, int]] = []
    rest_is_quote = False
    while node is not None and page.size < MAX_TEXT:
        written = len(page.lines)
        descend = _enter(node, page)
        if descend and not rest_is_quote and _begins_rest(node):
            rest_is_quote = True
            page.end_line()
            page.quotes += 1
        child = node.child if descend else None
        if child is not None:
            entered.append((node, _is_quote(node), written))
            node = child
            continue
        if descend:
            _leave(node, page, _is_quote(node), written)
        while node.next is None:
            if not entered:
                return
            node, quoted, written = entered.pop()
            _leave(node, page, quoted, written)
            if not entered:
                return
        node = node.next


def _attribute(node: LexborNode, name: str) -> str:
    if node.tag in ("-text", "-comment"):
        return ""
    return node.attributes.get(name) or ""


def _begins_rest(node: LexborNode) -> bool:
    """True where all that follows is the mail that is answered, as the program itself has marked it."""
    if node.tag not in ("div", "span", "hr"):
        return False
    if _attribute(node, "id").endswith(_REST):
        return not _attribute(node, "data-marker")
    return bool(_WORD_BORDER.search(_attribute(node, "style"))) and _holds_header(node)


def _holds_header(node: LexborNode) -> bool:
    """True where three of the first elements within are bold, as header names are, and two are known or a date is there."""
    within = list(_first_within(node))
    if sum(child.tag in ("b", "strong") for child in within) < 3:
        return False
    texts = [(child.text_content or "")[:200].strip() for child in within if child.tag == "-text"]
    names = [text for text in texts if text.endswith((":", "：")) and role_of(text.rstrip(":： \xa0"))]
    return len(names) > 1 or any(_YEAR_AND_TIME.search(text) for text in texts)


def _first_within(node: LexborNode, most: int = 60) -> Iterator[LexborNode]:
    """The first nodes within, in the order of the document."""
    waiting = [node.child]
    while waiting and most:
        child = waiting.pop()
        if child is None:
            continue
        most -= 1
        yield child
        waiting += [child.next, child.child]


def _is_quote(node: LexborNode) -> bool:
    classes = _attribute(node, "class").split()
    if node.tag == "blockquote":
        # Mail programs indent by a blockquote without a border; elsewhere the blockquote is the quote.
        style = _attribute(node, "style")
        named = bool(classes or _attribute(node, "type")) and "webkit-indent-blockquote" not in classes
        return named or not _NO_BORDER.search(style) or "border-left" in style
    if node.tag in ("div", "span"):
        name = _attribute(node, "id")
        if "yahoo_quoted" in name or name.endswith(_HOLDERS):
            return True
        if _attribute(node, "name") == "quote" or _attribute(node, "data-marker") in _ZIMBRA_MARKERS:
            return True
    if any(name.endswith("yahoo_quoted") for name in classes):
        return True
    return not _QUOTE_CLASSES.isdisjoint(classes) and not any(one.tag == "blockquote" for one in _first_within(node))


def _enter(node: LexborNode, page: _Page) -> bool:
    """Write what an element begins with; False where its children are not for reading."""
    tag = node.tag or ""
    if tag == "-text":
        page.write(node.text_content or "")
        return False
    if tag.startswith("-") or tag in _SKIPPED:
        return False
    if tag == "br":
        page.end_line(force=True)
        return False
    if _HIDDEN.search(_attribute(node, "style")):
        return False
    if tag in _SPACED:
        page.gap()
    elif tag in _BLOCKS or tag == "hr":
        page.end_line()
    elif tag in ("td", "th"):
        page.write(" ")
    elif tag == "img":
        page.write(_alternative(node))
    if tag == "li":
        page.bullet = "- "
    elif tag == "pre":
        page.preformatted += 1
    if _is_quote(node):
        page.gap()
        page.quotes += 1
    return True


def _leave(node: LexborNode, page: _Page, quoted: bool, written: int) -> None:
    tag = node.tag or ""
    if not _ATTRIBUTIONS.isdisjoint((*_attribute(node, "class").split(), _attribute(node, "id"))):
        page.quote_alone(written)
    if quoted:
        page.end_quote()
    if tag in _SPACED:
        page.gap()
        if tag == "pre":
            page.preformatted -= 1
    elif tag in _BLOCKS:
        page.end_line()
    elif tag == "a":
        page.write(_target(node))


def _target(node: LexborNode) -> str:
    """`` <url>`` behind a link whose text is not the address itself."""
    url = _attribute(node, "href").strip()
    if not url.lower().startswith(("http:", "https:", "mailto:", "ftp:", "tel:")):
        return ""
    shown = _beginning(node, len(url))
    bare = url.partition(":")[2].strip("/")
    if not shown or shown.rstrip("/") in (url.rstrip("/"), bare, bare.removeprefix("www.")):
        return ""
    return f" <{url[:2000]}>"


def _beginning(node: LexborNode, size: int) -> str:
    """The first words within, without white space, a little longer than ``size`` where there are so many."""
    shown = ""
    for child in _first_within(node, 500):
        if child.tag == "-text" and len(shown) <= size:
            shown += "".join((child.text_content or "")[: 4 * size + 1000].split())
    return shown


def _alternative(node: LexborNode) -> str:
    """What an image shows in words: emoji and logos have it, tracking pixels do not."""
    return _attribute(node, "alt")[:200]


def _stripped(html: str) -> str:
    """Everything outside tags, without a parser: for documents nested too deep to be parsed in time."""
    out: list[str] = []
    position = 0
    unclosed: set[str] = set()
    lowered = html.translate(_LOWER)
    while True:
        opening = html.find("<", position)
        if opening < 0:
            out.append(html[position:])
            break
        out.append(html[position:opening])
        position = _behind(lowered, opening, unclosed)
        if position == opening + 1:
            out.append("<")
        elif lowered.startswith(_BREAKS, opening + 1):
            out.append("\n")
    lines = [_SPACES.sub(" ", line).strip() for line in unescape("".join(out)).split("\n")]
    return _tidy(lines)


_BREAKS = ("br>", "br/", "br ", "div", "/p>", "/tr", "/li", "p>", "p ")
#: Other letters may become several, and the positions would differ.
_LOWER = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def _behind(html: str, opening: int, unclosed: set[str]) -> int:
    """The position behind the markup that begins at ``opening``; a search that failed once is not made again.

    ``html`` has its ASCII letters in lower case.
    """
    head = html[opening : opening + 7]
    for begin, end in (("<!--", "-->"), ("<style", "</style"), ("<script", "</script")):
        if head.startswith(begin) and end not in unclosed:
            found = html.find(end, opening)
            if found >= 0:
                found = found + len(end) - 1 if begin == "<!--" else html.find(">", found)
                return found + 1 if found >= 0 else len(html)
            unclosed.add(end)
    if ">" in unclosed or not html[opening + 1 : opening + 2].strip():
        return opening + 1
    found = html.find(">", opening)
    if found < 0:
        unclosed.add(">")
        return opening + 1
    return found + 1
