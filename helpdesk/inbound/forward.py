"""A forwarded mail inside a text: who wrote it, its subject and words, and what the forwarder says above it.

Mail programs mark what they forward in three ways: a line of dashes with words, then header lines; header lines alone
(Outlook); or one line with date and author (Outlook for Mac). The last two begin replies too, so they count only where
the mail's own subject says that it is a forward. The first quote in the text decides: what stands inside the quote of
a reply was forwarded by somebody else.

Line by line and linear: each line looks ahead over a bounded number of lines of bounded length.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from helpdesk.domain.mail import Mailbox
from helpdesk.domain.reading import Forwarded
from helpdesk.inbound.header_names import INVISIBLE, ROLE, role_of

#: The names again, for header lines that were run together into one; longest first, so that "De la" is not "De".
_ANY_NAME = "|".join(re.escape(name) for name in sorted(ROLE, key=len, reverse=True) if len(name) > 1 or name in "aàá")
_GLUED = re.compile(rf"({_ANY_NAME})\s?[:：]", re.I)
_GLUED_SUBJECT = re.compile(
    rf"(?:{'|'.join(re.escape(name) for name, role in ROLE.items() if role == 'subject')})\s+(?=\S)", re.I
)

#: Parts of the words for "forwarded" that stand in the line above what is forwarded.
_FORWARDED = re.compile(
    r"forward|weitergeleitet|weiterleitung|transféré|transfere|transmis|réexpédi|faire suivre|réachemin|reenvia[dt]"
    r"|mai departe|reencaminhad|encaminhad|reexpedid|rinviat|inoltrat|doorgestuurd|doorgezonden|vidarebeford|videresend"
    r"|vidaresend|välitet|edelleen|edastat|přeposlan|přeposíl|preposlan|preposiel|předan|przekazan|przekazyw|przesłan|przesyłan|továbbít"
    r"|redirec|proslijeđ|proslije|prosleđ"
    r"|posredovan|пересыл|пересил|переслан|перенаправл|переадрес|препрат|препраќ|проследе|прослеђ|ileti başlangıcı|iletil"
    r"|i̇letil|i̇leti|yönlendir|προωθ|pārsūt|persiųst|persiunč|转发|转寄|轉寄|轉發|転送|전달|chuyển tiếp|diteruskan|menerusk"
    r"|dimajukan|terusan|ส่งต่อ|הועבר|מועבר|معاد توجيه|إعادة توجيه|محولة|áframsen|birbidal|anfonwyd|framsend",
    re.I,
)
_ENDED = re.compile(
    r"\b(?:end of|ende|fin|fine|final|fim|einde|slut|koniec|konec|kraj|vége|son|loppu|sfârșit|конец|завершение|кінець)\b"
    r"|^end forward|終わり|結束|结束|끝",
    re.I,
)
_DASHES = "-‐‑‒–—―_=*~#+"
_DASHED = re.compile(rf"\s*(?:[{re.escape(_DASHES)}]\s?){{2,}}(?:8<|>8)?[{re.escape(_DASHES)}]*\s*(\S.*)")
_RULE = re.compile(rf"\s*[{re.escape(_DASHES)}\s]{{3,}}")
_WORD = re.compile(r"[^\W\d_]{2,}")
_ADDRESS = re.compile(r"[^\s<>()\[\]\"'«»„“”,;:|]{1,64}@[^\s<>()\[\]\"'«»„“”,;:|@]{1,250}")
_DATED = re.compile(r"\b(?:19|20)\d\d\b|\b\d{1,2}[.:h]\d\d\b|\d{1,4}[./-]\d{1,2}[./-]\d{1,4}|年")

#: Subjects of forwards and of replies, as the mail programs of many languages begin them.
_FORWARD_WORDS = (
    "fwd|fw|forward|forwarded|wg|weitergeleitet|tr|i|inoltra|inoltrato|rv|reenv|reenviado|enc|encaminhado|vb|vl|vs|vidb|doorst|"
    "doorgestuurd|pd|tov|továbbítás|továbbítva|prosl|proslijeđeno|preposlané|přeposláno|předat|fs|ed|edastatud|pārs|pers|"
    "ilt|i̇lt|пер|пересл|препр|πρθ|转发|转寄|轉寄|轉發|転送|전달|chuyển tiếp|ml|redir|הועבר|إعادة توجيه"
)
_REPLY_WORDS = (
    "re|aw|antw|antwort|sv|vs|ref|réf|rép|r|rif|res|resp|odp|odpověď|ynt|vá|ответ|відп|απ|σχετ|atb|ats|回复|回覆|答复|返信|"
    "답장|回信|trả lời|bls|nf|yan|ris|svar|vast|válasz|răspuns|отв|на|одг|odg|答覆|회신|رد|تر|השב|תשובה|ตอบ|ตอบกลับ"
)
_PREFIX = r"\s*(?:\[[^\[\]:]{{1,40}}\]\s*){{0,2}}\[?\s*(?:{})\s*(?:\[\d{{1,3}}\]|\(\d{{1,3}}\)|\^?\d{{1,3}})?\s*[:：]"
_FORWARD_SUBJECT = re.compile(_PREFIX.format(_FORWARD_WORDS), re.I)
_REPLY_SUBJECT = re.compile(_PREFIX.format(_REPLY_WORDS), re.I)
_FORWARD_TAIL = re.compile(r"\(fwd\)\s*$", re.I)
#: "VS:" begins a Danish or Norwegian forward and a Finnish reply: the header lines tell which.
_VS = re.compile(r"\s*vs\s*[:：]", re.I)
_NORDIC_FROM = ("fra", "från")

_MAX_LINE = 1000
_MAX_ROWS = 60
_MAX_NAMES = 8
_MAX_GAP = 3
_MAX_NAME = 150
_MAX_SUBJECT = 400
_MAX_MARKER = 200
_MAX_HEADER_NAME = 30


def is_forward(subject: str) -> bool:
    """Whether a subject begins as mail programs begin those of forwarded mails.

    >>> is_forward("WG: Drucker"), is_forward("Re: Fwd: Drucker")
    (True, False)
    """
    word = subject.replace("：", ":")[:_MAX_HEADER_NAME].partition(":")
    in_full = bool(word[1]) and bool(_FORWARDED.search(word[0])) and not _REPLY_SUBJECT.match(subject)
    return in_full or bool(_FORWARD_SUBJECT.match(subject) or _FORWARD_TAIL.search(subject[-20:]))


def is_reply(subject: str) -> bool:
    """Whether a subject begins as mail programs begin those of replies; "VS:" is a reply only in Finnish."""
    return bool(_REPLY_SUBJECT.match(subject) or _VS.match(subject))


def without_prefix(subject: str) -> str:
    """A subject without its first mark of a reply or forward, as it is where there is none."""
    match = _REPLY_SUBJECT.match(subject)
    return subject[match.end() :].strip() if match else _without_prefix(subject)


def find(text: str, subject: str = "", answers: bool = False) -> Forwarded | None:
    """The mail that ``text`` forwards; None where it forwards none. ``subject`` is that of the mail itself.

    ``answers`` says that its headers name a mail that it answers; then "Original message" begins the quote of that one.

    Total: never raises. Every word of the text is in the note or in the forwarded text, but for the header lines.
    """
    lines = [_Line.of(line) for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    forward, reply = is_forward(subject), answers or bool(_REPLY_SUBJECT.match(subject))
    quoted_above = False
    for number, line in enumerate(lines):
        if not line.text:
            continue
        if not (line.depth and quoted_above):
            found = _marked(lines, number, reply and not forward)
            if found is None and (forward or line.depth == 0):
                found, ends = _unmarked(lines, number, subject, forward)
                if ends:
                    return None
            if found is not None:
                return _built(lines, number, found, subject)
        quoted_above = line.depth > 0
    return None


@dataclass(frozen=True, slots=True)
class _Line:
    """One line: how deep it is quoted, its text without the quote signs, and whether it is indented."""

    depth: int
    text: str
    indented: bool
    raw: str

    @staticmethod
    def of(raw: str) -> _Line:
        rest = raw.translate(INVISIBLE)
        depth = 0
        while rest.lstrip().startswith((">", "|")) and depth < _MAX_ROWS:
            rest = rest.lstrip()[1:]
            depth += 1
        rest = rest.removeprefix(" ") if depth else rest
        return _Line(depth, rest.strip(), rest[:1] in (" ", "\t", "\xa0"), raw)

    def role(self) -> tuple[str, str, str]:
        """Role, name and value of a header line; the role is "" where it is none."""
        text = self.text[:_MAX_LINE].replace("：", ":")
        name, colon, value = text.partition(":")
        if not colon or len(name) > _MAX_HEADER_NAME:
            return "", "", ""
        return role_of(name), name.strip(" \t*_\xa0").casefold(), value.strip(" \t*\xa0")


@dataclass(slots=True)
class _Block:
    """Header lines: their values by role, the first line behind them, and the name that the author's line bears."""

    values: dict[str, str] = field(default_factory=dict)
    end: int = 0
    author_name: str = ""

    def known(self) -> int:
        return len(self.values.keys() & {"from", "to", "cc", "date", "subject"})


def _marked(lines: Sequence[_Line], number: int, reply: bool) -> _Block | None:
    """The forward that the line opens with words: "---- Forwarded message ----", "Begin forwarded message:"."""
    line = lines[number].text[:_MAX_LINE]
    dashed = _DASHED.fullmatch(line)
    if not dashed and not _may_open(lines, number + 1):
        return None
    words, rest = _halves(dashed.group(1)) if dashed else (line, "")
    if len(words) > _MAX_MARKER or not _WORD.search(words):
        return None
    says_so = bool(_FORWARDED.search(words)) and not (dashed and _ENDED.search(words))
    if not (says_so or (dashed and not reply)):
        return None
    if rest:
        return _glued(rest, number)
    begin = _next(lines, number + 1)
    block = _headers(lines, begin, says_so)
    enough = block is not None and ("from" in block.values) and block.known() >= (2 if says_so else 3)
    if enough:
        return block
    if not says_so:
        return None
    block = _without_colons(lines, begin) or _named_alone(lines, begin) or _authored(lines, begin)
    if block is None and dashed and _ADDRESS.search(words):
        # mutt names the author in the line of dashes itself.
        block = _Block({"from": _after_preposition(words)}, number + 1)
    return block


def _halves(text: str) -> tuple[str, str]:
    """The words between the dashes, and what stands behind them on the same line."""
    match = re.search(rf"\s*[{re.escape(_DASHES)}]{{2,}}", text)
    if match is None:
        return text, ""
    return text[: match.start()], text[match.end() :].strip(f"{_DASHES} \t")


def _may_open(lines: Sequence[_Line], begin: int) -> bool:
    """Whether header lines or an author's line follow; cheap, for it is asked of every line."""
    begin = _next(lines, begin)
    return begin < len(lines) and (bool(lines[begin].role()[0]) or "@" in lines[begin].text)


_PREPOSITION = re.compile(r"\b(?:from|by|von|de|da|van|från|fra|od|от|від)\s+(?=\S)", re.I)


def _after_preposition(words: str) -> str:
    return _PREPOSITION.split(words)[-1]


def _next(lines: Sequence[_Line], begin: int) -> int:
    """The first line with text from ``begin`` on, over a few empty ones."""
    for number in range(begin, min(begin + _MAX_GAP + 1, len(lines))):
        if lines[number].text:
            return number
    return begin


def _headers(lines: Sequence[_Line], begin: int, marked: bool) -> _Block | None:
    """The header lines that begin there; None where none do. Long lists of recipients may be folded."""
    if begin >= len(lines) or not lines[begin].role()[0]:
        return None
    block = _Block()
    last, gapped, number = "", False, begin
    limit = min(begin + _MAX_ROWS, len(lines))
    while number < limit:
        line = lines[number]
        role, name, value = line.role()
        if not line.text:
            follows = _next(lines, number)
            if not _goes_on(lines, follows, block, gapped):
                break
            gapped = gapped or len(block.values) == 1
            number = follows
            continue
        if role and role != "other" and role != "cc" and role in block.values:
            break
        if role:
            block.values.setdefault(role, value)
            block.author_name = name if role == "from" else block.author_name
            last = role
        elif last and (_continues(line, last, block.values[last]) or _is_folded(lines, number, last, block)):
            block.values[last] = f"{block.values[last]} {line.text[:_MAX_LINE]}".strip()
        elif not (marked and "from" not in block.values and _looks_like_header(line.text)):
            break
        number += 1
    block.end = number
    return block


def _goes_on(lines: Sequence[_Line], follows: int, block: _Block, gapped: bool) -> bool:
    """Whether the header lines go on behind an empty line: where each stands apart, or the author is still to come."""
    if follows >= len(lines):
        return False
    role = lines[follows].role()[0]
    if not role or role in block.values:
        return False
    return gapped or "from" not in block.values or len(block.values) == 1


_OTHER_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{1,40}\s?:\s")


def _looks_like_header(text: str) -> bool:
    return bool(_OTHER_HEADER.match(text))


def _continues(line: _Line, role: str, value: str) -> bool:
    if role == "from" and not value:
        return bool(_ADDRESS.search(line.text[:_MAX_LINE]))
    if role in ("to", "cc"):
        listed = value.endswith((",", ";")) and (line.indented or bool(_ADDRESS.search(line.text[:_MAX_LINE])))
        return listed or (line.indented and not value)
    return line.indented and role in ("from", "other")


#: Programs fold what is longer than this.
_FOLDED = 40


def _is_folded(lines: Sequence[_Line], number: int, last: str, block: _Block) -> bool:
    """Whether the line is the rest of a long header line: an address alone, or one above a header line still to come."""
    text, value = lines[number].text[:_MAX_LINE], block.values[last]
    if last in ("from", "to", "cc") and "@" not in re.split(r"[,;]", value)[-1]:
        return text.startswith("<") and "@" in text
    follows = lines[number + 1].role()[0] if number + 1 < len(lines) else ""
    return len(value) > _FOLDED and bool(follows) and follows not in block.values


def _glued(rest: str, number: int) -> _Block | None:
    """Header lines that were run together into one, as where a mail program drops the line breaks of its HTML."""
    found = list(_GLUED.finditer(rest))
    block = _Block(end=number + 1)
    for place, match in enumerate(found):
        role = ROLE[match.group(1).casefold()]
        if role in block.values:
            continue
        end = found[place + 1].start() if place + 1 < len(found) and role != "subject" else len(rest)
        block.values[role] = rest[match.end() : end].strip()
        block.author_name = match.group(1).casefold() if role == "from" else block.author_name
        if role == "subject":
            break
    if "subject" not in block.values and "date" in block.values:
        match_subject = _GLUED_SUBJECT.search(block.values["date"])
        if match_subject:
            block.values["subject"] = block.values["date"][match_subject.end() :]
            block.values["date"] = block.values["date"][: match_subject.start()]
    return block if "from" in block.values and block.known() > 1 else None


def _authored(lines: Sequence[_Line], begin: int) -> _Block | None:
    """One line, or two or three folded, with date and author, that ends in a colon: ``On ... Ann <...> wrote:``."""
    joined = ""
    for number in range(begin, min(begin + 3, len(lines))):
        text = lines[number].text
        if not text or len(text) > _MAX_LINE or (number > begin and lines[number].role()[0]):
            return None
        joined = f"{joined} {text}".strip()
        if text.endswith((":", "：")):
            if not _DATED.search(joined):
                return None
            return _Block({"from": joined.rstrip(":： ")}, number + 1) if _ADDRESS.search(joined) else None
    return None


def _without_colons(lines: Sequence[_Line], begin: int) -> _Block | None:
    """eM Client puts no colons behind its names: ``From "Ann Roe" <ann@customer.example>``."""
    block = _Block()
    for number in range(begin, min(begin + _MAX_NAMES, len(lines))):
        name, _, value = lines[number].text[:_MAX_LINE].partition(" ")
        if not (role := role_of(name)):
            break
        block.values.setdefault(role, value)
        block.end = number + 1
    return block if "@" in block.values.get("from", "") and block.known() >= 3 else None


def _named_alone(lines: Sequence[_Line], begin: int) -> _Block | None:
    """Lotus Notes: ``Ann Roe <ann@customer.example> on 05/11/2024 08:00:00 PM``, then To and Subject."""
    if begin >= len(lines) or not _ADDRESS.search(lines[begin].text[:_MAX_LINE]):
        return None
    block = _headers(lines, _next(lines, begin + 1), False)
    if block is None or "from" in block.values or not block.known():
        return None
    block.values["from"] = lines[begin].text[:_MAX_LINE]
    return block


def _unmarked(lines: Sequence[_Line], number: int, subject: str, forward: bool) -> tuple[_Block | None, bool]:
    """The forward that begins with bare header lines or with an author's line; and whether a reply's quote begins."""
    role = lines[number].role()[0]
    if role in ("from", "date", "subject"):
        block = _headers(lines, number, False)
        if block is not None and "from" in block.values and block.known() >= 3:
            finnish_reply = _VS.match(subject) and block.author_name not in _NORDIC_FROM
            return (block, False) if forward and not finnish_reply else (None, True)
    block = _authored(lines, number) if _DATED.search(lines[number].text[:_MAX_LINE]) else None
    if block is not None:
        sure = forward and (not _VS.match(subject) or not any(line.text for line in lines[:number]))
        return (block, False) if sure else (None, True)
    return None, False


def _built(lines: Sequence[_Line], number: int, block: _Block, subject: str) -> Forwarded:
    begin = block.end
    inner = block.values.get("subject", "")
    outer = _without_prefix(subject)
    if inner and begin < len(lines) and lines[begin].text and f"{inner} {lines[begin].text}" == outer:
        inner, begin = outer, begin + 1
    begin = _next(lines, begin)
    if begin < len(lines) and (_RULE.fullmatch(lines[begin].text) or _repeats_marker(lines[begin], lines[number])):
        begin += 1
    body, after = _body(lines[begin:], max(lines[number].depth, lines[block.end - 1].depth))
    above = list(lines[:number])
    while above and (not above[-1].text or _RULE.fullmatch(above[-1].text)):
        above.pop()
    note = "\n".join(line.raw.rstrip() for line in above).strip("\n")
    note = "\n\n".join(part for part in (note, after) if part)
    return Forwarded(
        sender=author(block.values.get("from", "")),
        subject=(inner or outer)[:_MAX_SUBJECT],
        date=block.values.get("date", "")[:_MAX_NAME],
        text=body,
        note=note.translate(INVISIBLE).strip("\n"),
    )


def _repeats_marker(line: _Line, marker: _Line) -> bool:
    """Some programs close the header lines with the line that opened them, or with another of dashes and words."""
    return bool(line.text == marker.text or (_DASHED.fullmatch(line.text[:_MAX_LINE]) and "8<" in line.text))


def _without_prefix(subject: str) -> str:
    match = _FORWARD_SUBJECT.match(subject)
    if match is None and is_forward(subject) and not _FORWARD_TAIL.search(subject[-20:]):
        return subject.replace("：", ":").partition(":")[2].strip()
    return (subject[match.end() :].removesuffix("]") if match else _FORWARD_TAIL.sub("", subject)).strip()


def _body(lines: Sequence[_Line], depth: int) -> tuple[str, str]:
    """The forwarded words, and what the forwarder wrote behind the line that ends them, where there is such a line."""
    end, after = len(lines), ""
    for number, line in enumerate(lines):
        match = _DASHED.fullmatch(line.text) if 0 < len(line.text) <= _MAX_MARKER else None
        if match and _ENDED.search(match.group(1)) and (_FORWARDED.search(match.group(1)) or "8<" in line.text):
            end = number
            after = "\n".join(one.raw.rstrip() for one in lines[number + 1 :]).strip("\n")
            break
    kept = lines[:end]
    # Where the header lines are quoted, or every line of the text is, the first quote sign is the forwarder's program's.
    strip = depth or min((line.depth for line in kept if line.text), default=0)
    return "\n".join(_unquoted(line.raw.rstrip(), strip) for line in kept).strip("\n"), after


def _unquoted(raw: str, depth: int) -> str:
    for _ in range(depth):
        rest = raw.translate(INVISIBLE).lstrip()
        if not rest.startswith((">", "|")):
            break
        raw = rest[1:].removeprefix(" ")
    return raw


_NAME_NOISE = " \t\"'«»„“”<>()[],;:*\xa0"
_MAILTO = re.compile(r"mailto:", re.I)
_QUOTED_NAME = re.compile(r"[\"«„“]\s*([^\"«»„“”]{1,150}?)\s*[\"»”“]")


def author(value: str) -> Mailbox | None:
    """The mailbox that the value of a quoted From line names; its address is "" where only a name is given.

    >>> author('Ann Roe [mailto:ann@customer.example]')
    Mailbox(address='ann@customer.example', name='Ann Roe')
    """
    value = _MAILTO.sub("", value[:_MAX_LINE].translate(INVISIBLE))
    match = _ADDRESS.search(value)
    if match is None:
        name = value.strip(_NAME_NOISE)[:_MAX_NAME]
        return Mailbox("", name) if name else None
    address = match.group().rstrip(".")
    before = value[: match.start()]
    quoted = _QUOTED_NAME.search(before)
    if quoted:
        name = quoted.group(1)
    else:
        name = before.strip(_NAME_NOISE)
        if _DATED.search(name):
            # An author's line gives the date first: the name is what follows the time.
            name = re.split(r"\d[^\w<]*(?:[AaPp]\.?[Mm]\.?)?[\s,]+", name)[-1].strip(_NAME_NOISE)
    name = "" if "@" in name else name
    return Mailbox(address, name[:_MAX_NAME])
