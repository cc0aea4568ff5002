"""Release, drop or show a mail in quarantine as the operator, or a lead, orders by a reply to its notice."""

from __future__ import annotations

from helpdesk.commands.grammar import order
from helpdesk.domain.decision import Audience, Drop, Effect, EndQuarantine, Say, SetAside, Verdict
from helpdesk.domain.facts import Facts

_ORDERS = {"#release": True, "#drop": False}
_SHOW = "#show"
#: So many mails within an hour answer what orders nothing, or only asks to see: a machine may write in the name of either.
_ANSWERS_PER_HOUR = 30


def check(facts: Facts) -> Verdict | None:
    mail = facts.quarantine
    if mail is None or (facts.released and not facts.proof.proven):
        return None
    if facts.reading.kind.unattended:
        return Verdict(
            (Drop("a machine's answer to a notice of the quarantine"),), "a machine gives no orders", final=True
        )
    lead = facts.agent is not None and facts.agent.lead
    if not facts.proof.proven or not (facts.by_operator or lead):
        cause = "it would steer the quarantine, but nothing proves that the operator or a lead wrote it"
        return Verdict((SetAside(cause),), cause, final=True)
    word = order(facts.reading.lead_text)
    ends = word in _ORDERS and mail.waits
    if not ends and facts.ration.last_hour >= _ANSWERS_PER_HOUR:
        why = f"more than {_ANSWERS_PER_HOUR} mails about the quarantine within an hour: not answered"
        return Verdict((Drop(why),), why, final=True)
    if word == _SHOW and mail.id:
        shown = Say(Audience.ACTOR, "whole_mail") if lead else Say(Audience.OPERATOR, "whole_mail")
        why = f"mail {mail.id} in quarantine is shown"
        return Verdict((shown, Drop("an order about the quarantine")), why, final=True)
    release = _ORDERS.get(word)
    effects: tuple[Effect, ...] = ()
    if not mail.id:
        said = "Nothing was done: that mail lists several. Write to the address behind the one that you mean."
    elif release is None:
        said = (
            f"Nothing was done with mail {mail.id}: begin your reply with #release, #drop or #show, alone on its line."
        )
    elif not mail.waits:
        said = f"Mail {mail.id} was released or dropped before; nothing was done."
    else:
        effects = (EndQuarantine(mail.id, release),)
        said = f"Mail {mail.id} is released: it is read anew." if release else f"Mail {mail.id} is dropped."
    lines = {"lines": (said,)}
    heard = Say(Audience.ACTOR, "done", lines) if lead else Say(Audience.OPERATOR, "quarantine_done", lines)
    effects = (*effects, heard, Drop("an order about the quarantine"))
    return Verdict(effects, said, final=True)
