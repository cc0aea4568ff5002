"""The composition root: settings -> database, rules, templates, relays, time source. Everything is built here."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC
from pathlib import Path
from time import monotonic
from typing import IO, Any, TypeVar

import sqlalchemy as sa
from apscheduler.schedulers.background import BackgroundScheduler

from helpdesk.domain.address import fold
from helpdesk.domain.alarm import News, message
from helpdesk.domain.errors import ConfigError, TemporaryFailure
from helpdesk.domain.facts import Desk, Trigger
from helpdesk.domain.health import Report
from helpdesk.domain.mail import Envelope, RawMail
from helpdesk.domain.people import Agent
from helpdesk.domain.token import Keys
from helpdesk.inbound.imap import MailboxOptions, MailboxWatcher
from helpdesk.inbound.listener import CertificateFault, Listener, ListenerOptions
from helpdesk.inbound.spam import HeaderFilter, Rspamd
from helpdesk.inbound.worker import Reader
from helpdesk.jobs import parts
from helpdesk.jobs.alarm import Alarm
from helpdesk.jobs.deliver import Deliverer
from helpdesk.jobs.due import DueHandler
from helpdesk.jobs.handle import FAST_SECONDS, Judge, Lane
from helpdesk.jobs.probe import Probe
from helpdesk.jobs.watch import Part, Watch
from helpdesk.outbound.channels import (
    CHANNEL_SECONDS,
    Channel,
    CommandChannel,
    FirstOf,
    MailChannel,
    WebhookChannel,
)
from helpdesk.outbound.maildir import MaildirRelay
from helpdesk.outbound.smtp import Relay, RelayOptions
from helpdesk.outbound.templates import Templates
from helpdesk.outbound.transport import Transport
from helpdesk.pipeline import handle
from helpdesk.pipeline.world import RunningDesk, World
from helpdesk.rules import bind
from helpdesk.settings import Alarm as AlarmSection
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
from helpdesk.store import engine, migrate, outbox, people, spool, wakes
from helpdesk.store.accounts import read_accounts
from helpdesk.store.engine import claim_file, connect, reading
from helpdesk.store.people import AgentRow
from helpdesk.store.writer import Writer
from helpdesk.timesource import Shifted, TimeSource, real
from helpdesk.web.health import HealthServer

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
    to_customers = names.get("customers", fallback)
    return World(
        desks=desks,
        keys=keys,
        templates=templates,
        operator=main.operator,
        relays={"customers": to_customers, "staff": names.get("staff", fallback)},
        give_up_after_days=main.limits.give_up_after_days,
        automatic_expires_hours=main.limits.automatic_expires_hours,
        attempts=main.limits.attempts,
        own_return_paths=next(one.own_return_paths for one in main.relay if one.name == to_customers),
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
        same_words_per_day=settings.main.limits.same_words_per_day,
        rapid_per_hour=settings.main.limits.rapid_per_hour,
        web_forms=tuple(fold(address) for address in section.web_forms),
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


def _together(steps: Sequence[Callable[[], None]]) -> None:
    """Do what takes a while for each at the same time for all: no door may stay open because another one takes long."""
    threads = [threading.Thread(target=step, daemon=True) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Daemon:
    """All threads of ``helpdesk serve``."""

    def __init__(self, app: App, looked: Callable[[Report], None] | None = None) -> None:
        self.app, self._looked = app, looked
        self._lock: IO[str] | None = claim_file(app.settings.database_url())
        if self._lock is not None:
            engine.write_log_anew(app.engine)
            with app.engine.begin() as connection:
                spool.drop_leases(connection)
                outbox.drop_leases(connection)
        self.world = app.world()
        self.writer = Writer(app.engine, self._wake)
        limits = app.settings.main.limits
        border = app.settings.main.border
        slow = float(limits.reading_seconds)
        self._judges = judges_of(app.settings)
        self._lanes = [
            Lane(
                self.world,
                app.engine,
                self.writer,
                Reader(app.settings.believed(), seconds, peers=border.peers),
                app.now,
                retries=retries,
                judges=self._judges,
            )
            for retries, seconds in ((False, min(FAST_SECONDS, slow)), (True, slow))
        ]
        self._due = DueHandler(self.world, self.writer, app.now)
        self._deliverers = [self._deliverer(section) for section in app.settings.main.relay]
        self.listeners = [
            self._listener(number, section) for number, section in enumerate(app.settings.main.listener, start=1)
        ]
        self._watchers = [self._watcher(section) for section in app.settings.main.mailbox]
        self._ticker = BackgroundScheduler(timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True})
        self._ticker.add_job(self._tick, "interval", seconds=1, id="tick")
        self._ticked = monotonic()
        self._faulty_certificates: list[str] = []
        self._alarm = Alarm(alarm_channels(app.settings))

    def start(self) -> None:
        """Start everything, doors last; OSError where a port cannot be had."""
        self.writer.start()
        for job in self._jobs():
            job.loop.start()
        self._ticker.start()
        for listener in self.listeners:
            with _naming(f"the {listener.options.kind} door", _place(listener.options)):
                listener.start()
            log.info("%s door at %s", listener.options.kind, listener.address)
        for watcher in self._watchers:
            watcher.start()
        self._begin_watching()

    def stop(self) -> None:
        """Close the doors, finish what is in hand, end; what is left is in the database."""
        self._end_watching()
        _together([*(one.stop for one in self._watchers), *(one.stop for one in self.listeners)])
        if self._ticker.running:
            self._ticker.shutdown(wait=False)
        _together([job.loop.stop for job in self._jobs()])
        _together([job.close for job in self._jobs()])
        for judge in self._judges:
            judge.close()
        self.writer.stop()
        self.app.engine.dispose()
        if self._lock is not None:
            self._lock.close()

    def keep(self, raw: RawMail) -> None:
        """Make a mail durable; raises TemporaryFailure where that is not possible now."""
        rows = self.begin_keeping(raw).result()
        if raw.sighting is not None:
            where = raw.sighting
            numbers = ", ".join(map(str, rows)) or "one that was kept before"
            log.info("mailbox %s: mail %d kept as mail %s", where.mailbox, where.uid, numbers)

    def begin_keeping(self, raw: RawMail) -> Future[list[int]]:
        """The same without waiting: the future is done when the mail is durable, or tells why it is not."""
        tenants = self.world.tenants_of(raw.envelope.recipients)
        if not tenants:
            raise TemporaryFailure("no desk has any of these addresses")
        return self.writer.submit(lambda connection: spool.keep(connection, raw, tenants, self.app.now()), urgent=True)

    def accepts(self, address: str) -> bool:
        """Whether an address is one of ours, tagged or not."""
        return self.world.desk_of(address) is not None

    def _jobs(self) -> tuple[Lane | DueHandler | Deliverer, ...]:
        return (*self._lanes, self._due, *self._deliverers)

    def reload(self) -> list[str]:
        """Take up changed templates and certificates; what is wrong with them, while the last good ones stay in use."""
        problems = [f"template {problem}" for problem in self.app.templates.reload()]
        self._faulty_certificates = []
        for listener in self.listeners:
            try:
                listener.reload_certificate()
            except CertificateFault as fault:
                self._faulty_certificates.append(str(fault))
        return [*problems, *self._faulty_certificates]

    def _begin_watching(self) -> None:
        health = self.app.settings.main.health
        watched, self._probes = self._parts()
        self.watch = Watch(watched, self._tell, real, after_seconds=health.alarm_after_seconds, looked=self._looked)
        self._health_file = health.file
        self._health_server = HealthServer(health.host, health.port, self.watch.report) if health.port else None
        if self._health_server is not None:
            with _naming("the health port", f"{health.host}:{health.port}"):
                self._health_server.start()
        self._alarm.start()
        self._ticked = monotonic()
        self.watch.start()
        for probe in self._probes:
            probe.start()

    def _end_watching(self) -> None:
        self.watch.stop()
        if self._health_server is not None:
            self._health_server.stop()
        for probe in self._probes:
            probe.stop()
        self._probes[-1].wait()
        self._alarm.stop()
        with contextlib.suppress(OSError):
            self._health_file.unlink(missing_ok=True)

    def _parts(self) -> tuple[list[Part], list[Probe]]:
        """Everything that can be in trouble, and the questions that are asked about it in threads of their own."""
        settings, writer = self.app.settings, self.writer
        limits, relays = settings.main.limits, settings.main.relay
        patience = parts.STANDING_SECONDS + limits.attempts * limits.reading_seconds
        queues = parts.Queues(self.app.engine, self.app.now, [one.name for one in relays], patience)
        doors = [parts.door(listener) for listener in self.listeners]
        database, probes = parts.database(self.app.engine, queues, writer)
        found = [
            *(part for part, _ in doors),
            *(parts.mailbox(watcher.options.name, watcher) for watcher in self._watchers),
            *(parts.lane(lane.loop, writer) for lane in self._lanes),
            parts.timers(self._due.loop, queues, writer),
            *(
                parts.relay(section.name, deliverer.condition, deliverer.loop, queues, writer)
                for section, deliverer in zip(relays, self._deliverers, strict=True)
            ),
            *(parts.spam_filter(judge.condition) for judge in self._judges if isinstance(judge, Rspamd)),
            *database,
            parts.ticker(lambda: self._ticked),
            parts.templates(lambda: self.app.templates.problems),
            parts.certificates(lambda: self._faulty_certificates),
            Part("alarm", self._alarm.condition, "see that one of the ways under [[alarm]] works"),
        ]
        file, writing = parts.report_file(settings.main.health.file, lambda: self.watch.report())
        return [*found, file], [*(probe for _, probe in doors), *probes, writing]

    def _tell(self, news: News, report: Report, clock: float) -> None:
        folder = self.app.settings.folder
        self._alarm.tell(message(news, report, clock, socket.gethostname(), f"helpdesk --config {folder} health"))

    def _tick(self) -> None:
        self._ticked = monotonic()
        for job in self._jobs():
            job.loop.wake()
        for deliverer in self._deliverers:
            deliverer.renew()

    def _wake(self, left: frozenset[str]) -> None:
        """A transaction is durable: whoever has work by it may begin."""
        fast, slow = self._lanes
        sleepers = {wakes.MAIL: fast.loop, wakes.AGAIN: slow.loop, wakes.INPUT: self._due.loop}
        for section, deliverer in zip(self.app.settings.main.relay, self._deliverers, strict=True):
            sleepers[wakes.relay(section.name)] = deliverer.loop
        for what in left & sleepers.keys():
            sleepers[what].wake()

    def _deliverer(self, section: RelaySection) -> Deliverer:
        transport = transport_of(section, self.app.settings)
        limit = self.app.settings.main.limits.mails_per_second
        return Deliverer(section.name, transport, self.writer, self.app.now, limit)

    def _listener(self, number: int, section: ListenerSection) -> Listener:
        options = ListenerOptions(
            host=section.host,
            port=section.port,
            path=section.path,
            hostname=section.hostname,
            kind=section.kind,
            tls=section.tls,
            certificate=section.certificate,
            key=section.key,
            require_tls=section.require_tls,
            max_size=section.max_megabytes * 1024 * 1024,
            max_line=section.max_line_kilobytes * 1024,
            max_recipients=section.max_recipients,
            connections=section.connections,
            per_peer=section.connections_per_address,
            uncapped_peers=section.uncapped_addresses,
            commands=section.max_commands,
            errors=section.max_errors,
            timeout=section.timeout_seconds,
            minimum_rate=section.minimum_rate,
        )
        accounts = read_accounts(section.accounts_file) if section.accounts_file else None
        authenticate = accounts.authenticate if accounts else None
        with certificate_faults(self.app.settings, number):
            return Listener(options, self.begin_keeping, self.accepts, self.app.now, authenticate)

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
            megabytes = size / 1024 / 1024
            cause = f"larger than the limit ({megabytes:.0f} MB); the whole mail is in the mailbox's archive folder"
            self._keep_aside(addressed(head), cause)

        def unfetchable(head: RawMail, cause: str) -> None:
            self._keep_aside(addressed(head), cause)

        return MailboxWatcher(options, lambda raw: self.keep(addressed(raw)), oversized, unfetchable, self.app.now)

    def _keep_aside(self, head: RawMail, cause: str) -> None:
        """Not the whole of a mail could be fetched: what there is waits in quarantine, the mail in its mailbox."""

        def work(connection: sa.Connection) -> None:
            now = self.app.now()
            for tenant in self.world.tenants_of(head.envelope.recipients):
                taken = spool.keep_claimed(connection, head, tenant, now)
                if taken is not None:
                    handle.quarantine(connection, self.world, taken, cause, now)

        self.writer.run(work, urgent=True)


@contextmanager
def _naming(what: str, place: str) -> Iterator[None]:
    """An OSError within says what could not be opened where."""
    try:
        yield
    except OSError as problem:
        raise OSError(problem.errno, f"{what} at {place} cannot be opened: {problem.strerror or problem}") from None


def _place(options: ListenerOptions) -> str:
    return str(options.path or f"{options.host}:{options.port}")


@contextmanager
def certificate_faults(settings: Settings, number: int) -> Iterator[None]:
    """Name the setting of the listener whose certificate or key cannot be used."""
    try:
        yield
    except CertificateFault as fault:
        file = str(settings.folder / "helpdesk.toml")
        raise ConfigError(file, f"listener.{number}.{fault.setting}", str(fault)) from None


def judges_of(settings: Settings) -> list[Judge]:
    """Who is asked about each mail: the DNS, where no border server vouches for senders, and the spam filter."""
    border, spam = settings.main.border, settings.main.spam
    judges: list[Judge] = []
    if not border.servers and border.dns != "off":
        # Only who needs them pays for these libraries, in memory and in start.
        from helpdesk.inbound.dns import Resolver
        from helpdesk.inbound.verify import Verifier

        judges.append(Verifier(Resolver(() if border.dns == "system" else border.dns), border.peers))
    if spam.headers:
        judges.append(HeaderFilter(spam.named))
    if spam.rspamd:
        judges.append(Rspamd(spam.rspamd, spam.password(), border.peers))
    return judges


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


def alarm_channels(settings: Settings) -> list[Channel]:
    """The ways under [[alarm]]; without any, the relays of the desk, until one takes a mail to the operator."""
    main = settings.main
    if main.alarm:
        return [_alarm_channel(section, main.operator) for section in main.alarm]
    mails = []
    for section in main.relay:
        way = transport_of(section, settings) if section.delivery else Relay(_hasty(section, section.name))
        mails.append(MailChannel(section.name, way, main.operator, main.operator, real))
    return [FirstOf(mails)]


def _alarm_channel(section: AlarmSection, operator: str) -> Channel:
    if section.command:
        return CommandChannel(section.command)
    if section.webhook:
        return WebhookChannel(section.webhook, section.password, _client_tls(section.ca_file))
    return MailChannel(section.host, Relay(_hasty(section, section.host)), operator, section.to, real)


def _hasty(section: RelaySection | AlarmSection, name: str) -> RelayOptions:
    """A relay for alarms: others must be tried soon where it hangs."""
    return RelayOptions(
        name=name,
        host=section.host,
        port=section.port,
        tls=section.tls,
        ssl_context=_client_tls(section.ca_file),
        user=section.user,
        password=section.password if section.user else "",
        timeout=CHANNEL_SECONDS,
        longest=2 * CHANNEL_SECONDS,
        final_timeout=CHANNEL_SECONDS,
    )


def _client_tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except OSError as problem:
        raise ConfigError("helpdesk.toml", "ca_file", f"{ca_file} cannot be used: {problem}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
