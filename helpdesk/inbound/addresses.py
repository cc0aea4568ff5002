"""Mailboxes out of header values: strictly for the one From that rights hang on, tolerantly for all others.

The strict rule exists because ready-made parsers read ``agent@corp.example <evil@x.example>`` as the agent
(CVE-2023-27043). Encoded words are decoded in names only, after the structure is known, so none can become an address.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from helpdesk.domain.mail import Mailbox
from helpdesk.inbound.header import line

MAX_ADDRESSES = 500
_MAX_VALUE = 64 * 1024
_MAX_NAME = 200

_TOKEN = re.compile(r'"((?:[^"\\]++|\\.)*+)("?)|([(),:;<>])|([^"(),:;<>]++)', re.S)
_IN_COMMENT = re.compile(r"[()]|\\.|[^()\\]++|\\", re.S)
_LOCAL = re.compile(r"[^\s\"(),:;<>@\[\]\\]+")
_LABEL = re.compile(r"[^\s\"(),:;<>@\[\]\\.!#$%&'*+/=?^`{|}~]+")


class _Malformed(Exception):
    """Raised inside this module only; its text is the problem in words."""


def strict_sender(values: Sequence[str]) -> tuple[Mailbox | None, str]:
    """The one mailbox of the one From header, or None and what is wrong with it (RFC 5322 sections 3.4, 3.6.2).

    >>> strict_sender(["Bob <bob@acme.example>"])
    (Mailbox(address='bob@acme.example', name='Bob'), '')
    >>> strict_sender(["agent@corp.example <evil@x.example>"])
    (None, 'From names an address beside the address')
    """
    if not values or not any(value.strip() for value in values):
        return None, "no From"
    if len(values) > 1:
        return None, f"{len(values)} From headers"
    try:
        return _one_mailbox(values[0]), ""
    except _Malformed as problem:
        return None, f"From {problem}"


def _one_mailbox(value: str) -> Mailbox:
    if len(value) > 2000:
        raise _Malformed("is longer than 2,000 characters")
    tokens, comments, whole = _tokens(value)
    if not whole:
        raise _Malformed("has an open quote or comment")
    marks = [text for kind, text in tokens if kind == "mark"]
    if ":" in marks or ";" in marks:
        raise _Malformed("is a group or list")
    if ")" in marks:
        raise _Malformed("has a closing parenthesis too many")
    if marks.count("<") != marks.count(">") or marks.count("<") > 1:
        raise _Malformed("has not exactly one address in angle brackets")
    if "<" not in marks:
        if "," in marks:
            raise _Malformed("names more than one mailbox")
        if [kind for kind, _ in tokens] != ["text"]:
            raise _Malformed("is no plain address")
        return Mailbox(_checked(tokens[0][1].strip()), line(comments[0], _MAX_NAME) if comments else "")
    opening = tokens.index(("mark", "<"))
    inside = tokens[opening + 1 : -1]
    if tokens[-1] != ("mark", ">"):
        raise _Malformed("has something behind the address")
    if len(inside) != 1 or inside[0][0] != "text":
        raise _Malformed("has no plain address in its angle brackets")
    name = tokens[:opening]
    # A comma without quotes ("Smith, Bob <bob@...>") is wrong but names nobody else; an address there does.
    if any(kind == "text" and "@" in text for kind, text in name):
        raise _Malformed("names an address beside the address")
    return Mailbox(_checked(inside[0][1]), _name(name))


def _checked(address: str) -> str:
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain:
        raise _Malformed("has no complete address")
    if "@" in local or len(address) > 320 or len(local) > 128:
        raise _Malformed("has no valid address")
    if not _LOCAL.fullmatch(local) or local.startswith(".") or local.endswith(".") or ".." in local:
        raise _Malformed("has no valid address")
    if "=?" in address or not all(_LABEL.fullmatch(label) for label in domain.split(".")):
        raise _Malformed("has no valid address")
    if not address.isascii() and any(unicodedata.category(c) in _INVISIBLE for c in address):
        raise _Malformed("has invisible characters in its address")
    if any(ord(c) < 33 or ord(c) == 127 for c in address):
        raise _Malformed("has control characters in its address")
    return address


_INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp")


def mailboxes(values: Sequence[str]) -> tuple[Mailbox, ...]:
    """All mailboxes of these header values, groups opened, what is no address left out; at most MAX_ADDRESSES."""
    found: list[Mailbox] = []
    for value in values:
        tokens, comments, _ = _tokens(value[:_MAX_VALUE])
        piece: list[tuple[str, str]] = []
        for token in [*tokens, ("mark", ",")]:
            if token in (("mark", ","), ("mark", ";")):
                mailbox = _loose(piece, comments)
                if mailbox:
                    found.append(mailbox)
                piece = []
                if len(found) >= MAX_ADDRESSES:
                    return tuple(found)
            elif token == ("mark", ":") and ("mark", "<") not in piece:
                piece = []
            else:
                piece.append(token)
    return tuple(found)


def _loose(piece: list[tuple[str, str]], comments: Sequence[str]) -> Mailbox | None:
    if ("mark", "<") in piece:
        opening = len(piece) - 1 - piece[::-1].index(("mark", "<"))
        inside = [(kind, text) for kind, text in piece[opening + 1 :] if kind != "mark"]
        address = "".join(f'"{text}"' if kind == "quoted" else text for kind, text in inside[:2]).strip()
        name = _name(piece[:opening])
    else:
        address = "".join(f'"{text}"' if kind == "quoted" else text for kind, text in piece).strip()
        name = line(comments[0], _MAX_NAME) if len(comments) == 1 else ""
    address = address.removeprefix("mailto:")
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain or len(address) > 320 or "=?" in address:
        return None
    if any(c.isspace() or not c.isprintable() for c in address) and not local.startswith('"'):
        return None
    return Mailbox(line(address, 320), name)


def _name(tokens: list[tuple[str, str]]) -> str:
    return line(" ".join(" ".join(text.split()) for _, text in tokens if text.strip()).replace(" ,", ","), _MAX_NAME)


def _tokens(value: str) -> tuple[list[tuple[str, str]], list[str], bool]:
    """Tokens (quoted, mark, text), comments, and whether every quote and comment was closed. Linear."""
    tokens: list[tuple[str, str]] = []
    comments: list[str] = []
    position, whole = 0, True
    while position < len(value):
        match = _TOKEN.match(value, position)
        if match is None:
            break
        position = match.end()
        if match[3] == "(":
            comment, position, closed = _comment(value, position)
            comments.append(comment)
            whole = whole and closed
        elif match[3] is not None:
            tokens.append(("mark", match[3]))
        elif match[4] is not None:
            if match[4].strip(" \t\r\n"):
                tokens.append(("text", match[4].strip(" \t\r\n")))
        else:
            whole = whole and bool(match[2])
            tokens.append(("quoted", re.sub(r"\\(.)", r"\1", match[1], flags=re.S)))
    return tokens, comments, whole


def _comment(value: str, position: int) -> tuple[str, int, bool]:
    """The text of a comment, which may hold comments, and where it ends (RFC 5322 section 3.2.2)."""
    depth, begin = 1, position
    for match in _IN_COMMENT.finditer(value, position):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        position = match.end()
        if depth == 0:
            return value[begin : position - 1], position, True
    return value[begin:], len(value), False
