"""Mark an address whose server refused a mail for good: it gets no automatic mail until it writes, or a mail arrives."""

from __future__ import annotations

from helpdesk.domain import bounce
from helpdesk.domain.decision import Audience, MarkAddress, Verdict
from helpdesk.domain.facts import Facts


def check(facts: Facts) -> Verdict | None:
    delivery = facts.delivery
    if delivery is None or delivery.outcome not in ("failed", "bounced") or delivery.audience != Audience.CUSTOMER:
        return None
    status = delivery.status or bounce.status_in(delivery.reason)
    if not bounce.blames_address(status):
        return None
    why = delivery.reason or status
    return Verdict((MarkAddress(delivery.recipient, why),), f"{delivery.recipient} takes no mail ({status})")
