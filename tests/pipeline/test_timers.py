"""A stored timer is an index over the history: whatever happens, it equals what is computed from the events."""

from __future__ import annotations

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from helpdesk.domain.sla import Timer, next_wake
from helpdesk.domain.ticket import Ticket
from helpdesk.pipeline import timers
from helpdesk.pipeline.apply import Outcome
from helpdesk.store import inputs, tickets
from helpdesk.store.engine import connect, reading
from helpdesk.store.tables import contract, timer
from tests.pipeline.office import Office
from tests.pipeline.test_handle import accept

STEPS = ["reply", "out of office", "answer", "accepted", "#close", "#admit let him in", "#note x", "renewed", "lapsed"]
PAUSES = st.sampled_from([0, 10, 119, 121, 24 * 60, 3 * 24 * 60])


def computed(office: Office, opened: Outcome) -> tuple[Timer | None, object]:
    found = office.ticket(opened)
    with reading(office.engine).begin() as connection:
        now = timers.compute(connection, office.world.desks["acme"], found)
        done = tickets.reminders_done(connection, found.id, timers.FIRST_RESPONSE)
        row = connection.execute(sa.select(timer).where(timer.c.ticket_id == found.id)).first()
    stored = row and (row.promise, row.state, row.due_at, row.round, row.wake_at)
    wanted = now and (now.promise, now.state, now.due_at, now.round, next_wake(now, office.now, done))
    assert stored == wanted
    return now, row


def step(office: Office, opened: Outcome, what: str) -> None:
    found: Ticket = office.ticket(opened)
    notice = office.sent("agent")[0].mail["Reply-To"]
    sender = found.requester.address
    match what:
        case "reply":
            office.customer("more", sender, answers=office.sent("agent")[0].message_id)
        case "out of office":
            office.customer(
                "away", sender, subject=f"Re: {found.reference}", headers={"Auto-Submitted": "auto-replied"}
            )
        case "answer":
            office.agent(f"Try this {office.written}.", notice)
        case "accepted":
            for one in [one for one in office.sent("customer") if one.kind == "human"][-1:]:
                accept(office, one)
                office.due()
        case "renewed" | "lapsed":
            day = (office.now + timedelta(days=365 if what == "renewed" else -365)).date()
            with office.engine.begin() as connection:
                connection.execute(sa.update(contract).where(contract.c.number == "C-66").values(ends=day))
                inputs.add(connection, "acme", "change", found.id, {"kind": "contract"}, office.now)
            office.due()
        case command:
            office.agent(command, notice)


@given(
    sender=st.sampled_from(["bob@globex.example", "ira@initech.example", "zoe@elsewhere.example"]),
    story=st.lists(st.tuples(st.sampled_from(STEPS), PAUSES), max_size=8),
)
@settings(max_examples=25, deadline=None)
def test_the_stored_timer_is_what_the_events_say(sqlite_template, sender, story):
    with tempfile.TemporaryDirectory() as folder:
        engine = connect(f"sqlite:///{shutil.copy(sqlite_template, Path(folder) / 'helpdesk.db')}")
        office = Office(engine)
        opened = office.customer(sender=sender)
        computed(office, opened)
        for what, minutes in story:
            step(office, opened, what)
            computed(office, opened)
            office.due(minutes=minutes)
            while office.due():
                pass
            computed(office, opened)
        reminded = [one.data["step"] for one in office.history(opened) if one.kind == "reminded"]
        assert len(reminded) <= 3 * (1 + sum(what == "#close" for what, _ in story))
        engine.dispose()


def test_a_ticket_without_cover_has_no_timer_until_it_is_let_in(desk):
    opened = desk.customer(sender="ira@initech.example")
    assert computed(desk, opened) == (None, None)

    desk.now += timedelta(hours=2)
    desk.agent("#admit renewal is coming", desk.last("agent").mail["Reply-To"])

    found, _ = computed(desk, opened)
    assert (found.started_at, found.due_at) == (desk.now, desk.now + timedelta(hours=4))


def test_the_acknowledgement_never_stops_it(desk):
    opened = desk.customer()

    accept(desk, desk.last("customer", "opened"))
    desk.due(minutes=5)

    found, _ = computed(desk, opened)
    assert found.state == "running"


def test_an_answer_counts_when_the_relay_took_it(desk):
    """Written in time, taken too late: missed."""
    opened = desk.customer()
    desk.agent("Off.", desk.last("agent").mail["Reply-To"])
    desk.now += timedelta(hours=6)

    accept(desk, desk.last("customer"))
    desk.due()

    found, _ = computed(desk, opened)
    assert (found.state, found.stopped_at) == ("missed", desk.now)
