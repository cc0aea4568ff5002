"""The References of a long thread stay short enough for every relay and client, and never lose the ends (F24)."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from helpdesk.domain.mail import Mailbox
from helpdesk.outbound.compose import Draft, compose
from helpdesk.outbound.headers import REFERENCES_BYTES, REFERENCES_KEPT
from tests.store.rows import NOW

_DRAFT = Draft(
    sender=Mailbox("support@acme.example"),
    to=(Mailbox("bob@client.example"),),
    subject="Pump",
    text="x",
    message_id="<new@acme.example>",
    date=NOW,
)
_FIELD = re.compile(rb"^References:(?:.*\r\n)(?:[ \t].*\r\n)*", re.MULTILINE)


def written(ids: tuple[str, ...]) -> bytes:
    """The field as it goes over the wire."""
    data = compose(replace(_DRAFT, references=ids, in_reply_to=ids[-1]))
    return _FIELD.findall(data)[0]


def kept(field: bytes) -> list[str]:
    return field.decode("ascii").removeprefix("References:").split()


def test_a_thread_of_five_hundred_mails():
    ids = tuple(f"<m{number}@acme.example>" for number in range(500))

    field = written(ids)

    assert kept(field) == [ids[0], *ids[-REFERENCES_KEPT:]]
    assert len(field) <= REFERENCES_BYTES
    assert max(map(len, field.split(b"\r\n"))) <= 78


@given(st.lists(st.integers(10, 236), min_size=1, max_size=500))
def test_root_and_parents_are_kept_whole_whatever_their_length(lengths: list[int]):
    """Mutant caught: a header that is cut at its limit in octets."""
    ids = tuple(f"<{number}.".ljust(length, "x") + "@y>" for number, length in enumerate(lengths))

    field = written(ids)
    found = kept(field)

    assert len(field) <= REFERENCES_BYTES
    assert found[0] == ids[0]
    assert found[1:] == list(ids[1:])[-(len(found) - 1) :] * (len(found) > 1)
    assert len(found) >= min(len(ids), 5), "there is room for some of any length"
