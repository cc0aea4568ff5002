"""Keep the mail inside: colleagues read it, the customer never does."""

from __future__ import annotations

from helpdesk.commands.outcome import Done, Refused
from helpdesk.domain.facts import Facts
from helpdesk.domain.proof import CommandClass

WORD = "note"
ARGUMENT = "TEXT"
CLASS = CommandClass.NOTE
MEANING = "keeps this mail inside; the customer does not get it"


def run(facts: Facts, argument: str) -> Done | Refused:
    """Nothing to do but say so: the caller files the text as a note instead of an answer."""
    return Done((), "Kept as an internal note. Nothing went to the customer.")
