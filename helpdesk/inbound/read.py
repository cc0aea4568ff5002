"""Bytes -> Reading. Total: whatever the bytes are, a Reading comes out, and no mail is lost for being odd."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from helpdesk.domain.address import fold
from helpdesk.domain.bounce import Report
from helpdesk.domain.mail import Mailbox, RawMail
from helpdesk.domain.reading import Attachment, Forwarded, Reading
from helpdesk.inbound import addresses, authenticate, bounce, classify, forward, mime, quote, thread
from helpdesk.inbound.charset import clean, decode
from helpdesk.inbound.header import Fields, first, line
from helpdesk.inbound.html import to_text

MAX_TEXT = 256 * 1024
_MAX_BODY = 2 * 1024 * 1024
_MAX_NAMED_TEXT = 32 * 1024
_MAX_IDS = 100
_MAX_ID = 250
_MAX_ALIASES = 5


def read(raw: RawMail, parents: Mapping[str, str] | None = None, borders: tuple[str, ...] = ()) -> Reading:
    """The mail as understood; never raises on any bytes (but MemoryError, which is the caller's to judge).

    ``parents`` maps the Message-IDs of mails that we sent to their texts, so that quotes of them are recognised;
    ``borders`` are the authserv-ids of our border servers.
    """
    try:
        return _read(raw, parents or {}, borders)
    except MemoryError:
        raise
    except Exception as fault:  # noqa: BLE001 - the outermost guard: the mail is kept even if reading has a fault
        text = clean(decode(raw.data[:MAX_TEXT]))
        return Reading(
            text=text,
            new_text=text,
            sender_problem="the mail could not be read",
            content_hash=hashlib.sha256(raw.data).hexdigest(),
            defects=(f"reading failed: {type(fault).__name__}",),
        )


def _read(raw: RawMail, sent: Mapping[str, str], borders: tuple[str, ...]) -> Reading:
    data = raw.data
    tree = mime.split(data)
    fields = tree.parts[0].fields
    sender, problem = addresses.strict_sender(fields.get("from", ()))
    return_path = raw.envelope.sender if raw.envelope.sender is not None else _return_path(fields)
    proof, proof_why = authenticate.judge(fields, raw.envelope, sender, problem, borders)
    body = _Body(data, tree)
    text = _capped(body.text(0).strip("\n"))
    kind, kind_why = classify.kind(data, tree, return_path, sender, text)
    subject = line(first(fields, "subject"))
    report = bounce.read(data, tree, text) if kind.is_report else None
    parents = _parents(fields, report)
    quoted = [sent[parent] for parent in parents if parent in sent]
    new_text, lead_text = quote.divide(text, quoted)
    if not (quoted or _is_reply(subject, parents)):
        new_text = text
    return Reading(
        message_id=_message_id(fields),
        parents=parents,
        subject=subject,
        sender=sender,
        sender_problem=problem,
        reply_to=addresses.mailboxes(fields.get("reply-to", ())),
        to=addresses.mailboxes(fields.get("to", ())),
        cc=addresses.mailboxes(fields.get("cc", ())),
        date=date_of(first(fields, "date")),
        return_path=return_path,
        kind=kind,
        kind_why=kind_why,
        proof=proof,
        proof_why=proof_why,
        text=text,
        new_text=new_text,
        lead_text=lead_text,
        attachments=body.attachments(),
        content_hash=content_hash(data, tree),
        likeness=likeness(sender, new_text),
        report=report,
        loop_marks=tuple(line(value, 200) for value in fields.get("x-helpdesk-loop", ())[:20]),
        hops=len(fields.get("received", ())),
        defects=_defects(tree, body),
        forwarded=None if kind.unattended else _forwarded(body, text, subject, bool(parents)),
        aliases=message_ids(fields, *thread.ORIGINAL_IDS)[:_MAX_ALIASES],
        thread_index=thread.index_of(fields),
    )


def _forwarded(body: _Body, text: str, subject: str, answers: bool) -> Forwarded | None:
    """What a person's mail forwards: in its text, else attached as a mail. What a reply has attached is a file."""
    replies = not forward.is_forward(subject) and (answers or forward.is_reply(subject))
    return forward.find(text, subject, answers) or (None if replies else body.attached_mail(text))


_REPLY = re.compile(
    r"\s*(?:re|aw|sv|vs|antw|odp|ynt|rif|r|réf|ref|回复|回覆|答复|返信|res)\s*"
    r"(?:\[\d+\]|\(\d+\))?\s*[:：]",
    re.I,
)
_FORWARD = re.compile(r"\s*(?:fwd?|wg|tr|rv|i|vb|vl|enc|doorst|pd|tov|fs|转发|轉寄|転送)\s*[:：]", re.I)


def _is_reply(subject: str, parents: Sequence[str]) -> bool:
    """True where text may be quoted. In a forwarded mail the quoted text is what the writer wants to be read."""
    if _FORWARD.match(subject):
        return False
    return bool(parents) or bool(_REPLY.match(subject))


_ID = re.compile(r"<[^<>\s]{1,248}>")


def message_ids(fields: Fields, *names: str) -> tuple[str, ...]:
    """The ids in these headers, nearest ancestor first, each once, at most _MAX_IDS.

    >>> message_ids({"references": ["<first@a> <second@a>"]}, "in-reply-to", "references")
    ('<second@a>', '<first@a>')
    """
    found: list[str] = []
    for name in names:
        for value in fields.get(name, ()):
            found += reversed(_ID.findall(value[-64 * 1024 :]))
    return tuple(dict.fromkeys(line(text, _MAX_ID) for text in found if text.isprintable()))[:_MAX_IDS]


def ancestors(data: bytes) -> tuple[str, ...]:
    """The ids in In-Reply-To and References of a raw mail, nearest ancestor first; total and cheap, for look-ups."""
    return message_ids(mime.read_fields(data, 0)[0], "in-reply-to", "references")


def _parents(fields: Fields, report: Report | None) -> tuple[str, ...]:
    """The mails that this one answers; for a report also the mail that it returns or names (RFC 3464, 8098)."""
    found = message_ids(fields, "in-reply-to", "references")
    return tuple(dict.fromkeys((*(report.returned if report else ()), *found)))[:_MAX_IDS]


def _message_id(fields: Fields) -> str:
    text = first(fields, "message-id").strip()
    return text if len(text) <= _MAX_ID and _ID.fullmatch(text) and text.isascii() and text.isprintable() else ""


def _return_path(fields: Fields) -> str | None:
    """The reverse path as the last server noted it: "" for ``<>``, None where it noted none."""
    if "return-path" not in fields:
        return None
    return line(first(fields, "return-path"), 320).strip("<> ")


def date_of(value: str) -> datetime | None:
    """The Date header as UTC, None where it is no date (a missing zone is taken as UTC).

    >>> date_of("Mon, 3 Mar 2025 10:00:00 +0200")
    datetime.datetime(2025, 3, 3, 8, 0, tzinfo=datetime.timezone.utc)
    """
    try:
        date = parsedate_to_datetime(line(value, 200))
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError, AttributeError):
        return None


_STABLE = ("from", "to", "subject", "date", "message-id")


def content_hash(data: bytes, tree: mime.Tree) -> str:
    """SHA-256 over stable headers and body: the same for two sightings of one mail.

    Line ends, refolded headers, and headers added on the way make no difference.
    """
    root = tree.parts[0]
    digest = hashlib.sha256()
    for name in _STABLE:
        for value in root.fields.get(name, ()):
            digest.update(f"{name}:{' '.join(line(value, 4000).split())}\n".encode())
    digest.update(b"\n" + data[root.start :].replace(b"\r\n", b"\n").rstrip(b"\r\n"))
    return digest.hexdigest()


_MARKS = ".,;:!?()[]<>\"'*#"
_OWN_WORD = re.compile(r"[^\W\d_]+")
#: So much of a text is compared, in characters.
_COMPARED = 20_000


def likeness(sender: Mailbox | None, text: str) -> str:
    """A hash of sender and words: the same for mails that differ in numbers, ids, white space and quotes alone.

    "" where there is no sender or no word.
    """
    lines = (one for one in text[:_COMPARED].casefold().split("\n") if not one.lstrip().startswith(">"))
    # What holds a digit or underscore is an id, a date or an address; a machine writes another one each time.
    words = [word.strip(_MARKS) for one in lines for word in one.split()]
    own = " ".join(word for word in words if _OWN_WORD.fullmatch(word))
    if sender is None or not own:
        return ""
    return hashlib.sha256(f"{fold(sender.address)}\n{own}".encode("utf-8", "replace")).hexdigest()


def _defects(tree: mime.Tree, body: _Body) -> tuple[str, ...]:
    return tuple(defect for defect in (tree.problem, *body.defects) if defect)


def _capped(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return text
    return (
        f"{text[:MAX_TEXT]}\n[The text is cut here: {len(text) - MAX_TEXT:,} more characters are in the mail itself.]"
    )


class _Body:
    """Text and attachments of a split mail: which part is shown, which is attached."""

    def __init__(self, data: bytes, tree: mime.Tree) -> None:
        self.data = data
        self.parts = tree.parts
        self.defects: list[str] = []
        self.children: list[list[int]] = [[] for _ in tree.parts]
        for number, part in enumerate(tree.parts):
            if part.parent >= 0:
                self.children[part.parent].append(number)
        self.budget = 4 * _MAX_BODY

    def text(self, number: int) -> str:
        """What a reader sees of this part; recursion is bounded by the depth of the tree."""
        part = self.parts[number]
        children = self.children[number]
        if part.is_multipart and children:
            if part.type == "multipart/alternative":
                return self._alternative(children)
            shown = (self.text(child) for child in children)
            return "\n\n".join(text.strip("\n") for text in shown if text.strip())
        return self._leaf(part) if self._is_text(number) else ""

    def _alternative(self, children: Sequence[int]) -> str:
        """Plain text where there is any, else the richest version that has text."""
        plain = [child for child in children if self.parts[child].type == "text/plain"]
        rest = [child for child in reversed(children) if child not in plain]
        for child in (*plain, *rest):
            text = self.text(child)
            if text.strip():
                return text
        return ""

    def _is_text(self, number: int) -> bool:
        """True for a leaf that is shown as part of the text; one with a name is attached too."""
        part = self.parts[number]
        # A multipart whose border never comes is text; so is a mail that is one text part, however it is labelled.
        if part.type.startswith("multipart/"):
            return True
        if part.type not in ("text/plain", "text/html"):
            return False
        disposition = part.disposition[0]
        if not part.name:
            return disposition != "attachment" or number == 0
        # Some mailers name the text itself; a long one is a file that was only meant to be shown at once.
        return part.type == "text/plain" and disposition == "inline" and part.end - part.start <= _MAX_NAMED_TEXT

    def _leaf(self, part: mime.Part) -> str:
        body = self.data[part.start : min(part.end, part.start + self.budget)]
        self.budget = max(self.budget - len(body), 0)
        raw = mime.decode_body(body, part.encoding)[:_MAX_BODY]
        label = part.params.get("charset", "")
        if part.type == "text/html":
            return clean(to_text(decode(raw, label or _html_charset(raw))))
        text = clean(decode(raw, label))
        if part.params.get("format", "").strip().lower() == "flowed":
            text = unflow(text, part.params.get("delsp", "").strip().lower() == "yes")
        return text

    def attachments(self) -> tuple[Attachment, ...]:
        return tuple(self._attached())

    def _attached(self) -> Iterator[Attachment]:
        for number, part in enumerate(self.parts):
            if (part.is_multipart and self.children[number]) or (self._is_text(number) and not part.name):
                continue
            disposition = part.disposition[0]
            body = self.data[part.start : part.end]
            content_id = line(first(part.fields, "content-id"), _MAX_ID).strip("<> ")
            yield Attachment(
                name=part.name or self._name_of(part),
                type=part.type,
                size=len(mime.decode_body(body, part.encoding)),
                start=part.start,
                end=part.end,
                encoding=part.encoding[:40] if part.encoding.isprintable() else "",
                content_id=content_id,
                inline=disposition == "inline" or (bool(content_id) and disposition != "attachment"),
            )

    def attached_mail(self, note: str) -> Forwarded | None:
        """The first mail that is attached, as what it forwards; ``note`` is what the mail around it says."""
        part = next((one for one in self.parts if one.type == "message/rfc822"), None)
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
            text=_capped(_Body(data, tree).text(0).strip("\n")),
            note=note,
        )

    def _name_of(self, part: mime.Part) -> str:
        """A name for attached mails and invitations, which often come without one."""
        if part.type == "message/rfc822":
            fields, _, _ = mime.read_fields(self.data[: part.end], part.start)
            subject = mime.clean_name(line(first(fields, "subject"), 100).replace("/", "-").replace("\\", "-"))
            return f"{subject or 'mail'}.eml"
        return "invite.ics" if part.type == "text/calendar" else ""


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


#: What a worker calls for each mail.
Read = Callable[[RawMail, Mapping[str, str], tuple[str, ...]], Reading]
