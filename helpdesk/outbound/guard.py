"""The last look before a mail may leave: what is in the bytes is what was meant, nothing more.

Reads the bytes again without any code of the writer, line by line, and where there is anything but printable ASCII also
with Python's parser, which knows other line ends: a mistake must not become a Bcc. Raises HeaderMismatch; returns nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.header import decode_header
from email.parser import BytesHeaderParser
from email.utils import collapse_rfc2231_value
from typing import TYPE_CHECKING

from helpdesk.domain.address import fold
from helpdesk.domain.errors import PermanentFailure
from helpdesk.domain.mail import Mailbox

if TYPE_CHECKING:
    from helpdesk.outbound.compose import Draft

_FIELD = re.compile(rb"([!-9;-~]+):[ \t]")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_BOUNDARY = re.compile(r'boundary="([^"]+)"')
# The categories Cc, Zl, Zp and Cs.
_BREAKING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_REORDERING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# Where nothing else is in a head, no parser can see other lines in it than those between CRLFs.
_PLAIN_HEAD = re.compile(rb"[\t\r\n\x20-\x7e]*")
_LONGEST_LINE = 998
_PART_FIELDS = {"content-type", "content-transfer-encoding", "content-disposition", "content-language"}


class HeaderMismatch(PermanentFailure):
    """The bytes of a mail say something other than its draft: it must not leave."""


def check(data: bytes, draft: Draft) -> None:
    """Compare the bytes with the draft: header names in order, addresses, ids, subject, parts and line lengths."""
    bare = data.replace(b"\r\n", b"")
    if b"\r" in bare or b"\n" in bare:
        raise HeaderMismatch("a bare CR or LF")
    if (longest := max(map(len, data.split(b"\r\n")))) > _LONGEST_LINE:
        raise HeaderMismatch(f"a line longer than {_LONGEST_LINE} octets ({longest})")
    head, _, body = data.partition(b"\r\n\r\n")
    fields = _fields(head, draft.smtputf8)
    names = [name for name, _ in fields]
    _same("header names", names, _meant_names(draft, "content-transfer-encoding" in names))
    if not _PLAIN_HEAD.fullmatch(head):
        found = [name.lower() for name in BytesHeaderParser().parsebytes(head + b"\r\n\r\n")]
        _same("header names to Python", found, names)
    values = dict(fields)
    _same("From", _addresses(values["from"]), _folded([draft.sender]))
    _same("To", _addresses(values["to"]), _folded(draft.to))
    _same("Cc", _addresses(values.get("cc", "")), _folded(draft.cc))
    if "reply-to" in values:
        _same("Reply-To", _addresses(values["reply-to"]), [fold(draft.reply_to)])
    _same("Message-ID", values["message-id"], draft.message_id)
    if values.get("in-reply-to", draft.in_reply_to) != draft.in_reply_to:
        raise HeaderMismatch("In-Reply-To is another")
    if strangers := set(values.get("references", "").split()) - set(draft.references) - {draft.in_reply_to}:
        raise HeaderMismatch(f"References name {sorted(strangers)}")
    if values.get("thread-index", draft.thread_index) != draft.thread_index:
        raise HeaderMismatch("Thread-Index is another")
    _check_subject(_decoded(values["subject"]), draft.subject)
    _check_subject(_decoded(values.get("thread-topic", "")), draft.thread_topic)
    for name in ("from", "to", "cc"):
        _one_line(name, _decoded(values.get(name, "")))
    _same("number of enclosures", _check_parts(values["content-type"], body), len(draft.enclosures))


def _fields(head: bytes, smtputf8: bool = False) -> list[tuple[str, str]]:
    """Names in lower case and unfolded values."""
    if not smtputf8 and not head.isascii():
        raise HeaderMismatch("a header beyond ASCII")
    fields: list[tuple[str, str]] = []
    for line in head.split(b"\r\n"):
        text = line.decode("utf-8")
        if line[:1] in (b" ", b"\t") and fields and line.strip():
            name, value = fields[-1]
            fields[-1] = name, value + text
        elif found := _FIELD.match(line):
            fields.append((found[1].decode("ascii").lower(), text[found.end() :]))
        else:
            raise HeaderMismatch(f"no header field: {text[:80]!r}")
    return fields


def _meant_names(draft: Draft, encoded: bool) -> list[str]:
    single = not draft.html and not draft.enclosures
    if single is not encoded:
        raise HeaderMismatch("Content-Transfer-Encoding where none belongs")
    wanted = {
        "date": True,
        "from": True,
        "to": True,
        "cc": bool(draft.cc),
        "subject": True,
        "message-id": True,
        "in-reply-to": _is_id(draft.in_reply_to),
        "references": any(map(_is_id, draft.references)),
        "reply-to": bool(draft.reply_to),
        "thread-index": bool(draft.thread_index),
        "thread-topic": bool(draft.thread_topic),
        "auto-submitted": bool(draft.auto),
        "x-auto-response-suppress": bool(draft.auto),
        "x-helpdesk-loop": bool(draft.loop_mark),
        "content-language": bool(draft.language),
        "mime-version": True,
        "content-type": True,
        "content-transfer-encoding": single,
    }
    return [name for name, there in wanted.items() if there]


def _is_id(value: str) -> bool:
    inner = value[1:-1]
    framed = value[:1] == "<" and value[-1:] == ">" and 0 < len(inner) <= 240
    return (
        framed and all("!" <= character <= "~" and character not in "<>" for character in inner) and "=?" not in inner
    )


def _addresses(value: str) -> list[str]:
    """The addresses of a list in which display names are quoted, encoded or plain words."""
    bare = _QUOTED.sub("", value)
    found = [one.strip() for one in bare.split(",") if one.strip()]
    return [fold(one[one.index("<") + 1 : one.rindex(">")] if "<" in one and ">" in one else one) for one in found]


def _folded(people: Sequence[Mailbox]) -> list[str]:
    return [fold(person.address) for person in people]


def _decoded(value: str) -> str:
    if "=?" not in value:
        return value
    pieces = decode_header(value)
    return "".join(
        piece if isinstance(piece, str) else piece.decode(charset or "ascii", "replace") for piece, charset in pieces
    )


def _check_subject(found: str, meant: str) -> None:
    _one_line("Subject", found)
    cut = found.endswith("…") and len(found) >= 500
    wanted = _essence(meant)
    if not (wanted.startswith(_essence(found[:-1])) if cut else wanted == _essence(found)):
        raise HeaderMismatch(f"Subject is {found[:80]!r}, meant was {meant[:80]!r}")


def _one_line(name: str, text: str) -> None:
    """Even a reader that decodes what it has decoded already must find nothing in it."""
    if _BREAKING.search(text):
        raise HeaderMismatch(f"{name} decodes to a control character")
    if re.search(r"=\?.*\?.*\?.*\?=", text):
        raise HeaderMismatch(f"{name} decodes to an encoded word")


def _essence(text: str) -> str:
    """What is left when everything that a header may not hold, and all space, is taken away."""
    return _REORDERING.sub("", _BREAKING.sub("", "".join(text.split())))


def _check_parts(content_type: str, body: bytes) -> int:
    """Look at the headers of every part, however deep; the number of parts that are enclosures."""
    boundary = _BOUNDARY.search(content_type)
    if not content_type.startswith("multipart/") or boundary is None:
        return 0
    delimiter = b"--" + boundary[1].encode("ascii")
    first, *parts = (b"\r\n" + body).split(b"\r\n" + delimiter)
    if first or len(parts) < 2 or parts.pop() != b"--\r\n":
        raise HeaderMismatch("the parts are not closed")
    enclosed = 0
    for part in parts:
        head, _, inner = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        fields = _fields(head)
        values = dict(fields)
        if len(values) != len(fields) or not set(values) <= _PART_FIELDS or "content-type" not in values:
            raise HeaderMismatch(f"a part with the headers {[name for name, _ in fields]}")
        if "content-disposition" in values:
            enclosed += 1
            _one_line("file name", _file_name(head))
        else:
            enclosed += _check_parts(values["content-type"], inner)
    return enclosed


def _file_name(head: bytes) -> str:
    value = BytesHeaderParser().parsebytes(head + b"\r\n\r\n").get_param("filename", "", "content-disposition")
    return collapse_rfc2231_value(value) if isinstance(value, (str, tuple)) else ""


def _same(what: str, found: object, meant: object) -> None:
    if found != meant:
        raise HeaderMismatch(f"{what}: found {found!r}, meant {meant!r}")
