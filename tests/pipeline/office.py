"""Two companies that give support, ready for mail: the whole pipeline on a real database, without threads.

``acme`` looks after Globex (contract C-77: Bob and Eve) and Initech (C-66, lapsed: Ira); ``umbra`` is another tenant
with a customer and a ticket number of the same names. The clock stands still until a test moves it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cache
from typing import Any

import sqlalchemy as sa

from helpdesk.domain.calendar import Calendar, parse_hours, parse_span
from helpdesk.domain.facts import Desk, Facts
from helpdesk.domain.mail import Door, Envelope, RawMail
from helpdesk.domain.people import Agent
from helpdesk.domain.reading import Reading
from helpdesk.domain.sla import Target, parse_share
from helpdesk.domain.ticket import Ticket
from helpdesk.domain.token import Keys
from helpdesk.inbound.read import read
from helpdesk.outbound.templates import Templates
from helpdesk.pipeline import gather, handle
from helpdesk.pipeline.apply import Outcome
from helpdesk.pipeline.world import RunningDesk, World
from helpdesk.store import outbox, people, spool, tickets
from helpdesk.store.engine import reading
from helpdesk.store.people import AgentRow
from helpdesk.store.spool import Spooled
from helpdesk.store.tables import domain
from tests.rules.policy import RULES
from tests.store.rows import add_contract, add_organisation

#: A Monday, ten in the morning in Berlin.
MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
BORDER = "mx.acme.example"
KEYS = Keys(b"k" * 32)
OFFICE_HOURS = Calendar("office", "Europe/Berlin", {day: parse_hours("09:00-17:00") for day in range(5)})
TARGET = Target("first_response", parse_span("4 business hours"), (parse_share("50%"), parse_share("80%")))


@cache
def templates() -> Templates:
    """The templates that ship, compiled once."""
    return Templates([])


@dataclass(frozen=True, slots=True)
class Sent:
    """A row of the outbox and the mail in it."""

    id: int
    to: str
    audience: str
    block: str
    kind: str
    relay: str
    message_id: str
    envelope_sender: str
    mail: EmailMessage

    @property
    def text(self) -> str:
        body = self.mail.get_body(("plain",))
        assert body is not None
        return str(body.get_content())

    @property
    def all(self) -> str:
        """Everything a reader can see, headers included."""
        parts = [part.get_content() for part in self.mail.walk() if part.get_content_maintype() == "text"]
        return "\n".join([*(f"{name}: {value}" for name, value in self.mail.items()), *map(str, parts)])


@dataclass(slots=True)
class Office:
    """The desks, and the hands of everybody who writes to them."""

    engine: sa.Engine
    now: datetime = MONDAY
    world: World = field(init=False)
    ids: dict[str, int] = field(default_factory=dict)
    written: int = 0

    def __post_init__(self) -> None:
        with self.engine.begin() as connection:
            agents = people.sync_agents(
                connection,
                [
                    AgentRow("acme", "ann", "Ann Berger", ("ann@acme.example",), "", ""),
                    AgentRow("acme", "leo", "Leo Novak", ("leo@acme.example",), "", ""),
                    AgentRow("umbra", "uma", "Uma Ray", ("uma@umbra.example",), "", ""),
                ],
                self.now,
            )
            self._customers(connection)
        ann = Agent(agents["acme", "ann"], "ann", "Ann Berger", "ann@acme.example")
        leo = Agent(agents["acme", "leo"], "leo", "Leo Novak", "leo@acme.example", lead=True)
        uma = Agent(agents["umbra", "uma"], "uma", "Uma Ray", "uma@umbra.example", lead=True)
        desks = {"acme": self._desk("acme", "AC", (ann, leo)), "umbra": self._desk("umbra", "AC", (uma,))}
        relays = {"customers": "out", "staff": "in"}
        self.world = World(desks, KEYS, templates(), "postmaster@acme.example", relays)

    def _customers(self, connection: sa.Connection) -> None:
        for tenant in ("acme", "umbra"):
            globex = self.ids[f"globex of {tenant}"] = add_organisation(connection, "Globex", tenant)
            add_contract(connection, globex, "C-77", tenant=tenant)
            self.ids[f"bob of {tenant}"] = people.add(connection, tenant, "bob@globex.example", "Bob Miller", globex).id
        self.ids["eve"] = people.add(
            connection, "acme", "eve@globex.example", "Eve Short", self.ids["globex of acme"]
        ).id
        initech = self.ids["initech"] = add_organisation(connection, "Initech")
        add_contract(connection, initech, "C-66", ends=date(2026, 6, 30), manager="mia@acme.example")
        people.add(connection, "acme", "ira@initech.example", "Ira Lund", initech)
        connection.execute(
            sa.insert(domain).values(tenant="acme", domain="globex.example", organisation_id=self.ids["globex of acme"])
        )

    def _desk(self, key: str, prefix: str, agents: tuple[Agent, ...]) -> RunningDesk:
        address = f"support@{key}.example"
        facts = Desk(key, key, f"{key.title()} Support", (address,), "Europe/Berlin", first_agent=agents[0].key)
        return RunningDesk(facts, address, prefix, OFFICE_HOURS, (TARGET,), RULES, agents)

    def customer(
        self, text: str = "The printer is on fire.", sender: str = "bob@globex.example", **more: Any
    ) -> Outcome:
        """A mail that our border server vouches for."""
        vouched = f"{BORDER}; dmarc=pass header.from={sender.rpartition('@')[2].rstrip('>')}"
        return self.mail(text, sender, headers={"Authentication-Results": vouched, **more.pop("headers", {})}, **more)

    def agent(self, text: str, to: str, sender: str = "ann@acme.example", **more: Any) -> Outcome:
        """A mail sent through the submission listener."""
        return self.mail(text, sender, to=to, user=sender, **more)

    def mail(self, text: str, sender: str, **more: Any) -> Outcome:
        """A mail that nothing proves, handled at once."""
        return self.handle(self.compose(text, sender, **more))

    def compose(
        self,
        text: str,
        sender: str,
        *,
        to: str = "support@acme.example",
        cc: str = "",
        subject: str = "Printer",
        user: str = "",
        answers: str = "",
        headers: dict[str, str] | None = None,
        message_id: str = "",
        file: bytes = b"",
    ) -> RawMail:
        """The bytes of a mail and its envelope."""
        self.written += 1
        mail = EmailMessage(policy=policy.SMTP)
        for name, value in (headers or {}).items():
            mail[name] = value
        mail["From"], mail["To"], mail["Subject"] = sender, to, subject
        mail["Message-ID"] = message_id or f"<{self.written}@writer.example>"
        if cc:
            mail["Cc"] = cc
        if answers:
            mail["In-Reply-To"] = answers
        mail.set_content(text)
        if file:
            mail.add_attachment(file, maintype="application", subtype="octet-stream", filename="log.bin")
        address = sender.rpartition("<")[2].rstrip(">")
        door = Door.SUBMISSION if user else Door.SMTP
        return RawMail(door, Envelope(address, (to,), "192.0.2.1", user), self.now, mail.as_bytes())

    def take(self, raw: RawMail) -> Spooled:
        """Keep and claim a mail, for the first tenant that it is for."""
        with self.engine.begin() as connection:
            spool.keep(connection, raw, self.world.tenants_of(raw.envelope.recipients), self.now)
            (taken,) = spool.claim(connection, 50)
        return taken

    def read(self, taken: Spooled) -> Reading:
        with reading(self.engine).connect() as connection:
            return read(taken.mail, handle.parents_of(connection, taken), (BORDER,))

    def handle(self, raw: RawMail) -> Outcome:
        taken = self.take(raw)
        found = self.read(taken)
        with self.engine.begin() as connection:
            return handle.handle_mail(connection, self.world, taken, found, self.now)

    def facts(self, raw: RawMail) -> Facts:
        """What the rules would know about a mail, which is then forgotten."""
        taken = self.take(raw)
        seen = self.read(taken)
        with self.engine.begin() as connection:
            desk = self.world.first_desk(taken.tenant, gather.addressed(taken, seen))
            assert desk is not None
            found = gather.mail(connection, self.world, desk, taken, seen, self.now)
            spool.finish(connection, taken, "only looked at", "", None, self.now)
        return found

    def due(self, **later: float) -> int:
        """Move the clock on and handle what is due."""
        self.now += timedelta(**later)
        with self.engine.begin() as connection:
            return handle.handle_due(connection, self.world, self.now)

    def sent(self, audience: str = "", block: str = "") -> list[Sent]:
        """The outbox, oldest first."""
        with reading(self.engine).connect() as connection:
            query = sa.select(outbox.outbox, outbox.outbox_mail.c.data).join(outbox.outbox_mail)
            rows = connection.execute(query.order_by(outbox.outbox.c.id)).all()
        found = [
            Sent(
                row.id,
                row.recipient,
                row.audience,
                row.block,
                row.kind,
                row.relay,
                row.message_id,
                row.sender,
                message_from_bytes(row.data, policy=policy.default),  # type: ignore[arg-type]
            )
            for row in rows
        ]
        return [one for one in found if audience in ("", one.audience) and block in ("", one.block)]

    def last(self, audience: str, block: str = "") -> Sent:
        return self.sent(audience, block)[-1]

    def ticket(self, outcome: Outcome, tenant: str = "acme") -> Ticket:
        assert outcome.ticket_id is not None
        with reading(self.engine).connect() as connection:
            found = tickets.snapshot(connection, tenant, outcome.ticket_id)
        assert found is not None
        return found

    def history(self, outcome: Outcome) -> list[tickets.Event]:
        assert outcome.ticket_id is not None
        with reading(self.engine).connect() as connection:
            return tickets.history(connection, outcome.ticket_id)
