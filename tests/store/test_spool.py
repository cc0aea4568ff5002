from __future__ import annotations

import pytest
import sqlalchemy as sa

from helpdesk.domain.mail import Door, Envelope
from helpdesk.store import spool
from helpdesk.store.engine import lease_clock
from helpdesk.store.spool import LeaseLost
from helpdesk.store.tables import raw, sighting
from tests.store.rows import NOW, raw_mail, seen


@pytest.fixture
def connection(engine):
    with engine.begin() as opened:
        yield opened


def keep(connection, *mails, tenants=("acme",)):
    for mail in mails:
        spool.keep(connection, mail, tenants, NOW)


def claim(connection, *, retries=False, limit=50):
    return spool.claim(connection, limit, retries=retries)


def run_out(connection):
    """Every lease ends now, as when a reader died a minute ago."""
    connection.execute(sa.update(spool.spool).values(lease_until=lease_clock(connection) - 1))


def test_a_mail_comes_back_as_it_was_kept(connection):
    mail = raw_mail(b"\x00\xff\r\n.\r\n", envelope=Envelope("", ("a@acme.example", "b@acme.example"), "::1", "ann"))

    keep(connection, mail)

    (taken,) = claim(connection)
    assert taken.mail == mail
    assert (taken.tenant, taken.attempts) == ("acme", 1)


def test_an_unknown_reverse_path_is_not_an_empty_one(connection):
    keep(connection, raw_mail(envelope=Envelope(None, ("a@acme.example",))))

    assert claim(connection)[0].mail.envelope.sender is None


def test_every_tenant_has_a_row_of_its_own_and_the_bytes_are_there_once(connection):
    keep(connection, raw_mail(), raw_mail(), tenants=("acme", "umbra"))

    assert [taken.tenant for taken in claim(connection)] == ["acme", "umbra"] * 2
    assert connection.execute(sa.select(sa.func.count()).select_from(raw)).scalar() == 1


def test_claims_go_in_order_of_receipt_and_each_mail_goes_to_one(connection):
    keep(connection, *(raw_mail(b"%d" % number) for number in range(5)))

    first, second, third = claim(connection, limit=2), claim(connection, limit=2), claim(connection)

    assert [taken.mail.data for taken in (*first, *second, *third)] == [b"0", b"1", b"2", b"3", b"4"]
    assert claim(connection) == []


def test_a_mail_whose_reader_died_is_claimed_again_in_the_slow_lane(connection):
    keep(connection, raw_mail())
    (taken,) = claim(connection)
    assert claim(connection, retries=True) == []

    run_out(connection)

    assert claim(connection) == []
    (again,) = claim(connection, retries=True)
    assert (again.id, again.attempts, again.lease_no) == (taken.id, 2, taken.lease_no + 1)


def test_whoever_lost_the_lease_writes_nothing(connection):
    keep(connection, raw_mail())
    (late,) = claim(connection)
    run_out(connection)
    (owner,) = claim(connection, retries=True)

    with pytest.raises(LeaseLost):
        spool.finish(connection, late, "entry", "late", None, NOW)
    spool.give_back(connection, late, 0)
    assert claim(connection, retries=True) == []

    spool.finish(connection, owner, "entry", "in time", None, NOW)
    assert connection.execute(sa.select(spool.spool.c.outcome_why)).scalar() == "in time"


def test_a_mail_is_finished_once(connection):
    keep(connection, raw_mail())
    (taken,) = claim(connection)
    spool.finish(connection, taken, "dropped", "own mail", None, NOW)

    with pytest.raises(LeaseLost):
        spool.finish(connection, taken, "dropped", "own mail", None, NOW)
    run_out(connection)
    assert claim(connection) == claim(connection, retries=True) == []


def test_what_is_given_back_waits_in_the_slow_lane(connection):
    keep(connection, raw_mail(b"now"), raw_mail(b"later"), raw_mail(b"new"))
    now, later = claim(connection, limit=2)

    spool.give_back(connection, now, 0)
    spool.give_back(connection, later, 60)

    assert [taken.mail.data for taken in claim(connection)] == [b"new"]
    assert [taken.mail.data for taken in claim(connection, retries=True)] == [b"now"]


def test_what_is_handed_back_was_never_tried(connection):
    keep(connection, raw_mail(b"1"), raw_mail(b"2"))
    lost, held = claim(connection)
    run_out(connection)
    connection.execute(sa.update(spool.spool).where(spool.spool.c.id == lost.id).values(lease_no=lost.lease_no + 1))

    spool.hand_back(connection, [lost, held])

    assert [(taken.id, taken.attempts) for taken in claim(connection)] == [(held.id, 1)]


def test_a_starting_daemon_frees_what_the_last_one_held(connection):
    keep(connection, raw_mail())
    claim(connection)

    spool.drop_leases(connection)

    assert len(claim(connection, retries=True)) == 1


def test_several_daemons_claim_different_mails(postgresql):
    with postgresql.begin() as connection:
        keep(connection, *(raw_mail(b"%d" % number) for number in range(4)))

    with postgresql.begin() as one, postgresql.begin() as other:
        first = {taken.id for taken in claim(one, limit=2)}
        second = {taken.id for taken in claim(other, limit=10)}

    assert len(first) == len(second) == 2
    assert not first & second


def test_a_mail_of_a_first_attempt_keeps_its_claim_when_the_claimer_rolls_back(engine):
    """The attempt is counted in the claim's own transaction; undone, it was never made."""
    with engine.begin() as connection:
        keep(connection, raw_mail())
    with engine.connect() as connection, connection.begin() as transaction:
        claim(connection)
        transaction.rollback()

    with engine.begin() as connection:
        assert claim(connection)[0].attempts == 1


def test_the_same_mail_is_remembered_by_tenant_id_and_content(connection):
    keep(connection, raw_mail(b"1"), raw_mail(b"2"), raw_mail(b"3"), tenants=("acme", "umbra"))
    first, elsewhere, second, _, third, _ = claim(connection)

    assert spool.remember(connection, first, "<a@x>", "h1") is None
    assert spool.remember(connection, second, "<a@x>", "h1") == first.id
    assert spool.remember(connection, second, "<a@x>", "h2") is None
    assert spool.remember(connection, third, "<b@x>", "h1") is None
    assert spool.remember(connection, elsewhere, "<a@x>", "h1") is None


def test_what_imap_shows_again_is_kept_once(connection):
    keep(connection, seen(7), seen(7), seen(8), seen(7, uidvalidity=2))

    assert len(claim(connection)) == 3
    assert connection.execute(sa.select(sa.func.count()).select_from(sighting)).scalar() == 3


def test_a_number_that_imap_gave_to_another_mail_is_another_mail(connection):
    keep(connection, seen(7, data=b"one"), seen(7, data=b"two"))

    assert [taken.mail.data for taken in claim(connection)] == [b"one", b"two"]


def test_kept_and_claimed_in_one_breath(connection):
    taken = spool.keep_claimed(connection, seen(9), "acme", NOW)

    assert taken is not None
    assert taken.attempts == 1
    assert claim(connection) == []
    assert spool.keep_claimed(connection, seen(9), "acme", NOW) is None
    spool.finish(connection, taken, "quarantined", "too large", None, NOW)


def test_quarantine_and_release(connection):
    keep(connection, raw_mail())
    (taken,) = claim(connection)
    spool.remember(connection, taken, "<a@x>", "h1")
    number = spool.set_aside(connection, taken, "two From headers", NOW)
    spool.finish(connection, taken, "quarantined", "two From headers", None, NOW)

    (listed,) = spool.quarantined(connection)
    assert (listed.id, listed.cause, listed.size, listed.door) == (
        number,
        "two From headers",
        len(taken.mail.data),
        Door.SMTP,
    )
    assert spool.released_how(connection, taken.id) == ""

    assert spool.release(connection, number, "by Ann", NOW)

    assert spool.released_how(connection, taken.id)
    assert spool.quarantined(connection) == []
    assert len(spool.quarantined(connection, released=True)) == 1
    (again,) = claim(connection)
    assert (again.id, again.attempts) == (taken.id, 1)
    assert spool.remember(connection, again, "<a@x>", "h1") is None
    with pytest.raises(LeaseLost):
        spool.finish(connection, taken, "entry", "from before", None, NOW)


def test_only_what_waits_in_quarantine_is_released(connection):
    keep(connection, raw_mail())
    (taken,) = claim(connection)
    number = spool.set_aside(connection, taken, "cause", NOW)

    assert [spool.release(connection, one, "by Ann", NOW) for one in (number, number, 999)] == [True, False, False]
