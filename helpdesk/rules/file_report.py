"""File a delivery report or a receipt with the mail of ours that it is about; it never opens a ticket (RFC 3464)."""

from __future__ import annotations

from helpdesk.domain.decision import AddEntry, ClearAddress, Drop, Effect, PassReport, Verdict
from helpdesk.domain.event import EventKind
from helpdesk.domain.facts import Facts, Returned
from helpdesk.domain.reading import Kind

#: What a report may say that means: the mail was not delivered, and nobody tries any more.
_ENDED = ("failed", "")


def check(facts: Facts) -> Verdict | None:
    kind = facts.reading.kind
    if not kind.is_report:
        return _to_return_path(facts)
    if facts.ticket is None or (facts.returned is None and kind is not Kind.RECEIPT):
        return _drop(f"a {kind} that names none of our mails")
    entry = AddEntry(EventKind.REPORT, facts.reading.text)
    if kind is Kind.BOUNCE and facts.returned is not None and facts.returned.fate.action in _ENDED:
        return _came_back(entry, facts.returned)
    effects: tuple[Effect, ...] = (entry,)
    if kind is Kind.RECEIPT and facts.returned is not None:
        effects = (entry, ClearAddress(facts.returned.recipient))
    return Verdict(effects, f"a {kind}: filed, nobody needs to act", final=True)


def _came_back(entry: AddEntry, returned: Returned) -> Verdict:
    if returned.known:
        return Verdict((entry,), f"the mail to {returned.recipient} was known to have come back", final=True)
    fate = returned.fate
    report = PassReport(returned.mail_id, fate.status, fate.words)
    return Verdict((entry, report), f"the mail to {returned.recipient} came back, known by {returned.how}", final=True)


def _to_return_path(facts: Facts) -> Verdict | None:
    """Machines answer to the return path (RFC 3834 section 4); where it leads nowhere, no ticket is opened either."""
    if facts.to_return_path and facts.ticket is None and facts.reading.kind.unattended:
        return _drop(f"a machine's answer ({facts.reading.kind}) to a return path that is none of ours")
    return None


def _drop(why: str) -> Verdict:
    return Verdict((Drop(why),), why, final=True)
