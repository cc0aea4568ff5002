from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa

from helpdesk.domain.event import EventKind
from helpdesk.domain.history import Happened
from helpdesk.domain.sla import Timer
from helpdesk.domain.ticket import Reason, Status
from helpdesk.store import inputs, people, tickets
from helpdesk.store.tables import reminder
from tests.store.rows import NOW, add_organisation, add_ticket


@pytest.fixture
def connection(engine):
    with engine.begin() as opened:
        yield opened


def test_references_are_unique_however_many_ask_at_once(engine):
    def ten(_number: int) -> list[str]:
        found = []
        for _ in range(10):
            with engine.begin() as connection:
                found.append(tickets.next_reference(connection, "acme", "AC"))
        return found

    with ThreadPoolExecutor(4) as pool:
        given = [one for part in pool.map(ten, range(4)) for one in part]

    assert sorted(given) == [f"AC-{number}" for number in range(1001, 1041)]


def test_every_tenant_and_prefix_counts_by_itself(connection):
    asked = [("acme", "AC"), ("acme", "AC"), ("acme", "HD"), ("umbra", "AC")]

    assert [tickets.next_reference(connection, *one) for one in asked] == ["AC-1001", "AC-1002", "HD-1001", "AC-1001"]


def test_a_ticket_is_seen_by_its_tenant_only(connection):
    number = add_ticket(connection)

    found = tickets.snapshot(connection, "acme", number)
    assert (found.reference, found.status, found.reason, found.opened_at) == ("AC-1001", Status.NEW, Reason.NONE, NOW)
    assert tickets.by_reference(connection, "acme", "AC-1001") == found
    assert tickets.snapshot(connection, "umbra", number) is None
    assert tickets.by_reference(connection, "umbra", "AC-1001") is None
    assert tickets.find_anywhere(connection, "ac-1001") == ("acme", found)
    assert tickets.find_anywhere(connection, "AC-9999") is None


def test_participants_are_part_of_it_once(connection):
    number = add_ticket(connection)
    eve = people.add(connection, "acme", "eve@globex.example", "Eve")
    for _ in range(2):
        tickets.add_participant(connection, number, eve.id, NOW)

    assert tickets.snapshot(connection, "acme", number).participants == (eve,)


def test_named_addresses_are_found_in_any_case(connection):
    number = add_ticket(connection)
    tickets.note_named(connection, number, ["Eve@Globex.example", "eve@globex.example", "nonsense", ""])

    assert tickets.was_named(connection, number, "EVE@globex.example")
    assert not tickets.was_named(connection, number, "nonsense")
    assert not tickets.was_named(connection, add_ticket(connection), "eve@globex.example")


def test_history_is_in_order_of_writing(connection):
    bob = people.add(connection, "acme", "bob@globex.example", "Bob")
    number = add_ticket(connection, bob)
    for position, kind in enumerate((EventKind.OPENED, EventKind.CUSTOMER_ENTRY, EventKind.ANSWER)):
        tickets.add_event(
            connection, tenant="acme", ticket_id=number, at=NOW, kind=kind, person_id=bob.id, text=str(position),
            data={"status": "new"},
        )  # fmt: skip

    assert [(one.kind, one.text, one.person) for one in tickets.history(connection, number)] == [
        (EventKind.OPENED, "0", "Bob"),
        (EventKind.CUSTOMER_ENTRY, "1", "Bob"),
        (EventKind.ANSWER, "2", "Bob"),
    ]


def test_promises_are_measured_by_the_time_of_events(connection):
    """An answer that the relay took before a mail was handled is written later and counts earlier."""
    number = add_ticket(connection)
    for minutes, kind, data in (
        (0, EventKind.OPENED, {"status": "new"}),
        (9, EventKind.STATUS, {"status": "closed"}),
        (5, EventKind.ANSWER_ACCEPTED, {}),
        (7, EventKind.NOTE, {}),
    ):
        at = NOW + timedelta(minutes=minutes)
        tickets.add_event(connection, tenant="acme", ticket_id=number, at=at, kind=kind, data=data)

    assert tickets.happened(connection, number) == [
        Happened(NOW, EventKind.OPENED, {"status": "new"}),
        Happened(NOW + timedelta(minutes=5), EventKind.ANSWER_ACCEPTED, {}),
        Happened(NOW + timedelta(minutes=9), EventKind.STATUS, {"status": "closed"}),
    ]


def test_message_ids_find_tickets_in_the_order_asked(connection):
    one, two, elsewhere = add_ticket(connection), add_ticket(connection), add_ticket(connection, tenant="umbra")
    for tenant, text, number in (
        ("acme", "<a@x>", one),
        ("acme", "<b@x>", two),
        ("acme", "<c@x>", one),
        ("acme", "<c@x>", two),
        ("umbra", "<a@x>", elsewhere),
    ):
        tickets.note_message_id(connection, tenant, text, number, None, "c")

    assert tickets.by_message_ids(connection, "acme", ["<b@x>", "<none@x>", "<a@x>"]) == [two, one]
    assert tickets.by_message_ids(connection, "acme", ["<c@x>"]) == [one, two]
    assert tickets.by_message_ids(connection, "acme", []) == []


def test_threads_of_customers_and_staff_are_apart(connection):
    number = add_ticket(connection)
    for text, audience in (("<1@x>", "c"), ("<2@x>", "a"), ("<3@x>", "c"), ("<3@x>", "c")):
        tickets.note_message_id(connection, "acme", text, number, None, audience)

    assert tickets.thread(connection, number, "c") == ["<1@x>", "<3@x>"]
    assert tickets.thread(connection, number, "a") == ["<2@x>"]


def timer(minutes: int, state="running") -> Timer:
    return Timer("first_response", NOW, NOW + timedelta(minutes=minutes), state)


def test_timers_are_due_oldest_first_and_written_over(connection):
    late, later, asleep = (add_ticket(connection) for _ in range(3))
    for number, wake in ((later, NOW), (late, NOW - timedelta(hours=1)), (asleep, None)):
        tickets.store_timer(connection, "acme", number, timer(10), wake)
    tickets.store_timer(connection, "acme", later, timer(20), NOW)

    assert [row.ticket_id for row in tickets.due_timers(connection, NOW, 10)] == [late, later]
    assert [row.ticket_id for row in tickets.due_timers(connection, NOW - timedelta(seconds=1), 10)] == [late]
    assert tickets.timers(connection, later) == [("first_response", "running", NOW + timedelta(minutes=20))]

    tickets.sleep(connection, tickets.due_timers(connection, NOW, 1)[0].id, None)
    assert [row.ticket_id for row in tickets.due_timers(connection, NOW, 10)] == [later]


def test_a_reminder_is_spoken_of_once(connection):
    number = add_ticket(connection)
    for _ in range(2):
        tickets.note_reminders(connection, number, "first_response", 0, ["50%", "80%"], NOW)
    tickets.note_reminders(connection, number, "first_response", 1, ["50%"], NOW)

    assert tickets.reminders_done(connection, number, "first_response") == {(0, "50%"), (0, "80%"), (1, "50%")}
    with pytest.raises(sa.exc.IntegrityError), connection.begin_nested():
        connection.execute(
            sa.insert(reminder).values(ticket_id=number, promise="first_response", step="50%", round=0, at=NOW)
        )


def test_held_tickets_of_an_organisation_are_found(connection):
    globex = add_organisation(connection, "Globex")
    bob = people.add(connection, "acme", "bob@globex.example", "Bob", globex)
    numbers = [add_ticket(connection, bob) for _ in range(4)]
    for number, reason in zip(numbers, ("contract", "details", "contract", ""), strict=True):
        tickets.change(connection, number, NOW, status="held" if reason else "open", reason=reason)

    assert tickets.held_for_contract(connection, globex) == [numbers[0], numbers[2]]


def test_the_listing_shows_what_is_to_do(connection):
    done, to_do, elsewhere = add_ticket(connection), add_ticket(connection), add_ticket(connection, tenant="umbra")
    tickets.change(connection, done, NOW, status="closed")
    tickets.store_timer(connection, "acme", to_do, timer(10), None)
    tickets.store_timer(connection, "umbra", elsewhere, timer(10, "met"), None)

    assert [one.id for one in tickets.listing(connection)] == [to_do, elsewhere]
    assert [one.due_at for one in tickets.listing(connection)] == [NOW + timedelta(minutes=10), None]
    assert [one.id for one in tickets.listing(connection, "acme", closed=True)] == [done, to_do]


def test_inputs_wait_in_order_and_end_once(connection):
    number = add_ticket(connection)
    for kind in ("a", "b"):
        inputs.add(connection, "acme", "change", number, {"kind": kind}, NOW)

    first, second = inputs.waiting(connection, 10, NOW)

    assert [one.data["kind"] for one in (first, second)] == ["a", "b"]
    assert inputs.waiting(connection, 1, NOW) == [first]
    assert inputs.finish(connection, first.id, "done", NOW)
    assert not inputs.finish(connection, first.id, "done", NOW)
    assert inputs.waiting(connection, 10, NOW) == [second]


def test_an_input_that_fails_comes_again_later_and_later_for_half_an_hour(connection):
    """Mutant: it is tried again at once, and five seconds of a fault of ours give it up."""
    inputs.add(connection, "acme", "change", add_ticket(connection), {"kind": "a"}, NOW)
    at = NOW
    for attempt, wait in enumerate(inputs.WAITS, start=1):
        (one,) = inputs.waiting(connection, 10, at)
        assert not inputs.fail(connection, one.id, attempt, at)
        assert inputs.waiting(connection, 10, at + timedelta(seconds=wait - 1)) == []
        at += timedelta(seconds=wait)

    assert at - NOW > timedelta(minutes=20)
    assert inputs.fail(connection, one.id, len(inputs.WAITS) + 1, at)
    assert inputs.waiting(connection, 10, at + timedelta(days=1)) == []


def test_decisions_come_back_in_order(connection):
    number = add_ticket(connection)
    for why in ("first", "second"):
        tickets.store_decision(
            connection, tenant="acme", trigger="timer", ticket_id=number, at=NOW, facts={"a": 1}, decided={"why": why}
        )

    assert [one["decision"]["why"] for one in tickets.decisions(connection, number)] == ["first", "second"]
