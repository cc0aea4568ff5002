"""Send the agent the customer's last mail as it came: every quote, signature and file that a notice leaves out."""

from __future__ import annotations

from helpdesk.commands.outcome import Done, Refused
from helpdesk.domain.decision import Audience, Say
from helpdesk.domain.facts import Facts
from helpdesk.domain.proof import CommandClass

WORD = "whole"
ARGUMENT = ""
CLASS = CommandClass.READ
MEANING = "sends you the customer's last mail as it came, quotes and all"


def run(facts: Facts, argument: str) -> Done | Refused:
    """There is always one: no ticket begins without a mail of somebody."""
    return Done((Say(Audience.ACTOR, "whole_mail"),), "You asked for the last mail that came from outside.")
