"""The composition root: settings -> database, rules, templates, relays, time source. Everything is built here."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC
from pathlib import Path
from typing import IO, Any, TypeVar

import sqlalchemy as sa
from apscheduler.schedulers.background import BackgroundScheduler

from helpdesk.domain.address import fold
from helpdesk.domain.errors import ConfigError, TemporaryFailure
from helpdesk.domain.facts import Desk, Trigger
from helpdesk.domain.mail import Envelope, RawMail
from helpdesk.domain.people import Agent
from helpdesk.domain.token import Keys
from helpdesk.inbound.imap import MailboxOptions, MailboxWatcher
from helpdesk.inbound.smtp import Listener, ListenerOptions
from helpdesk.inbound.worker import Reader
from helpdesk.jobs.deliver import Deliverer
from helpdesk.jobs.due import DueHandler
from helpdesk.jobs.handle import FAST_SECONDS, Lane
from helpdesk.outbound.maildir import MaildirRelay
from helpdesk.outbound.smtp import Relay, RelayOptions
from helpdesk.outbound.templates import Templates
from helpdesk.outbound.transport import Transport
from helpdesk.pipeline import handle
from helpdesk.pipeline.world import RunningDesk, World
from helpdesk.rules import bind
from helpdesk.settings import (
    DeskSection,
    Imap,
    Settings,
    load,
    policy_lines,
    targets,
)
from helpdesk.settings import Listener as ListenerSection
from helpdesk.settings import Relay as RelaySection
from helpdesk.store import migrate, outbox, people, spool
from helpdesk.store.accounts import read_accounts
from helpdesk.store.engine import claim_file, connect, reading
from helpdesk.store.people import AgentRow
from helpdesk.store.writer import Writer
from helpdesk.timesource import Shifted, TimeSource, real

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(slots=True)
class App:
    """The settings brought to life, without any thread yet; for the command line and as the base of the daemon."""

    settings: Settings
    engine: sa.Engine
    templates: Templates
    keys: Keys
    now: TimeSource
    _world: World | None = field(default=None)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that only reads."""
        with reading(self.engine).begin() as connection:
            yield connection

    def world(self) -> World:
        """Desks with rules and agents bound; agents become persons in the database here, once."""
        if self._world is None:
            with self.engine.begin() as connection:
                self._world = self.world_within(connection)
        return self._world

    def world_within(self, connection: sa.Connection) -> World:
        """The same in the caller's transaction, which may be undone: ``explain`` leaves nothing behind."""
        migrate.one_at_a_time(connection)
        ids = people.sync_agents(connection, agent_rows(self.settings), self.now())
        return _world(self.settings, self.templates, self.keys, ids)


def build(folder: Path) -> App:
    """Open everything the settings name; raises ConfigError. The database gets its tables if it is new."""
    settings = load(folder)
    check_policies(settings)
    engine = connect(settings.database_url())
    migrate.upgrade(engine)
    return App(settings, engine, _templates(settings), read_keys(settings), time_source(settings))


def check_policies(settings: Settings) -> None:
    """Bind every desk's rules, only to see whether they can be; raises ConfigError."""
    for key, section in settings.desks.items():
        _rules(settings, key, section)


def time_source(settings: Settings) -> TimeSource:
    """Real time, or time moved by a file where the settings name one."""
    offset = settings.main.time.offset_file
    return Shifted(offset) if offset else real


def agent_rows(settings: Settings) -> list[AgentRow]:
    """The agents of the settings as the store takes them."""
    return [
        AgentRow(one.tenant, key, one.name, one.addresses, one.language, one.zone)
        for key, one in settings.agents.items()
    ]


def _templates(settings: Settings) -> Templates:
    return Templates([settings.folder / "templates"])


def read_keys(settings: Settings) -> Keys:
    """The keys that sign reply addresses, one a line in hexadecimal, the current first; made where there are none."""
    file = settings.main.keys_file
    if not file.exists():
        try:
            _make_keys(file)
        except OSError as problem:
            raise ConfigError("helpdesk.toml", "keys_file", f"{file} cannot be made: {problem.strerror}") from None
    if file.stat().st_mode & 0o077:
        raise ConfigError(str(file), "", "others may read these keys; run chmod 600 on the file")
    try:
        current, *previous = [bytes.fromhex(line) for line in file.read_text(encoding="ascii").split()]
        return Keys(current, tuple(previous[:1]))
    except ValueError:
        raise ConfigError(str(file), "", "is not a list of keys", "lines of 64 hexadecimal digits") from None


def _make_keys(file: Path) -> None:
    """The file is there whole or not at all, and on the disk before the first address is signed with it."""
    new = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as opened:
            opened.write(secrets.token_hex(32) + "\n")
            opened.flush()
            os.fsync(opened.fileno())
        with contextlib.suppress(FileExistsError):  # another process was faster: its key counts
            os.link(new, file)
    finally:
        new.unlink(missing_ok=True)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _rules(settings: Settings, key: str, section: DeskSection) -> dict[Trigger, tuple[Any, ...]]:
    return {
        trigger: bind(trigger, lines, file)
        for trigger in Trigger
        for file, lines in [policy_lines(settings, key, section, trigger.value)]
    }


def _world(settings: Settings, templates: Templates, keys: Keys, ids: Any) -> World:
    main = settings.main
    desks = {key: _desk(settings, key, section, ids) for key, section in settings.desks.items()}
    names = {relay.audience: relay.name for relay in reversed(main.relay)}
    fallback = names.get("all", main.relay[0].name)
    return World(
        desks=desks,
        keys=keys,
        templates=templates,
        operator=main.operator,
        relays={"customers": names.get("customers", fallback), "staff": names.get("staff", fallback)},
        give_up_after_days=main.limits.give_up_after_days,
        automatic_expires_hours=main.limits.automatic_expires_hours,
        attempts=main.limits.attempts,
    )


def _desk(settings: Settings, key: str, section: DeskSection, ids: Any) -> RunningDesk:
    calendar = settings.calendars[section.calendar]
    agents = tuple(
        Agent(ids[one.tenant, name], name, one.name, one.addresses[0], one.lead, one.language, one.zone, one.desks)
        for name, one in settings.agents.items()
        if one.tenant == section.tenant and (not one.desks or key in one.desks)
    )
    rules = _rules(settings, key, section)
    _, lines = policy_lines(settings, key, section, Trigger.MAIL.value)
    grace = next((int(options.get("grace_days", 0)) for name, options in lines if name == "require_contract"), 0)
    facts = Desk(
        key=key,
        tenant=section.tenant,
        name=section.name,
        addresses=tuple(fold(address) for address in section.addresses),
        zone=calendar.zone,
        language=section.language,
        first_agent=section.first_agent,
        grace_days=grace,
        unproven_per_day=settings.main.limits.unproven_per_day,
        automatic_per_hour=settings.main.limits.automatic_per_hour,
    )
    return RunningDesk(
        facts=facts,
        written=section.addresses[0],
        prefix=section.prefix,
        calendar=calendar,
        targets=targets(section),
        rules=rules,
        agents=agents,
        manager=section.manager,
        how_to_renew=section.how_to_renew,
        print_answer_due=section.print_answer_due,
    )


class Daemon:
    """All threads of ``helpdesk serve``."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._lock: IO[str] | None = claim_file(app.settings.database_url())
        if self._lock is not None:
            with app.engine.begin() as connection:
                spool.drop_leases(connection)
                outbox.drop_leases(connection)
        self.world = app.world()
        self.writer = Writer(app.engine)
        limits = app.settings.main.limits
        border = app.settings.main.border
        slow = float(limits.reading_seconds)
        self._lanes = [
            Lane(
                self.world,
                app.engine,
                self.writer,
                Reader(border.servers, seconds, peers=border.peers),
                app.now,
                retries=retries,
                handled=self._work_done,
            )
            for retries, seconds in ((False, min(FAST_SECONDS, slow)), (True, slow))
        ]
        self._due = DueHandler(self.world, self.writer, app.now, self._work_done)
        self._deliverers = [self._deliverer(section) for section in app.settings.main.relay]
        self.listeners = [self._listener(section) for section in app.settings.main.listener]
        self._watchers = [self._watcher(section) for section in app.settings.main.mailbox]
        self._ticker = BackgroundScheduler(timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True})
        self._ticker.add_job(self._tick, "interval", seconds=1, id="tick")

    def start(self) -> None:
        """Start everything, doors last; OSError where a port cannot be had."""
        self.writer.start()
        for job in self._jobs():
            job.loop.start()
        self._ticker.start()
        for listener in self.listeners:
            listener.start()
            log.info("%s door at %s:%d", listener.options.kind, listener.options.host, listener.port)
        for watcher in self._watchers:
            watcher.start()

    def stop(self) -> None:
        """Close the doors, finish what is in hand, end; what is left is in the database."""
        for watcher in self._watchers:
            watcher.stop()
        for listener in self.listeners:
            listener.stop()
        if self._ticker.running:
            self._ticker.shutdown(wait=False)
        for job in self._jobs():
            job.loop.stop()
            job.close()
        self.writer.stop()
        self.app.engine.dispose()

    def keep(self, raw: RawMail) -> None:
        """Make a mail durable; raises TemporaryFailure where that is not possible now."""
        tenants = self.world.tenants_of(raw.envelope.recipients)
        if not tenants:
            raise TemporaryFailure("no desk has any of these addresses")
        self.writer.run(lambda connection: spool.keep(connection, raw, tenants, self.app.now()), urgent=True)
        self._lanes[0].loop.wake()

    def accepts(self, address: str) -> bool:
        """Whether an address is one of ours, tagged or not."""
        return self.world.desk_of(address) is not None

    def _jobs(self) -> tuple[Lane | DueHandler | Deliverer, ...]:
        return (*self._lanes, self._due, *self._deliverers)

    def _tick(self) -> None:
        for job in self._jobs():
            job.loop.wake()

    def _work_done(self) -> None:
        """What was handled may have left a mail to read again, an input, or something to send."""
        for job in self._jobs()[1:]:
            job.loop.wake()

    def _deliverer(self, section: RelaySection) -> Deliverer:
        transport = transport_of(section, self.app.settings)
        limit = self.app.settings.main.limits.mails_per_second
        return Deliverer(section.name, transport, self.writer, self.app.now, self._due.loop.wake, limit)

    def _listener(self, section: ListenerSection) -> Listener:
        tls = None
        if section.tls:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.minimum_version = ssl.TLSVersion.TLSv1_2
            try:
                tls.load_cert_chain(section.tls.certificate, section.tls.key)
            except OSError as problem:
                raise ConfigError("helpdesk.toml", "listener.tls", f"cannot be used: {problem}") from None
        options = ListenerOptions(
            host=section.host,
            port=section.port,
            hostname=section.hostname,
            kind=section.kind,
            tls=tls,
            max_size=section.max_megabytes * 1024 * 1024,
            per_peer=section.connections_per_address,
        )
        accounts = read_accounts(section.accounts_file) if section.accounts_file else None
        return Listener(options, self.keep, self.accepts, self.app.now, accounts.authenticate if accounts else None)

    def _watcher(self, section: Imap) -> MailboxWatcher:
        options = MailboxOptions(
            name=section.name,
            host=section.host,
            port=section.port,
            user=section.user,
            password=section.password,
            tls=section.tls,
            ssl_context=_client_tls(section.ca_file),
            folder=section.folder,
            archive=section.archive,
            max_size=section.max_megabytes * 1024 * 1024,
            idle_seconds=section.idle_seconds,
            poll_seconds=section.poll_seconds,
        )

        def addressed(raw: RawMail) -> RawMail:
            return replace(raw, envelope=Envelope(raw.envelope.sender, (section.desk_address,), raw.envelope.peer))

        def oversized(head: RawMail, size: int) -> None:
            self._keep_oversized(addressed(head), size)

        return MailboxWatcher(options, lambda raw: self.keep(addressed(raw)), oversized, self.app.now)

    def _keep_oversized(self, head: RawMail, size: int) -> None:
        """Only the header of a mail beyond the limit was fetched: it waits in quarantine, whole in the archive folder."""
        cause = (
            f"larger than the limit ({size / 1024 / 1024:.0f} MB); the whole mail is in the mailbox's archive folder"
        )

        def work(connection: sa.Connection) -> None:
            now = self.app.now()
            for tenant in self.world.tenants_of(head.envelope.recipients):
                taken = spool.keep_claimed(connection, head, tenant, now)
                if taken is not None:
                    handle.quarantine(connection, self.world, taken, cause, now)

        self.writer.run(work, urgent=True)


def transport_of(section: RelaySection, settings: Settings) -> Transport:
    """The way out that a relay section describes."""
    if section.delivery:
        path = settings.path(Path(section.delivery.removeprefix("maildir:")))
        return MaildirRelay(path)
    password: Callable[[], str] | str = section.password if section.user else ""
    return Relay(
        RelayOptions(
            name=section.name,
            host=section.host,
            port=section.port,
            tls=section.tls,
            ssl_context=_client_tls(section.ca_file),
            user=section.user,
            password=password,
        )
    )


def _client_tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except OSError as problem:
        raise ConfigError("helpdesk.toml", "ca_file", f"{ca_file} cannot be used: {problem}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
