"""Do what a proven agent's mail says: answer the customer, keep a note, carry out commands. Unproven: keep, never relay."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from helpdesk.commands import COMMANDS
from helpdesk.commands.grammar import Orders, parse
from helpdesk.commands.outcome import Refused
from helpdesk.domain.decision import (
    AddEntry,
    Assign,
    Audience,
    Drop,
    Effect,
    Relay,
    Say,
    SetAside,
    SetStatus,
    Verdict,
)
from helpdesk.domain.event import EventKind
from helpdesk.domain.facts import Facts
from helpdesk.domain.proof import CommandClass, Proof, Role, allowed
from helpdesk.domain.ticket import Reason, Status, Ticket

#: The cause of a mail that may be forged begins so.
CLAIMS = "it claims to be from "
#: An agent and the operator are told so often within an hour that mails in his name prove nothing.
WARNINGS_PER_HOUR = 3
#: So many of his mails come back to him within an hour; more can only be a machine's. Nor do more than a few come back
#: to who writes again within so many minutes of the last: his address may forward to the desk.
RETURNS_PER_HOUR = 20
RAPID_RETURNS = 3
RAPID_MINUTES = 5

_NO_TICKET = "it names no ticket. Reply to a mail that I sent you about the ticket, then I know where it belongs"
_NO_CUSTOMER = (
    "it names no ticket, and it forwards no customer's mail whose sender and words I can tell. "
    "Forward the mail as an attachment to open a ticket for the customer"
)


@dataclass(frozen=True, slots=True)
class Options:
    confirming_reply: bool = False


_PLAIN = Options()


def check(facts: Facts, options: Options = _PLAIN) -> Verdict | None:
    if facts.agent is None or facts.opened:
        return None
    if facts.reading.kind.unattended:
        why = f"an agent's machine wrote it ({facts.reading.kind_why})"
        return Verdict((Drop(why),), why, final=True)
    if not facts.proof.proven:
        return _unproven(facts, options)
    if facts.ticket is None:
        return returned(facts, _NO_CUSTOMER if facts.reading.forwarded else _NO_TICKET)
    if shows_notice(facts, facts.reading.new_text):
        return returned(
            facts, "it still holds the text of a mail that I wrote for you alone. Please delete the quoted lines"
        )
    orders = parse(facts.reading.lead_text, facts.reading.new_text, COMMANDS)
    if orders.problem:
        return _refused(facts, orders.problem)
    if not orders.text and not orders.commands and not _files(facts):
        only = (
            " (a picture in the text is taken for a logo: write a word beside it)" if facts.reading.attachments else ""
        )
        return returned(facts, f"it has no new text above or below the quote{only}")
    return _heard(facts, orders)


def _unproven(facts: Facts, options: Options) -> Verdict:
    """A forged From looks just like this, so nothing goes out, and both the agent on record and the operator hear of it.

    Where mail systems prove nothing, the agent alone is asked whether he wrote it; not where one says that he did not.
    """
    assert facts.agent is not None
    why = f"{CLAIMS}{facts.agent.name}, but nothing proves it ({facts.reading.proof_why or facts.proof})"
    told: tuple[Effect, ...] = ()
    reason = facts.reading.proof_why or "your mail system proved nothing"
    if options.confirming_reply and facts.proof is not Proof.FAILED:
        if facts.ration.warned < RETURNS_PER_HOUR:
            told = (Say(Audience.ACTOR, "is_it_yours", {"reason": reason}),)
    elif facts.ration.warned < WARNINGS_PER_HOUR:
        told = (
            Say(Audience.ACTOR, "unproven", {"reason": reason}),
            Say(Audience.OPERATOR, "unproven_agent", {"reason": reason}),
        )
    return Verdict((SetAside(why), *told), why, final=True)


def _files(facts: Facts) -> bool:
    """Whether anything is attached that is more than a picture in a signature."""
    return any(not one.inline for one in facts.reading.attachments)


def shows_notice(facts: Facts, text: str) -> bool:
    """Whether a quote that nobody recognised still stands in the text: every notice carries an address for notes."""
    for address in facts.desk.addresses:
        local, _, domain = address.partition("@")
        if re.search(rf"{re.escape(local)}\+n[a-z2-7]{{20,}}@{re.escape(domain)}", text, re.IGNORECASE):
            return True
    return False


def returned(facts: Facts, reason: str) -> Verdict:
    """The agent's mail comes back to him, with the reason and his own words; final."""
    said = Say(Audience.ACTOR, "returned", {"reason": reason})
    return _given_back(facts, said, reason, f"nothing was sent: {reason}")


def _refused(facts: Facts, problem: str) -> Verdict:
    said = Say(Audience.ACTOR, "refused_command", {"lines": (problem,)})
    return _given_back(facts, said, "a command that I do not carry out", problem)


def _given_back(facts: Facts, said: Say, reason: str, why: str) -> Verdict:
    """The agent hears of it; where a machine seems to answer in his name nobody does but the operator, and it is kept."""
    warned, last = facts.ration.warned, facts.ration.last_at
    rapid = last is not None and facts.now - last <= timedelta(minutes=RAPID_MINUTES) and warned >= RAPID_RETURNS
    if rapid or warned >= RETURNS_PER_HOUR:
        cause = f"not returned to the agent once more ({warned} times within an hour): {reason}"
        return Verdict((SetAside(cause), Say(Audience.OPERATOR, "quarantined", {"cause": cause})), why, final=True)
    return Verdict((Drop(f"returned to the agent: {reason}"), said), why, final=True)


def _heard(facts: Facts, orders: Orders) -> Verdict:
    assert facts.ticket is not None
    assert facts.agent is not None
    kept_inside = facts.purpose == "n" or any(word == "note" for word, _ in orders.commands)
    if not allowed(facts.proof, Role.AGENT, facts.token, CommandClass.NOTE if kept_inside else CommandClass.REPLY):
        return returned(
            facts,
            "its reply address was changed on the way or belongs to another ticket. "
            "Reply anew to a mail that I sent you about this ticket",
        )
    for word, _ in orders.commands:
        if not allowed(facts.proof, Role.AGENT, facts.token, COMMANDS[word].CLASS):
            return _refused(facts, f"#{word} needs more proof of who you are than your mail carries.")
    effects = list(_words(facts, orders, kept_inside=kept_inside))
    seen = facts.after(effects)
    lines: list[str] = []
    for word, argument in orders.commands:
        result = COMMANDS[word].run(seen, argument)
        if isinstance(result, Refused):
            return _refused(facts, result.line)
        effects += result.effects
        lines.append(result.line)
        seen = seen.after(result.effects)
    if lines:
        effects.append(Say(Audience.ACTOR, "done", {"lines": tuple(lines)}))
    done = [f"#{word}" for word, _ in orders.commands]
    what = "a note" if kept_inside else "an answer to the customer" if orders.text or not done else "no text"
    return Verdict(
        tuple(effects), f"{facts.agent.name} ({facts.proof}): {what}" + "".join(f", {one}" for one in done), final=True
    )


def _words(facts: Facts, orders: Orders, *, kept_inside: bool) -> tuple[Effect, ...]:
    """File the text, and send it unless it is a note; the first to answer an unassigned ticket gets it."""
    assert facts.ticket is not None
    assert facts.agent is not None
    if kept_inside:
        arguments = [argument for word, argument in orders.commands if word == "note" and argument]
        text = "\n".join([*arguments, orders.text]).strip("\n")
        told: tuple[Effect, ...] = ()
        if facts.ticket.agent != facts.agent.key:
            told = (Say(Audience.AGENT, "note_added"),)
        return (AddEntry(EventKind.NOTE, text), *told)
    if not orders.text and not _files(facts):
        return ()
    effects: tuple[Effect, ...] = (
        AddEntry(EventKind.ANSWER, orders.text),
        Relay(orders.text),
        *_doubtful(facts.ticket),
    )
    if not facts.ticket.agent:
        effects = (*effects, Assign(facts.agent.key))
    if facts.ticket.status in (Status.NEW, Status.OPEN):
        effects = (*effects, SetStatus(Status.WAITING, Reason.CUSTOMER))
    return effects


def _doubtful(ticket: Ticket) -> tuple[Effect, ...]:
    """The answer goes out, for a full mailbox may be empty by now; but the agent knows at once that it may come back."""
    doubtful = [person for person in (ticket.requester, *ticket.participants) if person.unreachable_since]
    return tuple(
        Say(Audience.ACTOR, "came_back", {"address": person.address, "reason": person.unreachable_why})
        for person in doubtful
    )
