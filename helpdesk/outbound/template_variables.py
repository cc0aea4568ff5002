"""What a template may use: every audience, every event, every name, in one table.

A value that a template is not given has its empty form ("", None, (), False, 0): ``{% if name %}`` is always safe.
The samples are what ``helpdesk check`` renders with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

Type = Literal["str", "bool", "int", "date", "datetime", "dict", "list of str", "list of dict", "words"]


@dataclass(frozen=True, slots=True)
class Words:
    """What a person wrote, verbatim: it becomes a block of its own in the mail, never Markdown."""

    text: str


@dataclass(frozen=True, slots=True)
class Variable:
    """A name that a template may use; ``sample`` is an invented value of its type."""

    name: str
    type: Type
    meaning: str
    sample: object

    @property
    def empty(self) -> object:
        """The value where none is given."""
        return _EMPTY[self.type]


_EMPTY: dict[Type, object] = {
    "str": "",
    "bool": False,
    "int": 0,
    "date": None,
    "datetime": None,
    "dict": None,
    "list of str": (),
    "list of dict": (),
    "words": "",
}

_DUE = datetime(2026, 11, 23, 22, 30, tzinfo=UTC)
_CONTRACT = {
    "kind": "support contract",
    "number": "C-77",
    "ends": date(2027, 6, 30),
    "organisation": "ACME",
}
_LAPSED = {"kind": "support contract", "number": "C-77", "ended": date(2026, 6, 30), "products": ("Widget Pro",)}

_NAME = Variable("name", "str", "whom the mail greets, from our records only; empty: a general greeting", "Bob Miller")
_DESK = Variable("desk", "str", "name of the desk", "Acme Support")
_DESK_ADDRESS = Variable("desk_address", "str", "address of the desk", "support@acme.example")
_ZONE = Variable("zone", "str", "time zone of the reader (IANA name)", "Australia/Sydney")
_REFERENCE = Variable("reference", "str", "reference of the ticket", "AC-1042")
_SUBJECT = Variable("subject", "str", "subject of the ticket; empty where it must not be repeated", "Printer on fire")
_BLOCKS = Variable("blocks", "words", "everything that this mail says (only in _frame.md)", Words("..."))
_PERSONAL = Variable(
    "personal", "bool", "whether a person's own letter is sent, greeting and all (only in _frame.md)", False
)

#: Events that are a person's own letter: a frame adds no greeting of ours.
PERSONAL = frozenset({"answer"})

#: Every template may use these: they belong to the mail, not to one thing said in it.
FRAME = (_NAME, _DESK, _DESK_ADDRESS, _ZONE, _REFERENCE, _SUBJECT)

_CONTRACT_OF_TICKET = Variable(
    "contract", "dict", "contract of the ticket: kind, number, ends (date), organisation; None without", _CONTRACT
)
_ANSWER_DUE = Variable("answer_due", "datetime", "when the first answer is due; None without a promise", _DUE)
_HOURS = Variable("hours", "str", "working hours in words", "Monday to Friday, 9:00 to 17:00, Sydney time")
_PROVEN = Variable("proven", "bool", "whether the sender is who he says", True)
_HOW_TO_RENEW = Variable("how_to_renew", "str", "how to renew, from the desk's settings", "Call your account manager.")
_WHO = Variable("who", "str", "name or address of the writer", "Bob Miller")
_ORGANISATION = Variable("organisation", "str", "organisation of the writer", "ACME")
_DUE_AT = Variable("due", "datetime", "when the first answer is due; None where nothing is promised", _DUE)
_PROOF = Variable("proof", "str", "a warning where the sender is not proven, else empty", "sender not proven")
_WORDS = Variable("words", "words", "what the person wrote", Words("Hello,\n\n  the printer is on fire.\n\nBob"))
_UNTIL = Variable("until", "datetime", "until when an answer counts", _DUE)
_ATTACHMENTS = Variable("attachments", "list of str", "names of the attached files", ("photo.jpg", "log.txt"))
_LINES = Variable("lines", "list of str", "one sentence each", ("Answer sent to bob@acme.example.", "Ticket closed."))
_COMMANDS = Variable(
    "commands",
    "list of dict",
    "what a line of the answer may say: word, meaning",
    ({"word": "#note", "meaning": "keep it inside"}, {"word": "#close", "meaning": "close the ticket"}),
)
_NOTE_ADDRESS = Variable("note_address", "str", "address for an internal note", "support+nabc@acme.example")
_ANSWER_ADDRESS = Variable(
    "answer_address", "str", "address for an answer to the customer", "support+rabc@acme.example"
)
_ANSWER_TO = Variable(
    "answer_to",
    "str",
    "where the customer asks to be answered (Reply-To); empty for his own address",
    "it@acme.example",
)
_AGENT = Variable("agent", "str", "name of the agent", "Ann Berger")
_FILE = Variable("file", "str", "name of the mail as it is attached; empty where it is too large", "AC-1042.eml")
_REASON = Variable("reason", "str", "why, in one sentence", "550 5.1.1 no such user")
_ADDRESS = Variable("address", "str", "the mail address in question", "bob@acme.example")
_FOUND = Variable(
    "found", "list of dict", "contracts that ended: kind, number, ended (date), products (list of str)", (_LAPSED,)
)
_MANAGER = Variable(
    "manager",
    "dict",
    "who looks after the customer: name, address; None without",
    {"name": "Mia", "address": "mia@acme.example"},
)

VARIABLES: Mapping[tuple[str, str], tuple[Variable, ...]] = {
    ("customer", "opened"): (_CONTRACT_OF_TICKET, _ANSWER_DUE, _HOURS, _PROVEN),
    ("customer", "held_contract"): (_FOUND, _HOW_TO_RENEW, _MANAGER),
    ("customer", "released"): (_CONTRACT_OF_TICKET, _ANSWER_DUE, _HOURS),
    ("customer", "admitted"): (_ANSWER_DUE, _HOURS),
    ("customer", "who_are_you"): (),
    ("customer", "thanks_details"): (),
    ("customer", "answer"): (_WORDS, _AGENT),
    ("customer", "closed"): (_AGENT,),
    ("agent", "new_ticket"): (
        _WHO,
        _ORGANISATION,
        _CONTRACT_OF_TICKET,
        _DUE_AT,
        _PROOF,
        _WORDS,
        _ATTACHMENTS,
        _COMMANDS,
        _ANSWER_TO,
        _NOTE_ADDRESS,
    ),
    ("agent", "customer_wrote"): (
        _WHO,
        _ORGANISATION,
        _CONTRACT_OF_TICKET,
        _DUE_AT,
        _PROOF,
        Variable("reopened", "bool", "whether this mail reopened the ticket", True),
        Variable("third_party", "bool", "whether the writer is not part of the ticket", False),
        _WORDS,
        _ATTACHMENTS,
        _COMMANDS,
        _ANSWER_TO,
        _NOTE_ADDRESS,
    ),
    ("agent", "held_ticket"): (
        _WHO,
        _ORGANISATION,
        _FOUND,
        _PROOF,
        Variable("told", "bool", "whether the customer was told how to renew", True),
        _WORDS,
        _ATTACHMENTS,
        _NOTE_ADDRESS,
    ),
    ("agent", "done"): (_LINES,),
    ("agent", "returned"): (_REASON, _LINES, _WORDS),
    ("agent", "note_added"): (_WHO, _WORDS, _NOTE_ADDRESS, _ANSWER_ADDRESS),
    ("agent", "unproven"): (_REASON,),
    ("agent", "is_it_yours"): (_REASON, _WORDS, _ATTACHMENTS, _UNTIL),
    ("agent", "refused_command"): (_LINES, _COMMANDS),
    ("agent", "reminder"): (
        _WHO,
        _ORGANISATION,
        _CONTRACT_OF_TICKET,
        _DUE_AT,
        Variable("step", "str", 'latest step: "50%", "80%", "breach"', "80%"),
        Variable("passed", "list of str", "the steps that this mail stands for", ("50%", "80%")),
        Variable("late", "bool", "whether the mail is late because the desk was not running", True),
    ),
    ("agent", "undeliverable"): (
        _ADDRESS,
        _REASON,
        Variable("cause", "str", "why, as a clause; empty where nobody knows", "there is no such mailbox"),
        Variable("came_back", "bool", "whether it was accepted first and came back later", True),
        Variable("since", "datetime", "when delivery was first tried", _DUE),
        _DUE_AT,
        _WORDS,
    ),
    ("agent", "came_back"): (_ADDRESS, _REASON),
    ("agent", "whole_mail"): (
        _WHO,
        _FILE,
        Variable("id", "str", "its number where it waits in quarantine, else empty", ""),
    ),
    ("agent", "who_is_this"): (
        _ADDRESS,
        _PROOF,
        Variable("opened", "bool", "whether this is the first mail of a request, not an answer to our question", True),
        Variable("told", "bool", "whether he was asked for company and contract number", True),
        _WORDS,
        _ATTACHMENTS,
        Variable(
            "proposal",
            "dict",
            "whom he may belong to: organisation, contract; None",
            {"organisation": "ACME", "contract": "C-77"},
        ),
    ),
    ("lead", "breach"): (
        _AGENT,
        _WHO,
        _ORGANISATION,
        _CONTRACT_OF_TICKET,
        _DUE_AT,
        Variable("waiting_since", "datetime", "when the customer wrote", _DUE),
        Variable("late", "bool", "whether the mail is late because the desk was not running", True),
        _NOTE_ADDRESS,
        _ANSWER_ADDRESS,
    ),
    ("manager", "lapsed"): (
        _WHO,
        _ADDRESS,
        _ORGANISATION,
        _FOUND,
        Variable("proven", "bool", "whether the sender is proven", True),
    ),
    ("operator", "quarantined"): (
        Variable("id", "str", "number in the quarantine", "17"),
        Variable("cause", "str", "why it was set aside", "more than one From header"),
        Variable("sender", "str", "what its From says", "bob@acme.example"),
    ),
    ("operator", "quarantine_waits"): (
        Variable("count", "int", "how many mails wait there", 3),
        Variable("since", "str", "day since which the oldest waits", "2026-03-02"),
        Variable(
            "waiting",
            "list of dict",
            "the oldest of them, at most 20: id, since (datetime), sender, cause, address (for an order about it)",
            (
                {
                    "id": 17,
                    "since": _DUE,
                    "sender": "bob@acme.example",
                    "cause": "two senders",
                    "address": "a@b.example",
                },
            ),
        ),
    ),
    ("operator", "whole_mail"): (
        _WHO,
        _FILE,
        Variable("id", "str", "number in the quarantine", "17"),
    ),
    ("operator", "quarantine_done"): (_LINES,),
    ("operator", "template_broken"): (
        Variable("template", "str", "which file", "config/templates/en/customer/opened.md"),
        Variable("error", "str", "what is wrong with it", "line 3: nobody knows `nmae`"),
    ),
    ("operator", "unproven_agent"): (_AGENT, _ADDRESS, _REASON),
    ("operator", "staff_unreachable"): (_ADDRESS, _REASON),
    ("operator", "input_given_up"): (Variable("kind", "str", "what it was: change, delivery", "delivery"),),
}

#: One file for each audience wraps all that is said to it.
FRAME_EVENT = "_frame"
AUDIENCES = tuple(dict.fromkeys(audience for audience, _ in VARIABLES))


def declared(audience: str, event: str) -> tuple[Variable, ...]:
    """The names that this template may use; empty where there is no such template."""
    if event == FRAME_EVENT:
        return (*FRAME, _BLOCKS, _PERSONAL) if audience in AUDIENCES else ()
    own = VARIABLES.get((audience, event))
    return () if own is None else (*FRAME, *own)
