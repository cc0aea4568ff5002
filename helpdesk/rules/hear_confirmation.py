"""Handle an agent's stopped mail once he says, by a reply to the question that he alone got, that he wrote it."""

from __future__ import annotations

from helpdesk.commands.grammar import order
from helpdesk.domain.decision import Audience, Drop, EndQuarantine, Say, Verdict
from helpdesk.domain.facts import CONFIRM_WITHIN, Facts
from helpdesk.domain.proof import Proof
from helpdesk.rules.hear_agent import returned

_ORDERS = {"#send": True, "#drop": False}


def check(facts: Facts) -> Verdict | None:
    mail = facts.confirming
    if mail is None or facts.agent is None:
        return None
    if facts.reading.kind.unattended:
        why = f"a machine confirms nothing ({facts.reading.kind_why})"
        return Verdict((Drop(why),), why, final=True)
    if facts.proof is Proof.FAILED:
        return returned(facts, "your domain's own policy says that your reply is not yours. Ask your administrator")
    if not mail.waits:
        return returned(facts, "the mail that it speaks of was sent or dropped before")
    if mail.since is None or facts.now - mail.since > CONFIRM_WITHIN:
        return returned(
            facts, "the mail that it speaks of was stopped more than 24 hours ago. Please send that one again"
        )
    send = _ORDERS.get(order(facts.reading.lead_text))
    if send is None:
        return returned(
            facts, "it begins with neither #send nor #drop, alone on its line. The stopped mail still waits"
        )
    end = EndQuarantine(mail.id, send, confirmed=send)
    if send:
        why = f"{facts.agent.name} says that mail {mail.id} in quarantine is his: it is handled as confirmed"
        return Verdict((end, Drop("a confirming reply")), why, final=True)
    why = f"{facts.agent.name} says that mail {mail.id} in quarantine is not his"
    dropped = ("The mail in your name is dropped. Tell your administrator that somebody uses your address.",)
    return Verdict(
        (end, Say(Audience.ACTOR, "done", {"lines": dropped}), Drop("an answer to a question")), why, final=True
    )
