"""Bytes -> Reading. Total: whatever the bytes are, a Reading comes out, and no mail is lost for being odd."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from helpdesk.domain.address import fold
from helpdesk.domain.bounce import Report
from helpdesk.domain.mail import Mailbox, RawMail
from helpdesk.domain.proof import Proof
from helpdesk.domain.public_domains import PUBLIC_MAIL_DOMAINS
from helpdesk.domain.reading import Forwarded, Kind, Reading
from helpdesk.domain.token import for_customers
from helpdesk.inbound import addresses, authenticate, bounce, classify, forward, mime, quote, thread, writer
from helpdesk.inbound.body import MAX_TEXT, Body, capped
from helpdesk.inbound.charset import clean, decode, is_utf8
from helpdesk.inbound.header import Fields, decode_words, first, line

_MAX_IDS = 100
_MAX_ID = 250
_MAX_ALIASES = 5
_MAX_CLAIM = 2000


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
    fields = _root_fields(data, tree)
    sender, problem = addresses.strict_sender(fields.get("from", ()))
    return_path = raw.envelope.sender if raw.envelope.sender is not None else _return_path(fields)
    proof, proof_why = authenticate.judge(fields, raw.envelope, sender, problem, borders)
    behind = writer.behind_list(fields, sender) if proof is not Proof.AUTH else None
    if behind is not None:
        # Not "none": the list's own signature and server must not be taken for those of a writer in its domain.
        sender, proof, proof_why = (
            behind,
            proof if proof is Proof.FAILED else Proof.AMBIGUOUS,
            f"a list put its own address into From; nothing proves the writer ({proof_why})",
        )
    body = Body(data, tree)
    text = capped(body.shown())
    kind, kind_why = classify.kind(data, tree, return_path, sender, text)
    subject = line(first(fields, "subject"))
    report = bounce.read(data, tree, text, delayed=kind is Kind.DELAYED) if kind.is_report else None
    parents = _parents(fields, report)
    answered = [parent for parent in parents if parent in sent]
    quoted = [sent[parent] for parent in answered]
    new_text, lead_text = quote.divide(text, quoted, secret=not all(map(for_customers, answered)))
    if not (quoted or _is_reply(subject, parents)):
        new_text = text
    by_list = writer.list_address(fields)
    if kind is Kind.BULK and by_list and not classify.is_persons_behind_list(tree.parts[0], return_path):
        by_list = ""
    submitter = writer.on_form(text)
    return Reading(
        message_id=_message_id(fields),
        parents=parents,
        subject=subject,
        sender=sender,
        sender_problem=problem,
        claimed=_claimed(fields),
        reply_to=addresses.mailboxes(fields.get("reply-to", ())),
        to=addresses.mailboxes(fields.get("to", ())),
        cc=addresses.mailboxes(fields.get("cc", ())),
        date=date_of(first(fields, "date")),
        return_path=return_path,
        kind=kind,
        kind_why=kind_why,
        spam=classify.spam_verdict(fields),
        proof=proof,
        proof_why=proof_why,
        text=text,
        new_text=new_text,
        lead_text=lead_text,
        attachments=body.attachments(),
        content_hash=content_hash(data, tree),
        # All that a web form sends has its own address; who filled it in tells them apart.
        likeness=likeness(submitter or sender, new_text),
        report=report,
        loop_marks=tuple(line(value, 200) for value in fields.get("x-helpdesk-loop", ())[:20]),
        hops=len(fields.get("received", ())),
        defects=_defects(tree, body),
        forwarded=None if kind.unattended else _forwarded(body, text, subject, bool(parents)),
        aliases=message_ids(fields, *thread.ORIGINAL_IDS)[:_MAX_ALIASES],
        thread_index=thread.index_of(fields),
        list_address=by_list,
        submitter=submitter,
    )


def _root_fields(data: bytes, tree: mime.Tree) -> Fields:
    """The mail's own header; raw 8-bit bytes in it, which say no charset, are read by that of the text."""
    root = tree.parts[0]
    head = data[: root.start]
    if head.isascii() or is_utf8(head):
        return root.fields
    hint = next((found for part in tree.parts[:10] if (found := part.params.get("charset", ""))), "")
    return mime.read_fields(mime.with_line_ends(data[: root.start]), 0, hint)[0] if hint else root.fields


def _claimed(fields: Fields) -> Mailbox | None:
    """Whom the mail seems to be from, for people to look at: the first mailbox that any of these headers names.

    Some programs encode the address together with the name, which makes it none; it may be looked at all the same.
    """
    sender, _ = addresses.strict_sender(fields.get("from", ()))
    if sender is not None:
        return sender
    for name in ("from", "sender", "reply-to"):
        values = [value[:_MAX_CLAIM] for value in fields.get(name, ())[:5]]
        if found := addresses.mailboxes(values) or addresses.mailboxes([decode_words(one) for one in values]):
            return found[0]
    return None


def _forwarded(body: Body, text: str, subject: str, answers: bool) -> Forwarded | None:
    """What a person's mail forwards: in its text, else attached as a mail. What a reply has attached is a file."""
    replies = not forward.is_forward(subject) and (answers or forward.is_reply(subject))
    return forward.find(text, subject, answers) or (None if replies else body.attached_mail(text))


def _is_reply(subject: str, parents: Sequence[str]) -> bool:
    """True where text may be quoted. In a forwarded mail the quoted text is what the writer wants to be read."""
    return not forward.is_forward(subject) and (bool(parents) or forward.is_reply(subject))


_ID = re.compile(r"<[^<>\s]{1,248}>")
#: Folded or padded within its brackets, and standing alone without them.
_LOOSE_ID = re.compile(r"<([^<>]{1,400})>")
_BARE_ID = re.compile(r"[^\s<>@,;:()\"]{1,120}@[^\s<>@,;:()\"]{1,120}")


def _ids(value: str) -> list[str]:
    """The ids in a header value, in order, each in its angle brackets.

    >>> _ids("Your mail of Monday <1@ a.example>"), _ids("1@a.example 2@a.example"), _ids("Bob wrote to me@a.example")
    (['<1@a.example>'], ['<1@a.example>', '<2@a.example>'], [])
    """
    value = decode_words(value) if "=?" in value else value
    found = [f"<{''.join(inside.split())}>" for inside in _LOOSE_ID.findall(value)]
    words = value.replace(",", " ").split() if not found else []
    if words and all(_BARE_ID.fullmatch(word) for word in words):
        found = [f"<{word}>" for word in words]
    return [one for one in found if _ID.fullmatch(one)]


def message_ids(fields: Fields, *names: str) -> tuple[str, ...]:
    """The ids in these headers, nearest ancestor first, each once, at most _MAX_IDS.

    >>> message_ids({"references": ["<first@a> <second@a>"]}, "in-reply-to", "references")
    ('<second@a>', '<first@a>')
    """
    found: list[str] = []
    for name in names:
        for value in fields.get(name, ()):
            found += reversed(_ids(value[-64 * 1024 :]))
    return tuple(dict.fromkeys(line(text, _MAX_ID) for text in found if text.isprintable()))[:_MAX_IDS]


def ancestors(data: bytes) -> tuple[str, ...]:
    """The ids in In-Reply-To and References of a raw mail, nearest ancestor first; total and cheap, for look-ups."""
    return message_ids(mime.read_fields(data, 0)[0], "in-reply-to", "references")


def _parents(fields: Fields, report: Report | None) -> tuple[str, ...]:
    """The mails that this one answers; for a report also the mail that it returns or names (RFC 3464, 8098)."""
    found = message_ids(fields, "in-reply-to", "references")
    if found:
        # Some name in In-Reply-To whom they answer ("Message from Bob <bob@...>"), which ties together all that he writes.
        named = (one for name in _PEOPLE for one in addresses.mailboxes(fields.get(name, ())))
        people = {f"<{fold(one.address)}>" for one in named}
        found = tuple(one for one in found if fold(one) not in people)
    return tuple(dict.fromkeys((*(report.returned if report else ()), *found)))[:_MAX_IDS]


_PEOPLE = ("from", "to", "cc", "reply-to")


def _message_id(fields: Fields) -> str:
    text = next(iter(_ids(first(fields, "message-id")[:4000])), "")
    return text if len(text) <= _MAX_ID and text.isascii() and text.isprintable() else ""


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
#: So much of a text is compared, in characters.
_COMPARED = 20_000


def likeness(sender: Mailbox | None, text: str) -> str:
    """A hash of sender and words: the same for mails that differ in numbers, ids, white space and quotes alone.

    The sender is his domain, since some machines answer with a new address each time; where anybody can have an address,
    it is the address. "" where there is no sender or no word.
    """
    lines = (one for one in text[:_COMPARED].casefold().split("\n") if not one.lstrip().startswith(">"))
    # What holds a digit or underscore is an id, a date or an address; a machine writes another one each time.
    words = [word.strip(_MARKS) for one in lines for word in one.split()]
    own = " ".join(word for word in words if word.isalpha())
    if sender is None or not own:
        return ""
    address = fold(sender.address)
    domain = address.rpartition("@")[2]
    who = address if domain in PUBLIC_MAIL_DOMAINS else domain
    return hashlib.sha256(f"{who}\n{own}".encode("utf-8", "replace")).hexdigest()


def _defects(tree: mime.Tree, body: Body) -> tuple[str, ...]:
    return tuple(defect for defect in (tree.problem, *body.defects) if defect)


#: What a worker calls for each mail.
Read = Callable[[RawMail, Mapping[str, str], tuple[str, ...]], Reading]
