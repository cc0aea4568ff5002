"""However a mail is broken: nothing raises, nothing takes long, it ends as an entry, a counted drop or in quarantine."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta

import pytest
import sqlalchemy as sa

from helpdesk.domain.mail import Door, Envelope, RawMail
from helpdesk.inbound.read import read
from helpdesk.inbound.scan import danger
from helpdesk.pipeline import handle
from helpdesk.store import spool
from helpdesk.store.tables import spool as spooled
from tests import fuzz
from tests.pipeline.office import BORDER, Office

#: Together with those of the SMTP door (``tests/stories/test_fuzz.py``) they are 20,000.
MAILS, PARTS = 18_000, 6
AT_ONCE = 100
ENDS = {"entry", "dropped", "quarantined", "seen before"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(PARTS))
def test_broken_mails_come_to_an_end(desk: Office, part: int) -> None:
    ends = Counter[str]()
    slowest = 0.0
    given = list(fuzz.mails(MAILS // PARTS, part))
    for begin in range(0, len(given), AT_ONCE):
        desk.now += timedelta(minutes=1)
        with desk.engine.begin() as connection:
            for number, data in enumerate(given[begin : begin + AT_ONCE]):
                sender = ("", "bob@globex.example", "ann@acme.example", None)[number % 4]
                envelope = Envelope(sender, ("support@acme.example",), "192.0.2.1")
                spool.keep(connection, RawMail(Door.SMTP, envelope, desk.now, data), ["acme"], desk.now)
            for taken in spool.claim(connection, AT_ONCE):
                started = time.process_time()
                if cause := danger(taken.mail.data):
                    outcome = handle.quarantine(connection, desk.world, taken, cause, desk.now)
                else:
                    found = read(taken.mail, {}, (BORDER,))
                    assert not [one for one in found.defects if one.startswith("reading failed")], taken.mail.data
                    outcome = handle.handle_mail(connection, desk.world, taken, found, desk.now)
                ends[outcome.name] += 1
                slowest = max(slowest, time.process_time() - started)

    with desk.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).where(spooled.c.done_at.is_(None))).scalar() == 0
        assert connection.execute(sa.select(sa.func.count()).select_from(spooled)).scalar() == ends.total()
    assert ends.total() == len(given)
    assert ends.keys() <= ENDS, ends
    assert ends["entry"] > ends.total() / 10, "most mistakes should still be readable"
    assert ends["quarantined"], "some should not"
    assert slowest < 10
