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

_WORD = r"=\?[^?\s<>@\"]{1,80}\?[bBqQ]\?[^?<>@\"]{0,500}\?="
#: An encoded word is one piece whatever marks of a list stand in it; an address in it is none.
_TOKEN = re.compile(rf'"((?:[^"\\]++|\\.)*+)("?)|([(),:;<>])|((?:{_WORD}|(?!{_WORD})[^"(),:;<>])++)', re.S)
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
    tokens, whole = _tokens(value)
    comments = [text for kind, text in tokens if kind == "comment"]
    tokens = [token for token in tokens if token[0] != "comment"]
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
    """All mailboxes of these header values, groups opened, what is no address left out; at most MAX_ADDRESSES.

    >>> [one.address for one in mailboxes(["Doe, Jane <j@x.example> 'bob@x.example'; <@relay.example:al@x.example>"])]
    ['j@x.example', 'bob@x.example', 'al@x.example']
    """
    found: list[Mailbox] = []
    for value in values:
        tokens = _loose_tokens(value[:_MAX_VALUE])
        grouped = ("mark", ";") in tokens
        piece: list[tuple[str, str]] = []
        position = 0
        while position < len(tokens) and len(found) < MAX_ADDRESSES:
            kind, text = token = tokens[position]
            position += 1
            if token == ("mark", "<"):
                end = next((i for i in range(position, len(tokens)) if tokens[i] in _ANGLES), len(tokens))
                addresses, read = _in_angles(tokens[position:end], end < len(tokens) and tokens[end] == ("mark", ">"))
                if addresses:
                    found.append(Mailbox(addresses[0], _name(piece)))
                    found += [Mailbox(address, "") for address in addresses[1:]]
                    piece = []
                position += read
            elif token in (("mark", ","), ("mark", ";")):
                if any("@" in said for _, said in piece) or len(piece) > _MAX_PIECE:
                    found += _bare(piece)
                    piece = []
                elif piece:
                    # A comma in a name without quotes: whether it is one tells the angle bracket that follows.
                    piece.append(("text", text))
            elif token == ("mark", ":") and grouped:
                piece = []
            elif kind != "mark" or text == ":":
                piece.append(("text", text) if kind == "mark" else token)
        found += _bare(piece)
    return tuple(found[:MAX_ADDRESSES])


#: A name of more tokens is none.
_MAX_PIECE = 50
_ANGLES = (("mark", "<"), ("mark", ">"))


def _in_angles(inside: list[tuple[str, str]], closed: bool) -> tuple[list[str], int]:
    """The addresses between angle brackets, and how many tokens they take; without a closing one it is the first alone."""
    pieces: list[list[tuple[str, str]]] = [[]]
    for read, (kind, text) in enumerate(inside):
        if kind == "mark" and text in ",;":
            if not closed:
                inside = inside[:read]
                break
            pieces.append([])
        elif kind == "mark" and text == ":":
            pieces[-1] = []
        elif kind in ("text", "quoted"):
            pieces[-1].append((kind, text))
    written = ("".join(f'"{text}"' if kind == "quoted" else text for kind, text in piece) for piece in pieces)
    return [found for one in written if (found := _address(_AROUND_AT.sub("@", one)))], len(inside)


def _bare(piece: list[tuple[str, str]]) -> list[Mailbox]:
    """The mailboxes of a piece without angle brackets; where it is one, a comment or the other words are its name."""
    words: list[str] = []
    comments: list[tuple[str, str]] = []
    for kind, text in piece:
        if kind == "comment":
            comments.append((kind, text))
        elif kind == "quoted":
            words.append(f'"{text}"')
        elif text.startswith("@") and words:
            words[-1] += _AROUND_AT.sub("@", text)
        else:
            words += _AROUND_AT.sub("@", text).split()
    found = [(word, address) for word in words if "@" in word and (address := _address(word))]
    if len(found) != 1:
        return [Mailbox(address, "") for _, address in found]
    others = [("text", word.strip('"')) for word in words if word not in (found[0][0], ":", ",", ";", "mailto")]
    return [Mailbox(found[0][1], _name(comments if len(comments) == 1 else [] if comments else others))]


_AROUND_AT = re.compile(r"[ \t\r\n]{1,20}@[ \t\r\n]{0,20}|@[ \t\r\n]{1,20}")


def _address(text: str) -> str:
    """The address that is written here, "" where it is none."""
    address = text.strip(" \t\r\n';,").removeprefix("mailto:")
    address = address.strip("[]") if address.startswith("[") else address
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain or len(address) > 320 or "=?" in address:
        return ""
    if any(c.isspace() or not c.isprintable() for c in address) and not local.startswith('"'):
        return ""
    return line(address, 320)


def _loose_tokens(value: str) -> list[tuple[str, str]]:
    """Tokens of a value whose quote or comment may never be closed: then its opening mark is none."""
    tokens, whole = _tokens(value)
    for mark in '"', "(":
        if not whole:
            tokens, whole = _tokens(value.replace(mark, " "))
    return tokens


def _name(tokens: list[tuple[str, str]]) -> str:
    said = " ".join(
        " ".join(text.split()) for kind, text in tokens if (text.strip() and kind != "comment") or len(tokens) == 1
    )
    return line(_BEFORE_MARK.sub(r"\1", said), _MAX_NAME)


_BEFORE_MARK = re.compile(r" ([,;:](?: |$))")


def _tokens(value: str) -> tuple[list[tuple[str, str]], bool]:
    """Tokens (quoted, mark, text, comment), and whether every quote and comment was closed. Linear."""
    tokens: list[tuple[str, str]] = []
    position, whole = 0, True
    while position < len(value):
        match = _TOKEN.match(value, position)
        if match is None:
            break
        position = match.end()
        if match[3] == "(":
            comment, position, closed = _comment(value, position)
            tokens.append(("comment", comment))
            whole = whole and closed
        elif match[3] is not None:
            tokens.append(("mark", match[3]))
        elif match[4] is not None:
            if match[4].strip(" \t\r\n"):
                tokens.append(("text", match[4].strip(" \t\r\n")))
        else:
            whole = whole and bool(match[2])
            tokens.append(("quoted", re.sub(r"\\(.)", r"\1", match[1], flags=re.S)))
    return tokens, whole


def _comment(value: str, position: int) -> tuple[str, int, bool]:
    """The text of a comment, which may hold comments, and where it ends (RFC 5322 section 3.2.2)."""
    depth, begin = 1, position
    for match in _IN_COMMENT.finditer(value, position):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        position = match.end()
        if depth == 0:
            return value[begin : position - 1], position, True
    return value[begin:], len(value), False
