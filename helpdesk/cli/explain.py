"""``helpdesk explain``: what the desk would make of a mail, by whom, why, and what would be sent. Changes nothing.

The decision is really applied, in a transaction that is undone: so the mails shown are those that would be sent.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from helpdesk.cli.effects import in_words
from helpdesk.cli.ingest import named_in, own_addresses, tenants, without_mbox_line
from helpdesk.cli.opened import database_faults, largest_mail, read_bytes
from helpdesk.cli.terminal import Stopped, indented, one_line, say, show_json, size_in_words

if TYPE_CHECKING:
    import sqlalchemy as sa

    from helpdesk.app import App
    from helpdesk.domain.bounce import Fate
    from helpdesk.domain.mail import Mailbox, RawMail
    from helpdesk.domain.reading import Forwarded, Reading
    from helpdesk.pipeline.handle import Considered
    from helpdesk.pipeline.world import World
    from helpdesk.store.spool import Spooled


@dataclass(frozen=True, slots=True)
class _Letter:
    """A mail that would be sent."""

    to: str
    audience: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class _Explained:
    """What one tenant's desk would do; ``unasked`` are rules behind a final one, ``silent`` those that did not apply."""

    considered: Considered
    reference: str
    outcome: str
    letters: tuple[_Letter, ...]
    silent: tuple[str, ...]
    unasked: tuple[str, ...]


@click.command()
@click.argument("file", metavar="FILE.eml|-")
@click.option("--to", "recipients", metavar="ADDRESS", multiple=True, help="Envelope recipient; may be repeated.")
@click.option("--from", "sender", metavar="ADDRESS", help='Envelope sender, "" for <>.')
@click.option("--all", "everything", is_flag=True, help="Also the rules that did not fire, and the text of the mails.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_obj
def explain(
    folder: Path, file: str, recipients: tuple[str, ...], sender: str | None, everything: bool, as_json: bool
) -> None:
    """Show what the desk would decide about a mail and why; change nothing."""
    from helpdesk.app import build
    from helpdesk.domain.mail import Door, Envelope, RawMail

    with database_faults():
        app = build(folder)
        data = without_mbox_line(read_bytes(file, largest_mail(app.settings)))
        ours = tenants(app.settings)
        wanted = own_addresses(ours, recipients or named_in(data))
        if not wanted:
            raise Stopped(
                f"{file}: it is for no address of ours; say for whom with --to ADDRESS ({', '.join(ours)})",
                os.EX_DATAERR,
            )
        raw = RawMail(Door.FILE, Envelope(sender, tuple(wanted)), app.now(), data)
        reading = _read(app, raw)
        explained = _consider(app, raw, reading, tuple(dict.fromkeys(wanted.values())))
    if as_json:
        show_json(_as_json(reading, explained))
        return
    _show_reading(reading)
    for one in explained:
        _show(one, everything=everything)


def _read(app: App, raw: RawMail) -> Reading:
    """The Reading, made as the daemon makes it: in a process that may be killed."""
    from helpdesk.app import judges_of
    from helpdesk.inbound.worker import Reader, Unreadable

    border = app.settings.main.border
    reader = Reader(app.settings.believed(), app.settings.main.limits.reading_seconds, peers=border.peers)
    try:
        (answer,) = reader.read_all([(raw, {})])
    finally:
        reader.close()
    if isinstance(answer, Unreadable):
        raise Stopped(f"the mail would go to quarantine, since it cannot be read: {answer.cause}", os.EX_DATAERR)
    for judge in judges_of(app.settings):
        with closing(judge):
            (answer,) = judge.judge_all([(raw, answer)])
    return answer


def _consider(app: App, raw: RawMail, reading: Reading, whose: Sequence[str]) -> list[_Explained]:
    from helpdesk.store import spool

    explained = []
    with app.engine.connect() as connection, connection.begin() as transaction:
        try:
            world = app.world_within(connection)
            for tenant in whose:
                taken = spool.keep_claimed(connection, raw, tenant, raw.received_at)
                assert taken is not None
                if one := _explain(connection, world, taken, reading):
                    explained.append(one)
        finally:
            transaction.rollback()
    return explained


def _explain(connection: sa.Connection, world: World, taken: Spooled, reading: Reading) -> _Explained | None:
    from helpdesk.domain.facts import Trigger
    from helpdesk.pipeline import handle
    from helpdesk.pipeline.apply import apply

    now = taken.mail.received_at
    considered = handle.consider(connection, world, taken, reading, now)
    if considered is None:
        return None
    desk, decision = considered.desk, considered.decision
    outcome = apply(connection, world, desk, considered.facts, decision, at=now, taken=taken)
    ticket = considered.facts.after(decision.effects).ticket
    names = [rule.name for rule in desk.rules[Trigger.MAIL]]
    fired = [step.rule for step in decision.steps]
    asked = names[: names.index(fired[-1]) + 1] if fired and decision.steps[-1].final else names
    return _Explained(
        considered=considered,
        # A ticket that would be opened has a number only in the transaction that is undone.
        reference=ticket.reference if ticket else "",
        outcome=outcome.name,
        letters=_letters(connection, now),
        silent=tuple(name for name in asked if name not in fired),
        unasked=tuple(names[len(asked) :]),
    )


def _letters(connection: sa.Connection, now: datetime) -> tuple[_Letter, ...]:
    """The mails that this transaction put into the outbox, read back from their bytes."""
    import sqlalchemy as sa

    from helpdesk.domain.mail import Door, Envelope, RawMail
    from helpdesk.inbound.read import read
    from helpdesk.store.tables import outbox, outbox_mail

    query = sa.select(outbox.c.recipient, outbox.c.audience, outbox_mail.c.data).join(outbox_mail)
    rows = connection.execute(query.where(outbox.c.created_at == now).order_by(outbox.c.id)).all()
    written = [read(RawMail(Door.FILE, Envelope("", ()), now, row.data)) for row in rows]
    return tuple(
        _Letter(row.recipient, row.audience, one.subject, one.text) for row, one in zip(rows, written, strict=True)
    )


def _show_reading(reading: Reading) -> None:
    seems = f"; it seems to be {_address(reading.claimed)}" if reading.claimed else ""
    sender = _address(reading.sender) if reading.sender else f"nobody ({reading.sender_problem}{seems})"
    lines = [
        ("From", sender),
        ("Reply to", ", ".join(map(_address, reading.reply_to))),
        ("To", ", ".join(map(_address, (*reading.to, *reading.cc)))),
        ("Subject", reading.subject),
        ("Proof", f"{reading.proof.value}" + (f": {reading.proof_why}" if reading.proof_why else "")),
        ("Kind", f"{reading.kind.value}" + (f": {reading.kind_why}" if reading.kind_why else "")),
        ("Spam", f"says {reading.spam}" if reading.spam else ""),
        ("Id", ", ".join((reading.message_id, *reading.aliases)) if reading.message_id else ""),
        ("Answers", ", ".join(reading.parents)),
        ("Outlook", f"conversation {reading.thread_index}" if reading.thread_index else ""),
        *(("Reports", _fate(fate)) for fate in (reading.report.fates if reading.report else ())),
        ("Forwards", _forwarded(reading.forwarded) if reading.forwarded else ""),
        ("List", reading.list_address),
        ("Form", f"its fields name {_address(reading.submitter)}" if reading.submitter else ""),
        ("Oddities", "; ".join(reading.defects)),
    ]
    for name, value in lines:
        if value:
            say(f"{name + ':':<10}{one_line(value)}")
    for file in reading.attachments:
        inside = {"tnef": ", out of winmail.dat", "smime": ", out of the signed mail", "text": ", out of the text"}.get(
            file.container, ""
        )
        shown = ", shown in the text" if file.inline else ""
        kind = f"{one_line(file.type)}, {size_in_words(file.size)}{inside}{shown}"
        say(f"{'File:':<10}{one_line(file.name or 'unnamed')} ({kind})")
    say("New text:")
    say(indented(reading.new_text.strip("\n") or "(none)"))
    if reading.text.strip() != reading.new_text.strip():
        say("Whole text:")
        say(indented(reading.text.strip("\n")))


def _fate(fate: Fate) -> str:
    said = ", ".join(filter(None, (fate.action, fate.status, fate.words)))
    return f"{fate.original or fate.recipient or 'nobody by name'}: {said}"


def _forwarded(mail: Forwarded) -> str:
    return f"{mail.subject or '(no subject)'}, from {_address(mail.sender) if mail.sender else 'somebody'}, {mail.date}"


def _address(mailbox: Mailbox) -> str:
    return f"{mailbox.name} <{mailbox.address}>" if mailbox.name else mailbox.address


def _show(one: _Explained, *, everything: bool) -> None:
    facts = one.considered.facts
    who = f"{facts.sender.called}, " if facts.sender else ""
    say(f"\nDesk {facts.desk.key} would take it as from {one_line(who)}{facts.role.value}, on {facts.today}:")
    for number, step in enumerate(one.considered.decision.steps, start=1):
        say(f"  {number}. {step.rule}: {one_line(step.why)}" + ("  [final]" if step.final else ""))
        for effect in step.effects:
            say(f"       {one_line(in_words(effect))}")
    if everything:
        say(f"  did not apply: {', '.join(one.silent) or 'none'}")
        say(f"  not asked: {', '.join(one.unasked) or 'none'}")
    say(f"\nIt would become: {one.outcome}" + (f", on ticket {one.reference}" if one.reference else ""))
    if not one.letters:
        say("Nobody would get a mail.")
    for letter in one.letters:
        say(f"Mail to {one_line(letter.to)} ({letter.audience}): {one_line(letter.subject)}")
        if everything:
            say(indented(letter.text.strip("\n")))


def _as_json(reading: Reading, explained: Sequence[_Explained]) -> dict[str, Any]:
    from helpdesk.domain import codec

    return {
        "reading": {**codec.dump(reading), "new_text": reading.new_text},
        "desks": [
            {
                "desk": one.considered.facts.desk.key,
                "role": one.considered.facts.role.value,
                "proof": one.considered.facts.proof.value,
                "steps": [
                    {
                        "rule": step.rule,
                        "why": step.why,
                        "final": step.final,
                        "effects": [in_words(effect) for effect in step.effects],
                    }
                    for step in one.considered.decision.steps
                ],
                "did_not_apply": list(one.silent),
                "not_asked": list(one.unasked),
                "outcome": one.outcome,
                "ticket": one.reference or None,
                "mails": [
                    {"to": letter.to, "audience": letter.audience, "subject": letter.subject, "text": letter.text}
                    for letter in one.letters
                ],
            }
            for one in explained
        ],
    }
