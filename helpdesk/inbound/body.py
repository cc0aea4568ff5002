"""A split mail's text and attachments: which part is shown, which is attached, and what lies in containers of either kind."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from urllib.parse import unquote

from helpdesk.domain.reading import Attachment, Forwarded
from helpdesk.inbound import addresses, invitation, mime, plain, smime, tnef
from helpdesk.inbound.charset import clean, codec_of, decode
from helpdesk.inbound.header import first, line
from helpdesk.inbound.html import to_text

MAX_TEXT = 256 * 1024
MAX_BODY = 2 * 1024 * 1024
_MAX_NAMED_TEXT = 32 * 1024
_ASCII = ("us-ascii", "ascii")
_MAX_ID = 250
#: A picture of more bytes is no logo.
_MAX_PICTURE = 512 * 1024
_CID = re.compile(rb"\bcid:([^\s\"'<>()\[\]]{1,250})", re.I)
#: A plain version of so few characters, beside HTML of so many times more, may only say that there is HTML.
_POOR, _RICHER = 600, 8
#: It is taken for that where it has less than this share of the words.
_POOR_SHARE = 0.3
#: Text that is read as HTML, that is for programs, and that is a file whatever stands in it.
_HTML = ("text/html", "application/xhtml+xml")
_ENRICHED = ("text/enriched", "text/richtext")
_RTF = ("text/rtf", "application/rtf", "text/richtext")
_NO_TEXT = re.compile(
    r"text/(?:calendar|csv|css|x-amp-html|watch-html|rfc822-headers|xml|javascript|tab-separated-values"
    r"|(?:x-)?(?:v?card|vcalendar|patch|diff|log|python|c|java|sh|sql)|directory)"
)
#: What other code tells in words, or what has none.
_READ_ELSEWHERE = re.compile(r"text/(?:calendar|rfc822-headers|(?:x-)?(?:v?card|vcalendar)|directory)")
#: What programs write above the first part, for readers that know no parts.
_FILLER = re.compile(r"\bmime\b|multi-?part", re.I)
MAILS = ("message/rfc822", "message/global", "message/news")


def capped(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return text
    return (
        f"{text[:MAX_TEXT]}\n[The text is cut here: {len(text) - MAX_TEXT:,} more characters are in the mail itself.]"
    )


class Body:
    """Text and attachments of a split mail: which part is shown, which is attached."""

    def __init__(self, data: bytes, tree: mime.Tree, *, wrapped: bool = False) -> None:
        self.data, self.wrapped = data, wrapped
        self.opened: dict[int, tnef.Opened] = {}
        self.signed: dict[int, Body | None] = {}
        self.parts = tree.parts
        self.defects: list[str] = []
        self.referred: frozenset[str] | None = None
        self.children: list[list[int]] = [[] for _ in tree.parts]
        for number, part in enumerate(tree.parts):
            if part.parent >= 0:
                self.children[part.parent].append(number)
        self.budget = 4 * MAX_BODY

    def text(self, number: int) -> str:
        """What a reader sees of this part; recursion is bounded by the depth of the tree."""
        part = self.parts[number]
        children = self.children[number]
        if part.is_multipart and children:
            if part.type == "multipart/alternative":
                return self._alternative(children)
            shown = (self.text(child) for child in children)
            return "\n\n".join(text.strip("\n") for text in shown if text.strip())
        if signed := self._signed(part):
            return signed.text(0)
        return self._leaf(part) if self._is_text(number) else ""

    def _alternative(self, children: Sequence[int]) -> str:
        """Plain text where there is any that says as much, else the richest version that has text."""
        simple = [child for child in children if self.parts[child].type == "text/plain"]
        texts = dict.fromkeys(text for child in simple if (text := self.text(child)).strip())
        shown = "\n\n".join(text.strip("\n") for text in texts)
        if shown and not self._may_be_poor(shown, children):
            return shown
        for child in reversed(children):
            if child not in simple and (text := self.text(child)).strip():
                poor = len(_WORDS.findall(shown)) < _POOR_SHARE * len(_WORDS.findall(text))
                return text if poor else shown
        return shown

    def _may_be_poor(self, shown: str, children: Sequence[int]) -> bool:
        others = sum(self.parts[child].end - self.parts[child].start for child in children)
        return len(shown) < _POOR and others > _RICHER * len(shown)

    def _is_text(self, number: int) -> bool:
        """True for a leaf that is shown as part of the text; one with a name is attached too."""
        part = self.parts[number]
        # A multipart whose border never comes is text; so is a mail that is one text part, however it is labelled.
        if part.type.startswith("multipart/"):
            return True
        if part.type not in _HTML and not part.type.startswith("text/"):
            return False
        disposition = part.disposition[0]
        if _NO_TEXT.fullmatch(part.type):
            file = part.name or disposition == "attachment" or _READ_ELSEWHERE.fullmatch(part.type)
            return number == 0 and not file
        if number == 0:
            return True
        if not part.name:
            return disposition != "attachment"
        if disposition != "attachment" and self.parts[part.parent].type in (
            "multipart/alternative",
            "multipart/related",
        ):
            return part.type in ("text/plain", "text/html")
        # Some mailers name the text itself; a long one is a file that was only meant to be shown at once.
        return part.type == "text/plain" and disposition == "inline" and part.end - part.start <= _MAX_NAMED_TEXT

    def _leaf(self, part: mime.Part) -> str:
        body = self.data[part.start : min(part.end, part.start + self.budget)]
        self.budget = max(self.budget - len(body), 0)
        raw = mime.decode_body(body, part.encoding)[:MAX_BODY]
        label = part.params.get("charset", "")
        if part.type in _HTML:
            # A document names its charset itself; a label that says nothing, or nothing true, gives way to it.
            vague = not codec_of(label) or (label.lower().strip() in _ASCII and not raw.isascii())
            return plain.without_armour(clean(to_text(decode(raw, (vague and _html_charset(raw)) or label))))
        if part.type in _RTF and raw.lstrip().startswith(b"{\\rtf"):
            return clean(tnef.rtf_text(raw))
        if part.type in _ENRICHED:
            return clean(plain.enriched(clean(decode(raw, label))))
        around = plain.uuencoded(raw)[0]
        text = plain.without_armour(clean(decode(around if around.strip() else raw, label)))
        if part.params.get("format", "").strip().lower() == "flowed":
            text = unflow(text, part.params.get("delsp", "").strip().lower() == "yes")
        return text

    def shown(self) -> str:
        """All that a reader sees; where no part has text, what a container or a calendar says."""
        return self.text(0).strip("\n") or self._in_containers() or self._encrypted() or self._named() or self._above()

    def _named(self) -> str:
        """The first text that has the name of a file and is not said to be one, where there is no other."""
        for part in self.parts:
            shown = part.type in ("text/plain", *_HTML) and part.disposition[0] != "attachment"
            if shown and (text := self._leaf(part).strip("\n")):
                return text
        return ""

    def _above(self) -> str:
        """The words above the first border, where there are no others."""
        first_part = next((part for part in self.parts if part.parent == 0), None)
        if first_part is None or not self.parts[0].is_multipart:
            return ""
        start = self.parts[0].start
        end = self.data.rfind(b"\n--", max(start - 1, 0), first_part.start)
        words = clean(decode(self.data[start : min(max(end, start), start + MAX_TEXT)])).strip()
        return "" if _FILLER.search(words) else words

    def _in_containers(self) -> str:
        found = [self._opened(number).text for number in self._containers()]
        found += [self._leaf(part) for part in self.parts if part.type in _RTF]
        for part in self.parts:
            if part.type in ("text/calendar", "application/ics"):
                found.append(invitation.words(self._calendar(part)))
        return clean("\n\n".join(text.strip("\n") for text in found if text.strip()))

    def _calendar(self, part: mime.Part) -> str:
        body = mime.decode_body(self.data[part.start : min(part.end, part.start + MAX_BODY)], part.encoding)
        return decode(body, part.params.get("charset", ""))

    def _encrypted(self) -> str:
        for part in self.parts:
            pgp = part.type == "multipart/encrypted" and "pgp" in part.params.get("protocol", "").lower()
            secret = _is_smime(part) and smime.is_encrypted(self._decoded(part))
            if pgp or secret:
                return plain.ENCRYPTED.format(how="PGP" if pgp else "S/MIME")
        return ""

    def _containers(self) -> Iterator[int]:
        for number, part in enumerate(self.parts):
            if part.type in tnef.TYPES or (not part.is_multipart and self._is_winmail(part)):
                yield number

    def _is_winmail(self, part: mime.Part) -> bool:
        name = part.name.lower()
        if name in tnef.NAMES or part.type != "application/octet-stream" or (name and not name.endswith(".dat")):
            return name in tnef.NAMES
        return mime.decode_body(self.data[part.start : min(part.end, part.start + 80)], part.encoding).startswith(
            tnef.SIGNATURE
        )

    def _opened(self, number: int) -> tnef.Opened:
        if number not in self.opened:
            self.opened[number] = tnef.open_(self._decoded(self.parts[number]))
        return self.opened[number]

    def _signed(self, part: mime.Part) -> Body | None:
        """The mail inside of an opaque signature, once: a signature within one is left as it is."""
        if not _is_smime(part) or self.wrapped:
            return None
        if part.start not in self.signed:
            content = smime.content(self._decoded(part))
            self.signed[part.start] = None if content is None else Body(content, mime.split(content), wrapped=True)
        return self.signed[part.start]

    def _decoded(self, part: mime.Part) -> bytes:
        return mime.decode_body(self.data[part.start : part.end], part.encoding)

    def attachments(self) -> tuple[Attachment, ...]:
        return tuple(self._attached())

    def _attached(self) -> Iterator[Attachment]:
        containers = set(self._containers())
        for number, part in enumerate(self.parts):
            if part.is_multipart and self.children[number]:
                continue
            if self._is_text(number) and part.type == "text/plain":
                yield from self._within(part)
            if self._is_text(number) and not part.name and not _NO_TEXT.fullmatch(part.type):
                continue
            if number in containers and (files := self._opened(number).files or self._opened(number).text):
                yield from self._members(part, files)
                continue
            if signed := self._signed(part):
                for member, one in enumerate(signed.attachments()):
                    yield replace(
                        one, start=part.start, end=part.end, encoding=_encoding(part), container="smime", member=member
                    )
                continue
            content_id = line(first(part.fields, "content-id"), _MAX_ID).strip("<> ")
            decoded = self._decoded(part)
            yield Attachment(
                name=part.name or self._name_of(part),
                type=part.type,
                size=len(decoded),
                start=part.start,
                end=part.end,
                encoding=_encoding(part),
                content_id=content_id,
                inline=bool(content_id) and content_id in self._referred(),
                digest=_digest(part.type, decoded),
            )

    def _referred(self) -> frozenset[str]:
        """The Content-IDs that the text refers to, by whatever part of it (RFC 2392)."""
        if self.referred is None:
            texts = (part for part in self.parts if part.type in ("text/html", "text/plain"))
            found = (_CID.findall(self._decoded(part)[:MAX_BODY]) for part in texts)
            self.referred = frozenset(unquote(one.decode("utf-8", "replace")) for ids in found for one in ids)
        return self.referred

    def _members(self, part: mime.Part, files: Sequence[tnef.File] | str) -> Iterator[Attachment]:
        for member, file in enumerate(files):
            if isinstance(file, tnef.File):
                name = mime.clean_name(file.name)
                kind = file.type or mimetypes.guess_type(name)[0] or "application/octet-stream"
                size, where = len(file.data), (part.start, part.end, _encoding(part))
                digest = _digest(kind, file.data)
                yield Attachment(name, kind, size, *where, container="tnef", member=member, digest=digest)

    def _within(self, part: mime.Part) -> Iterator[Attachment]:
        """The files in uuencode within a text."""
        if self.data.find(b"begin ", part.start, part.end) < 0 and part.encoding not in ("base64", "quoted-printable"):
            return
        for member, file in enumerate(plain.uuencoded(self._decoded(part))[1]):
            name = mime.clean_name(file.name)
            kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
            where = (part.start, part.end, _encoding(part))
            yield Attachment(name, kind, len(file.data), *where, container="text", member=member)

    def attached_mail(self, note: str) -> Forwarded | None:
        """The first mail that is attached, as what it forwards; ``note`` is what the mail around it says."""
        part = next((one for one in self.parts if one.type in MAILS), None)
        if part is None:
            return None
        # A wrapped mail may be encoded itself, though RFC 2046 section 5.2.1 forbids it.
        data = mime.decode_body(self.data[part.start : part.end], part.encoding)
        tree = mime.split(data)
        fields = tree.parts[0].fields
        sender, _ = addresses.strict_sender(fields.get("from", ()))
        return Forwarded(
            sender=sender,
            subject=line(first(fields, "subject")),
            date=line(first(fields, "date"), 150),
            text=capped(Body(data, tree).text(0).strip("\n")),
            note=note,
        )

    def _name_of(self, part: mime.Part) -> str:
        """A name for attached mails and invitations, which often come without one, and what others are called elsewhere."""
        if part.type in MAILS:
            begin = self.data[part.start : min(part.end, part.start + 2 * mime.MAX_HEADER_BYTES)]
            fields, _, _ = mime.read_fields(mime.decode_body(begin, part.encoding), 0)
            subject = mime.clean_name(line(first(fields, "subject"), 100).replace("/", "-").replace("\\", "-"))
            return f"{subject or 'mail'}.eml"
        if part.type == "text/calendar":
            return "invite.ics"
        for header in ("content-description", "content-location", "content-id"):
            said = mime.clean_name(line(first(part.fields, header), _MAX_ID).strip("<> ").partition("@")[0])
            if _FILE_NAME.fullmatch(said):
                return said
        return ""


def decode_attachment(data: bytes, attachment: Attachment) -> bytes:
    """The bytes of an attachment, out of the raw mail that it was read from; b"" where they are not there. Never raises."""
    outer = mime.decode_body(data[attachment.start : attachment.end], attachment.encoding)
    if not attachment.container:
        return outer
    if attachment.container == "tnef":
        files = tnef.open_(outer).files
        return files[attachment.member].data if attachment.member < len(files) else b""
    if attachment.container == "text":
        coded = plain.uuencoded(outer)[1]
        return coded[attachment.member].data if attachment.member < len(coded) else b""
    inner = smime.content(outer) or b""
    within = Body(inner, mime.split(inner), wrapped=True).attachments()
    return decode_attachment(inner, within[attachment.member]) if attachment.member < len(within) else b""


def _digest(kind: str, data: bytes) -> str:
    return sha256(data).hexdigest()[:32] if kind.startswith("image/") and len(data) <= _MAX_PICTURE else ""


def _is_smime(part: mime.Part) -> bool:
    return part.type in smime.TYPES or (part.type == "application/octet-stream" and part.name.lower() == "smime.p7m")


def _encoding(part: mime.Part) -> str:
    return part.encoding[:40] if part.encoding.isprintable() else ""


_FILE_NAME = re.compile(r"[^/\\?=&]{1,150}\.[A-Za-z][A-Za-z0-9]{1,4}")
_WORDS = re.compile(r"\w\w+")
_META = re.compile(rb"<meta[^<>]{1,200}?charset\s{0,5}=\s{0,5}[\"']?\s{0,5}([a-zA-Z0-9_.:-]{2,40})", re.I)


def _html_charset(body: bytes) -> str:
    found = _META.search(body, 0, 4096)
    return found[1].decode("ascii") if found else ""


def unflow(text: str, delsp: bool = False) -> str:
    """Text in format=flowed with its paragraphs joined again, quotes as ``> `` (RFC 3676 section 4).

    >>> unflow("one \\ntwo\\n> a \\n> b\\n")
    'one two\\n> a b\\n'
    """
    out: list[str] = []
    pieces: list[str] = []
    depth = 0

    def flush() -> None:
        if pieces:
            out.append((">" * depth + " " if depth else "") + "".join(pieces))
            pieces.clear()

    for text_line in text.split("\n"):
        bare = text_line.lstrip(">")
        quotes = len(text_line) - len(bare)
        bare = bare.removeprefix(" ")
        if pieces and quotes != depth:
            flush()
        depth = quotes
        if bare.endswith(" ") and bare != "-- ":
            pieces.append(bare[:-1] if delsp else bare)
            continue
        if bare == "-- ":
            flush()
        pieces.append(bare)
        flush()
    flush()
    return "\n".join(out)
