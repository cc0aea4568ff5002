"""One input in, one decision, one transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from helpdesk.domain.facts import Trigger
from helpdesk.domain.ticket import Status
from helpdesk.inbound.worker import Unreadable
from helpdesk.pipeline import handle
from helpdesk.store import inputs, outbox, spool, tickets
from helpdesk.store.engine import lease_clock
from helpdesk.store.spool import LeaseLost
from helpdesk.store.tables import decision, event, mail, metadata, ticket
from tests.store.rows import add_contract


def rows(office, table=event) -> int:
    with office.engine.connect() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def everything(office) -> dict[str, int]:
    return {table.name: rows(office, table) for table in metadata.sorted_tables}


def accept(office, sent) -> None:
    """The relay takes a mail, and the deliverer says so."""
    with office.engine.begin() as connection:
        for taken in outbox.claim(connection, sent.relay, office.now, 100):
            if taken.id == sent.id:
                outbox.end(connection, taken, "sent", "250 ok", office.now)
        data = {"outcome": "sent", "kind": sent.kind, "recipient": sent.to, "reason": "", "at": office.now.isoformat()}
        number = connection.execute(sa.select(outbox.outbox.c.ticket_id).where(outbox.outbox.c.id == sent.id)).scalar()
        inputs.add(connection, "acme", Trigger.DELIVERY.value, number, data, office.now)


def test_a_request_from_mail_to_answer(office):
    """Acknowledged, answered, accepted, replied to, closed and reopened."""
    opened = office.customer()
    assert office.ticket(opened).status == "open"
    reference = office.ticket(opened).reference
    assert reference in office.last("customer", "opened").mail["Subject"]
    notice = office.last("agent", "new_ticket")
    assert notice.to == "ann@acme.example"

    office.now += timedelta(minutes=30)
    office.agent("Switch it off.", notice.mail["Reply-To"], answers=notice.message_id)
    answer = office.last("customer")
    assert (answer.kind, answer.to) == ("human", "bob@globex.example")
    assert answer.envelope_sender.startswith("support+b")
    assert "Switch it off." in answer.text
    assert office.ticket(opened).status == "waiting"
    with office.engine.connect() as connection:
        assert tickets.timers(connection, opened.ticket_id)[0][1] == "running"

    accept(office, answer)
    office.due(minutes=1)
    with office.engine.connect() as connection:
        assert tickets.timers(connection, opened.ticket_id)[0][1] == "met"

    office.customer("It still burns.", to=answer.mail["Reply-To"], answers=answer.message_id)
    assert office.ticket(opened).status == "open"
    told = office.last("agent", "customer_wrote")
    assert "It still burns." in told.text

    office.agent("#close", told.mail["Reply-To"], answers=told.message_id)
    assert office.ticket(opened).status == "closed"
    assert office.last("customer").block == "closed"

    again = office.customer("No, it is back.", to=answer.mail["Reply-To"])
    assert (again.ticket_id, office.ticket(opened).status) == (opened.ticket_id, "open")
    assert rows(office, ticket) == 1


def test_the_same_mail_is_handled_once(office):
    raw = office.compose("It burns.", "bob@globex.example")
    first = office.handle(raw)
    before = everything(office)

    again = office.handle(replace(raw, received_at=office.now + timedelta(hours=1)))

    assert first.name == "entry"
    assert (again.name, again.ticket_id) == ("seen before", None)
    assert everything(office) == before | {"spool": before["spool"] + 1}


def test_another_mail_with_the_same_id_is_kept(office):
    first = office.mail("It burns.", "bob@globex.example", message_id="<same@x>")
    second = office.mail("The fire is out.", "bob@globex.example", message_id="<same@x>")

    assert second.name == "entry"
    assert rows(office, mail) == 2
    texts = [one.text for outcome in {first.ticket_id: first, second.ticket_id: second}.values()
             for one in office.history(outcome) if one.kind == "customer entry"]  # fmt: skip
    assert sorted(texts) == ["It burns.", "The fire is out."]


def test_whoever_lost_the_lease_writes_nothing(office):
    taken = office.take(office.compose("It burns.", "bob@globex.example"))
    reading = office.read(taken)
    with office.engine.begin() as connection:
        connection.execute(sa.update(spool.spool).values(lease_until=lease_clock(connection) - 1))
        (owner,) = spool.claim(connection, 1, retries=True)
    before = everything(office)

    with pytest.raises(LeaseLost), office.engine.begin() as connection:
        handle.handle_mail(connection, office.world, taken, reading, office.now)

    assert everything(office) == before
    with office.engine.begin() as connection:
        assert handle.handle_mail(connection, office.world, owner, reading, office.now).name == "entry"


def test_three_strikes_and_a_mail_is_set_aside(office):
    office.take(office.compose("a bomb", "bob@globex.example"))
    with office.engine.begin() as connection:
        connection.execute(sa.update(spool.spool).values(attempts=0, lease_until=None))
    found = []
    for attempt in range(office.world.attempts):
        with office.engine.begin() as connection:
            (taken,) = spool.claim(connection, 1, retries=attempt > 0)
            outcome = handle.handle_unreadable(
                connection, office.world, taken, Unreadable("took longer than 20 s"), office.now
            )
            found.append(outcome.name if outcome else "again")

    assert found == ["again", "again", "quarantined"]
    told = office.last("operator", "quarantined")
    assert told.to == "postmaster@acme.example"
    assert "took longer than 20 s" in told.text
    with office.engine.begin() as connection:
        assert spool.claim(connection, 1, retries=True) == []
        assert [one.cause for one in spool.quarantined(connection)] == ["took longer than 20 s"]


def test_what_no_attempt_can_change_is_set_aside_at_once(office):
    taken = office.take(office.compose("a bomb", "bob@globex.example"))

    with office.engine.begin() as connection:
        outcome = handle.handle_unreadable(
            connection, office.world, taken, Unreadable("too many parts", final=True), office.now
        )

    assert (outcome.name, outcome.quarantine_id) == ("quarantined", 1)


def test_a_released_mail_is_handled_like_a_new_one(office):
    raw = office.compose("It burns.", "bob@globex.example")
    taken = office.take(raw)
    with office.engine.begin() as connection:
        outcome = handle.handle_unreadable(connection, office.world, taken, Unreadable("?", final=True), office.now)
        assert spool.release(connection, outcome.quarantine_id, "by Ann", office.now)
        (again,) = spool.claim(connection, 1)
    reading = office.read(again)
    with office.engine.begin() as connection:
        assert handle.handle_mail(connection, office.world, again, reading, office.now).name == "entry"


def test_a_mail_without_a_sender_waits_in_quarantine(office):
    raw = office.compose("It burns.", "bob@globex.example")
    outcome = office.handle(replace(raw, data=raw.data.replace(b"From: bob@globex.example\r\n", b"")))

    assert outcome.name == "quarantined"
    assert rows(office, ticket) == 0
    assert [one.audience for one in office.sent()] == ["operator"]


def test_every_decision_is_kept_with_its_facts(office):
    outcome = office.customer()

    with office.engine.connect() as connection:
        (kept,) = tickets.decisions(connection, outcome.ticket_id)
    assert [step["rule"] for step in kept["decision"]["steps"]] == [
        "open_ticket", "assign_agent", "require_contract", "acknowledge", "notify_agent",
    ]  # fmt: skip
    assert kept["facts"]["sender"]["name"] == "Bob Miller"
    assert kept["decision"]["version"] == 1


def test_a_renewal_wakes_held_tickets(office):
    held = office.customer("Help", "ira@initech.example")
    assert (office.ticket(held).status, office.ticket(held).reason) == ("held", "contract")
    with office.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE contract SET ends = '2027-06-30' WHERE number = 'C-66'")
        inputs.add(connection, "acme", "change", held.ticket_id, {"kind": "contract"}, office.now)

    office.due(hours=1)
    office.due()

    assert office.ticket(held).status == "open"
    assert [one.block for one in office.sent("customer")] == ["held_contract", "released"]
    with office.engine.connect() as connection:
        ((_, state, due),) = tickets.timers(connection, held.ticket_id)
    assert (state, due) == ("running", office.now + timedelta(hours=3))


def test_a_renewal_writes_to_nobody_who_was_not_written_to(office):
    """Of many forged mails one was answered, and a machine's was not: neither hears that they all go on."""
    for number in range(5):
        office.mail(f"Help {number}", "ira@initech.example", subject=f"Help {number}")
    machine = office.customer("Disk full", "ira@initech.example", headers={"Auto-Submitted": "auto-generated"})
    before = len(office.sent("customer"))
    with office.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE contract SET ends = '2027-06-30' WHERE number = 'C-66'")
        assert handle.wake_covered(connection, office.world, office.now) == 6

    office.due()

    assert before == 1
    assert len(office.sent("customer", "released")) == 1
    assert office.ticket(machine).status == "open"


def test_reminders_go_out_once_and_one_speaks_for_all_that_were_missed(office):
    opened = office.customer()
    office.due(hours=2, minutes=1)
    office.due(minutes=1)
    assert [one.block for one in office.sent("agent")] == ["new_ticket", "reminder"]

    office.due(days=3)
    office.due(minutes=1)

    assert [one.block for one in office.sent("agent")] == ["new_ticket", "reminder", "reminder"]
    late = office.last("agent")
    assert "80%" in late.text
    assert "breach" in late.text
    assert [one.to for one in office.sent("lead")] == ["leo@acme.example"]
    reminded = [one.data["step"] for one in office.history(opened) if one.kind == "reminded"]
    assert reminded == ["50%", "breach"]


def test_a_bad_input_stops_no_other(office):
    opened = office.customer()
    with office.engine.begin() as connection:
        inputs.add(connection, "acme", "delivery", opened.ticket_id, {"outcome": "nonsense"}, office.now)
        inputs.add(connection, "acme", "no such thing", opened.ticket_id, {}, office.now)
        inputs.add(connection, "acme", "change", opened.ticket_id, {"kind": "contract"}, office.now)

    assert office.due() == 1  # the good one; the others are tried again a few times, then given up
    for wait in inputs.WAITS:
        office.now += timedelta(seconds=wait)
        assert office.due() == 0

    with office.engine.connect() as connection:
        outcomes = list(connection.execute(sa.select(inputs.input_.c.outcome).order_by(inputs.input_.c.id)).scalars())
    assert outcomes == ["could not be handled: see the log"] * 2 + ["no rule fired"]
    told = office.sent("operator", "input_given_up")
    assert len(told) == 2, "what should have followed is somebody's to do by hand"
    assert office.ticket(opened).reference in told[0].text
    assert office.due() == 0


def test_considering_changes_nothing(office):
    taken = office.take(office.compose("It burns.", "bob@globex.example"))
    reading = office.read(taken)
    before = everything(office)

    with office.engine.connect() as connection:
        found = handle.consider(connection, office.world, taken, reading, office.now)
        connection.commit()

    assert next(step.rule for step in found.decision.steps) == "open_ticket"
    assert everything(office) == before
    assert rows(office, decision) == 0


def test_a_renewal_imported_before_it_starts_releases_on_its_day(office):
    held = office.customer("It burns.", "ira@initech.example")
    starts = office.now.date() + timedelta(days=2)
    with office.engine.begin() as connection:
        add_contract(connection, office.ids["initech"], "C-67", starts=starts, ends=date(2027, 12, 31))
        assert handle.wake_covered(connection, office.world, office.now) == 0

    # It is still the day before in UTC.
    office.now = datetime.combine(starts, time(0, 1), ZoneInfo("Europe/Berlin")).astimezone(UTC)
    with office.engine.begin() as connection:
        assert handle.wake_covered(connection, office.world, office.now - timedelta(minutes=2)) == 0
        assert handle.wake_covered(connection, office.world, office.now) == 1
        assert handle.wake_covered(connection, office.world, office.now) == 0  # one is waiting already
    office.due()

    assert office.ticket(held).status is Status.OPEN
    assert office.last("customer").block == "released"


def test_the_operator_hears_once_a_day_what_waits_in_quarantine(office):
    def tell(**later: float) -> int:
        office.now += timedelta(**later)
        with office.engine.begin() as connection:
            return handle.tell_of_quarantine(connection, office.world, office.now)

    assert tell() == 0, "nothing waits"
    spam = office.mail("Buy pills!", "pills@shop.example", headers={"X-Spam-Flag": "YES"})
    assert spam.name == "quarantined"
    assert office.sent("customer") == office.sent("operator") == []

    assert [tell(), tell(hours=5), tell(hours=9)] == [1, 0, 0], "it is the same day, then night"
    assert [tell(hours=9), tell(hours=1)] == [1, 0]
    first, second = office.sent("operator", "quarantine_waits")
    assert "1 mail waits in quarantine, the oldest since 2026-11-23." in " ".join(first.text.split())
    assert first.message_id != second.message_id

    with office.engine.begin() as connection:
        assert spool.drop_set_aside(connection, spam.quarantine_id, "by a test", office.now)
        assert not spool.drop_set_aside(connection, spam.quarantine_id, "by a test", office.now)
        assert not spool.release(connection, spam.quarantine_id, "by a test", office.now)
    assert tell(days=1) == 0


def test_what_was_dropped_from_quarantine_stays_dropped_when_it_comes_again(office):
    raw = office.compose("It burns.", "bob@globex.example", headers={"X-Spam": "yes"})
    first = office.handle(raw)
    with office.engine.begin() as connection:
        spool.drop_set_aside(connection, first.quarantine_id, "by a test", office.now)
    vouched = b"Authentication-Results: mx.acme.example; dmarc=pass header.from=globex.example\r\n" + raw.data

    assert office.handle(replace(raw, data=vouched)).name == "seen before"


def _orders(office, text, notice, sender="postmaster@acme.example", proven=True):
    vouched = {"Authentication-Results": "mx.acme.example; dmarc=pass header.from=acme.example"} if proven else {}
    return office.mail(text, sender, to=notice.mail["Reply-To"], subject="Re: set aside", headers=vouched)


def _set_aside(office):
    raw = office.compose(f"It burns in hall {'i' * office.written}.", "bob@globex.example")
    office.handle(
        replace(raw, data=raw.data.replace(b"From: bob@globex.example", b"From: bob@globex.example, eve@x.example"))
    )
    return office.last("operator", "quarantined")


def _waiting(office):
    with office.engine.connect() as connection:
        return [one.id for one in spool.quarantined(connection)]


def test_the_operator_steers_the_quarantine_by_mail(office):
    first, second = _set_aside(office), _set_aside(office)
    assert _waiting(office) == [1, 2]

    assert _orders(office, "#drop\n\n> A mail was set aside", first).name == "dropped"
    assert _waiting(office) == [2]
    assert "Mail 1 is dropped." in office.last("operator", "quarantine_done").text
    _orders(office, "#drop", first)
    assert "Mail 1 was released or dropped before" in office.last("operator", "quarantine_done").text

    _orders(office, "Please release it.", second)
    assert "Nothing was done with mail 2" in office.last("operator", "quarantine_done").text
    assert _waiting(office) == [2]
    _orders(office, "#release", second, "leo@acme.example")
    assert _waiting(office) == []
    assert "Mail 2 is released: it is read anew." in office.sent(block="done")[-1].text
    with office.engine.begin() as connection:
        assert len(spool.claim(connection, 5)) == 1


@pytest.mark.parametrize(
    ("sender", "proven"),
    [
        ("postmaster@acme.example", False),
        ("bob@globex.example", True),
        ("ann@acme.example", True),
        ("leo@acme.example", False),
    ],
)
def test_nobody_else_steers_the_quarantine(office, sender, proven):
    notice = _set_aside(office)

    assert _orders(office, "#release", notice, sender, proven).name == "quarantined"
    assert 1 in _waiting(office)
    assert office.sent("operator", "quarantine_done") == office.sent("customer") == []


def test_an_absence_of_the_operator_gives_no_orders(office):
    notice = _set_aside(office)
    headers = {"Auto-Submitted": "auto-replied"}

    assert (
        office.mail("#release", "postmaster@acme.example", to=notice.mail["Reply-To"], headers=headers).name
        == "dropped"
    )
    assert _waiting(office) == [1]
