"""What a mail says once it has been read: the only form in which rules see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from helpdesk.domain.bounce import Report
from helpdesk.domain.mail import Mailbox
from helpdesk.domain.proof import Proof

#: Marks a field that is not stored with the Facts, because the raw mail and the entry hold it already.
NOT_STORED = {"stored": False}


class Kind(StrEnum):
    """What sort of mail it is, told from its headers and structure."""

    HUMAN = "human"
    AUTO_REPLY = "auto-reply"
    OUT_OF_OFFICE = "out-of-office"
    CHALLENGE = "challenge"
    BOUNCE = "bounce"
    DELAYED = "delayed"
    RECEIPT = "receipt"
    BULK = "bulk"
    COMPLAINT = "complaint"
    CALENDAR = "calendar answer"

    @property
    def by_machine(self) -> bool:
        """True where no automatic mail may answer it (RFC 3834 section 2)."""
        return self is not Kind.HUMAN

    @property
    def is_report(self) -> bool:
        """True where a mail system speaks of a mail that it was given; such a mail is never a request."""
        return self in (Kind.BOUNCE, Kind.DELAYED, Kind.RECEIPT)

    @property
    def unattended(self) -> bool:
        """True where no person wrote it. Bulk headers alone do not say so: lists set them on people's mails."""
        return self not in (Kind.HUMAN, Kind.BULK, Kind.COMPLAINT)


@dataclass(frozen=True, slots=True)
class Attachment:
    """One attached part: where its encoded bytes lie in the raw mail and how to decode them.

    ``name`` is a label for people (no path, no control characters, at most 250 characters), "" where the mail gives none.
    ``size`` is the decoded size in bytes. ``start`` and ``end`` are offsets into the raw mail. Where the part is a
    ``container`` ("tnef", "smime" or "text"), this is its file number ``member``. ``inline`` tells a picture that the text
    refers to (RFC 2392). ``digest`` is the same for pictures of the same bytes; "" for other files, and for large ones.
    ``old`` says that its reader got it with an earlier mail of the ticket; a Reading alone never knows.
    """

    name: str
    type: str
    size: int
    start: int
    end: int
    encoding: str = ""
    content_id: str = ""
    inline: bool = False
    container: str = ""
    member: int = 0
    digest: str = ""
    old: bool = False


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A mail that another one forwards.

    ``sender`` is whom its From line names, with address "" where it gives only a name; ``date`` is as it was written, in
    any language. ``text`` is its words, ``note`` those of the forwarder.
    """

    sender: Mailbox | None = None
    subject: str = ""
    date: str = ""
    text: str = field(default="", metadata=NOT_STORED)
    note: str = field(default="", metadata=NOT_STORED)


@dataclass(frozen=True, slots=True)
class Reading:
    """A mail as understood. Every text is clean: no NUL, no lone surrogate, no control characters but newline and tab.

    ``parents`` are the Message-IDs of In-Reply-To and References, nearest ancestor first, with their angle brackets; for
    a delivery report or a receipt before them that of the mail it is about.
    ``sender`` is the one mailbox of the one From header, or None, and then ``sender_problem`` says why.
    ``spam`` is the header by which a filter on the mail's way condemned it, "" where none did.
    ``claimed`` is whom the mail seems to be from, for people to look at and for nothing else.
    ``text`` is the whole text, ``new_text`` what the writer added to it: above, below or between the quotes;
    ``lead_text`` is the part of the new text that stands above the first quote, the only place for commands.
    ``content_hash`` covers the stable headers and the body, so that two sightings of one mail are recognised.
    ``likeness`` is the same for mails of one domain whose own words differ in numbers and ids alone, as a machine's do;
    "" where there are no words. ``report`` is what a delivery report or receipt says.
    ``loop_marks`` are the values of our own ``X-Helpdesk-Loop`` headers; ``hops`` counts Received headers.
    ``forwarded`` is the mail that this one forwards, whoever sent it: rules decide who may speak for another.
    ``aliases`` are the Message-IDs that the mail bore before a server on its way rewrote them; ``thread_index`` is the
    conversation that Outlook's Thread-Index names, in hexadecimal, "" where there is none.
    ``list_address`` is where the list takes mail that this one came by, "" where it came by none, or no person wrote it;
    ``submitter`` is whom the fields of a web form name, worth something only where a web form is known to write.
    """

    message_id: str = ""
    parents: tuple[str, ...] = ()
    subject: str = ""
    sender: Mailbox | None = None
    sender_problem: str = ""
    claimed: Mailbox | None = None
    reply_to: tuple[Mailbox, ...] = ()
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    date: datetime | None = None
    return_path: str | None = None
    kind: Kind = Kind.HUMAN
    kind_why: str = ""
    spam: str = ""
    proof: Proof = Proof.NONE
    proof_why: str = ""
    text: str = field(default="", metadata=NOT_STORED)
    new_text: str = field(default="", metadata=NOT_STORED)
    lead_text: str = field(default="", metadata=NOT_STORED)
    attachments: tuple[Attachment, ...] = ()
    content_hash: str = ""
    likeness: str = ""
    report: Report | None = None
    loop_marks: tuple[str, ...] = ()
    hops: int = 0
    defects: tuple[str, ...] = ()
    forwarded: Forwarded | None = None
    aliases: tuple[str, ...] = ()
    thread_index: str = ""
    list_address: str = ""
    submitter: Mailbox | None = None
