"""What mail systems write for people, where they write no fields: from qmail and Exim to gateways that nobody remembers.

Only a mail that a mail system sent is read so, and nothing of it is believed before the mail is known as ours.
"""

from __future__ import annotations

import re

from helpdesk.domain.bounce import Fate, status_in

#: Chinese, Japanese and Korean stand beside an address without a space, and in none that is in use.
_ADDRESS = (
    r"<?((?:[^\s<>()\[\]{}:;,\"'`|=*\u2010-\u201f\u3000-\u9fff\uac00-\ud7af\uff00-\uffef]|(?<=\w)'(?=\w)){1,64}"
    r"@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,8})>?"
)
#: A line about one recipient begins with his address.
_OF_RECIPIENT = re.compile(
    r"[ \t]*(?:[-*>o#]{1,4} )?(?:['\"]|\[?smtp:)?"
    r"(?:(?:rcpt to|(?:failed |final )?recipients?(?: address)?|to|(?:failed )?address)[ \t]*:[ \t]*)?"
    rf"(?:\[?smtp:)?{_ADDRESS}(?![a-z0-9_@/])",
    re.I,
)
_FURTHER = re.compile(rf"[ \t]{{0,4}}[,;][ \t]{{0,4}}{_ADDRESS}(?![a-z0-9_@/])", re.I)
_ANY = re.compile(rf"{_ADDRESS}(?![a-z0-9_@/])", re.I)
#: Words of failure, and how many characters before an address they may begin.
_FAILED = re.compile(
    r"(?:undeliver|deliver|unknown|invalid|rejected|refused|failed|not (?:be )?(?:sent|found|reach)|no such|does not exist"
    r"|unzustellbar|zugestellt|non remis|impossible|recapit|entreg|doručen|доставл)",
    re.I,
)
_BEFORE = 140
_LIST_FOLLOWS = re.compile(
    r"(?:following|folgende|suivant|siguiente|seguent|volgende|failed)[^\n]{0,60}(?:address|recipient|adress|empfänger|destinat|ontvanger)",
    re.I,
)
_LOCAL_PART = re.compile(r"[ \t]+([a-z0-9][a-z0-9._+-]{0,63})[ \t]*$", re.I)
#: What stands above the copy of the mail that came back.
_COPY = re.compile(
    r"^[ \t>|*#=-]*(?:(?![^\n]{0,60}(?:(?:message|mail) (?:was|has|had|could|cannot|will)\b|receive))"
    r"(?:(?:below|this|here|the following|attached|enclosed)\b[^\n]{0,40}\b(?:copy|original)\b"
    r"|(?:the )?(?:original|returned|unsent|undelivered|rejected) (?:message|mail)\b"
    r"|message (?:text|headers?|body) follows|(?:the )?(?:body|headers?) of (?:the|your) (?:original )?(?:message|mail))"
    r"[^\n]{0,60}"
    r"|(?:received|return-path|message-id|x-mailer|mime-version):[ \t][^\n]*"
    r"|(?<=>)[ ]?(?:from|to|subject|date):[ \t][^\n]*)$",
    re.I | re.M,
)
_MESSAGE_ID = re.compile(r"^[ \t>]*message-id:[ \t]*(<[^<>\s]{1,248}>)", re.I | re.M)
_REPLY_CODE = re.compile(r"(?<![\d.])([45])[0-5]\d(?=[ -])")
_HELP = re.compile(r"contact|assistance|send (?:e-?)?mail to|help|questions?|support|abuse|wenden sie sich|from:", re.I)
#: A line that names somebody else, or an id.
_NO_RECIPIENT = re.compile(
    _HELP.pattern + r"|sender|mail from|reply|message-?id|identifier|https?:|from|von:|wrote|feedback|report", re.I
)
_NAMED_ID = re.compile(r"\bid\b[ \t:=]{0,3}<[^<>\s]{1,248}>", re.I)
#: Of whom the mail has reached, some reports speak first.
_REACHED = re.compile(r"\bsuccess|\b(?:was|were|been) delivered\b|^[ \t]*delivered\b", re.I)
_NOT_REACHED = re.compile(r"fail|\bnot?\b|n't|\bun|reject|problem|error|except", re.I)
_EXPANDED = re.compile(r"(?:generated|expanded) (?:from|by)", re.I)
_TO = re.compile(r"^[ \t>]*to:[ \t]*([^\n]{1,1000}(?:\n[ \t>]+[^\n:]{1,200}){0,5})", re.I | re.M)
_DELAY = re.compile(
    r"will (?:continue|keep|be retried|retry|try)|still (?:being retried|trying)|(?:warning|message) only|not yet|delayed"
    r"|(?:no need|not need) to resend|delivery incomplete|temporary problem delivering",
    re.I,
)
#: So many characters of a text, lines about one recipient, recipients and characters of words are looked at.
PROSE, _ABOUT, _MOST, _WORDS = 20_000, 12, 50, 300


def read(text: str, sender: str, to: str) -> tuple[list[Fate], list[str]]:
    """What a report for people says of recipients, and the ids of the mail that it returns in its text.

    ``sender`` and ``to`` are its own headers. Where it names nobody there is one fate without a recipient.
    """
    copy = _COPY.search(text, 0, PROSE)
    above = text[: copy.start() if copy else PROSE]
    ids = _MESSAGE_ID.findall(text[copy.start() :][:PROSE]) if copy else []
    below = text[copy.start() :][:PROSE] if copy else ""
    fates = _by_lines(above, sender, to) or _by_words(above, to)
    # Some quote the header of the mail first.
    if not fates and (listed := _LIST_FOLLOWS.search(below)):
        fates = _by_lines(below[listed.start() :], sender, to)
    fates = fates or _anywhere(above, sender, to)
    if not fates and (status := _status(above)):
        fates = [Fate(action="delayed" if _DELAY.search(above) else "failed", status=status, words=_short(above))]
    return fates[:_MOST], [one for one in ids if one.isprintable()][:5]


def addressed(text: str, to: str = "") -> list[Fate]:
    """Where a report names nobody: whom the mail that it returns was written to, if that is one, or the report says a name.

    ``to`` is the To header of that mail, "" where it stands in the text.
    """
    copy = _COPY.search(text, 0, PROSE)
    if not to and (found := _TO.search(text[copy.start() :][:PROSE] if copy else "")):
        to = found[1]
    above = text[: copy.start() if copy else PROSE]
    words = set(re.findall(r"[^\s<>()\[\]{}:;,\"'|=*]+", above.lower()))
    people = list(dict.fromkeys(_ANY.findall(to[:2000])))
    named = [one for one in people if one.lower().partition("@")[0] in words]
    return _fates([(one, "") for one in (people if len(people) == 1 else named)], above)


def _by_lines(text: str, sender: str, to: str) -> list[Fate]:
    """Recipients at whose address a line begins; below such words as "following addresses" also names without a domain."""
    lines = text.split("\n")
    places: dict[str, int] = {}
    listing = reached = False
    for number, one in enumerate(lines):
        if len(places) >= _MOST:
            break
        if one.strip() and "@" not in one:
            reached = _says_reached(one) or (reached and not one.rstrip().endswith((":", "-")))
        listing = bool(_LIST_FOLLOWS.search(one)) or (listing and (not one.strip() or bool(places)))
        match = _OF_RECIPIENT.match(one[:500])
        address = match[1] if match else ""
        if (
            not address
            and not places
            and listing is False
            and number
            and _LIST_FOLLOWS.search(" ".join(lines[max(number - 3, 0) : number]))
        ):
            local = _LOCAL_PART.match(one[:200])
            host = re.search(_ADDRESS, sender, re.I)
            address = f"{local[1]}@{host[1].partition('@')[2]}" if local and host else ""
        before = lines[number - 1][:500] if number else ""
        if reached or _says_reached(one):
            continue
        if address and not _is_ours(address, to) and ("@" in before or not _HELP.search(before)):
            for each in (address, *(_others(one[:500], match.end()) if match else ())):
                places.setdefault(each, number)
    told = []
    starts = list(places.values())
    for (address, number), end in zip(places.items(), [*starts[1:], len(lines)], strict=False):
        told.append((address, "\n".join(lines[number : min(end, number + _ABOUT)])))
    return _fates(told, text)


def _others(text: str, position: int) -> list[str]:
    """The addresses that follow the one that ends here, with a comma or semicolon between them."""
    found: list[str] = []
    while len(found) < _MOST and (match := _FURTHER.match(text, position)):
        found.append(match[1])
        position = match.end()
    return found


def _by_words(text: str, to: str) -> list[Fate]:
    """Recipients that a sentence about a failure names."""
    found: dict[str, None] = {}
    for one in text.split("\n"):
        for match in re.finditer(_ADDRESS, one, re.I) if "@" in one else ():
            before = one[max(match.start() - _BEFORE, 0) : match.start()].rpartition("@")[2]
            if _FAILED.search(before):
                found.update(dict.fromkeys([match[1], *_others(one, match.end())]))
    return _fates([(one, "") for one in found if not _is_ours(one, to)], text)


def _anywhere(text: str, sender: str, to: str) -> list[Fate]:
    """All addresses but those of the sender, of the mail system and of those who help, where nothing better is known."""
    found: dict[str, None] = {}
    before = ""
    for one in text.split("\n"):
        one = _NAMED_ID.sub("", one[:500])
        beside = _ANY.sub("", one)
        if _says_reached(beside):
            continue
        if _EXPANDED.search(beside) or not (_NO_RECIPIENT.search(beside) or _HELP.search(before)):
            found.update(dict.fromkeys(_ANY.findall(one)))
        before = "" if "@" in one else one
    return _fates([(one, "") for one in found if not _is_ours(one, f"{to} {sender}")], text)


def _fates(told: list[tuple[str, str]], text: str) -> list[Fate]:
    """A fate for each recipient and what is told of him; where that gives no reason, the whole text may."""
    action = "delayed" if _DELAY.search(text) else "failed"
    general, words = _status(text), _short(text)
    fates = []
    for address, about in told[:_MOST]:
        status = _status(about)
        fates.append(Fate(address, "", action, status or general, _short(about if status else f"{about}\n{words}")))
    return fates


def _says_reached(words: str) -> bool:
    return bool(_REACHED.search(words[:200])) and not _NOT_REACHED.search(words[:500])


def _status(text: str) -> str:
    """An enhanced status code, else the class of a reply code as one."""
    if found := status_in(text):
        return found
    code = _REPLY_CODE.search(text)
    return f"{code[1]}.0.0" if code else ""


def _short(text: str) -> str:
    return " ".join(text.split())[:_WORDS]


def _is_ours(address: str, to: str) -> bool:
    """True for whom the report was written to, and for those whom it offers for questions."""
    return address.lower() in to.lower() or address.lower().startswith("postmaster@")
