"""``helpdesk check``: is everything in order? Every problem with its place and what to do."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from helpdesk.cli.opened import clock, database
from helpdesk.cli.place import with_line
from helpdesk.cli.terminal import Stopped, local_time, one_line, say
from helpdesk.domain.alarm import Message
from helpdesk.domain.errors import ConfigError, HelpdeskError, TemporaryFailure

if TYPE_CHECKING:
    from helpdesk.settings import Settings


@dataclass(slots=True)
class _Findings:
    """What must be mended, and what should be known."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Note a problem instead of stopping at it."""
        try:
            yield
        except ConfigError as problem:
            self.problems.append(with_line(problem))
        except TemporaryFailure as problem:
            self.problems.append(str(problem))


@click.command()
@click.option("--try-alarm", is_flag=True, help="Also send a message over each way of [[alarm]].")
@click.pass_obj
def check(folder: Path, try_alarm: bool) -> None:
    """Check the configuration, templates, keys and database; ends with 78 if something must be mended."""
    from helpdesk.settings import load

    findings = _Findings()
    settings = None
    with findings.collecting():
        settings = load(folder)
    openings: list[str] = []
    if settings is not None:
        for part in (_policies, _templates, _keys, _doors, _relays, _alarms, _database):
            _run(part, settings, findings)
        if try_alarm:
            _run(_try_alarms, settings, findings)
        openings = _openings(settings, findings)
    for warning in findings.warnings:
        click.echo(f"warning: {one_line(warning)}", err=True)
    for problem in findings.problems:
        click.echo(one_line(problem), err=True)
    if settings is None or findings.problems:
        number = len(findings.problems)
        raise Stopped(f"{number} problem{'s' * (number > 1)} to mend", os.EX_CONFIG)
    for line in openings:
        say(line)
    say(f"everything is in order: {_summary(settings)}")


def _run(part: Callable[[Settings, _Findings], None], settings: Settings, findings: _Findings) -> None:
    with findings.collecting():
        part(settings, findings)


def _policies(settings: Settings, findings: _Findings) -> None:
    """Bind each kind of input of each desk by itself, so that one fault hides no other."""
    from helpdesk.domain.facts import Trigger
    from helpdesk.rules import bind
    from helpdesk.settings import policy_lines

    for key, section in settings.desks.items():
        for trigger in Trigger:
            with findings.collecting():
                file, lines = policy_lines(settings, key, section, trigger.value)
                bind(trigger, lines, file)


def _templates(settings: Settings, findings: _Findings) -> None:
    from helpdesk.outbound.templates import Templates

    findings.problems += [str(problem) for problem in Templates([settings.folder / "templates"]).check()]


def _keys(settings: Settings, findings: _Findings) -> None:
    from helpdesk.app import read_keys

    read_keys(settings)


def _doors(settings: Settings, findings: _Findings) -> None:
    from helpdesk.app import certificate_faults
    from helpdesk.inbound.listener import server_context
    from helpdesk.store.accounts import read_accounts

    for number, listener in enumerate(settings.main.listener, start=1):
        if listener.accounts_file:
            with findings.collecting():
                if not read_accounts(listener.accounts_file).hashes:
                    findings.warnings.append(f"{listener.accounts_file}: nobody can log in; see helpdesk account")
        if listener.certificate and listener.key:
            with findings.collecting(), certificate_faults(settings, number):
                server_context(listener.certificate, listener.key)
    for mailbox in settings.main.mailbox:
        with findings.collecting():
            mailbox.password()
    if not settings.main.listener and not settings.main.mailbox:
        findings.warnings.append("helpdesk.toml: no listener and no mailbox: mail comes in by helpdesk ingest alone")


def _relays(settings: Settings, findings: _Findings) -> None:
    for number, relay in enumerate(settings.main.relay, start=1):
        if relay.delivery:
            findings.warnings.append(
                f"helpdesk.toml: relay.{number}.delivery: mails go into a folder and reach nobody ({relay.delivery})"
            )
        elif relay.user:
            with findings.collecting():
                relay.password()


def _alarms(settings: Settings, findings: _Findings) -> None:
    alarms = settings.main.alarm
    if not alarms:
        findings.warnings.append(
            "helpdesk.toml: alarm: there is no second channel; when the relays are away, nobody hears of it"
        )
    for number, section in enumerate(alarms, start=1):
        if section.command and shutil.which(section.command[0]) is None:
            file = str(settings.folder / "helpdesk.toml")
            problem = ConfigError(file, f"alarm.{number}.command", f"{section.command[0]} cannot be run")
            findings.problems.append(with_line(problem))
        with findings.collecting():
            section.password()


def _try_alarms(settings: Settings, findings: _Findings) -> None:
    from helpdesk.app import alarm_channels

    place = socket.gethostname()
    message = Message(f"helpdesk on {place}: this is only a test", "This way of raising the alarm works.\n")
    for channel in alarm_channels(settings):
        try:
            channel.send(message)
        except HelpdeskError as problem:
            findings.problems.append(f"alarm by {channel.name}: {problem}")
        else:
            say(f"alarm by {channel.name}: sent")


def _database(settings: Settings, findings: _Findings) -> None:
    from helpdesk.store import damage, outbox
    from helpdesk.store.engine import reading

    with database(settings) as engine, reading(engine).begin() as connection:
        outbox.next_due(connection, "")
        if words := damage.look(connection):
            raise ConfigError("the database", "", f"is damaged ({words}): {damage.RESTORE}")


def _openings(settings: Settings, findings: _Findings) -> list[str]:
    now = clock(settings)()
    lines = []
    for name, calendar in settings.calendars.items():
        try:
            opening = local_time(calendar.next_open(now), calendar.zone)
        except ValueError as problem:
            findings.problems.append(f"{settings.folder / 'calendars' / name}.toml: {problem}; legal: fewer holidays")
            continue
        lines.append(f"calendar {name}: " + ("open now" if calendar.is_open(now) else f"opens {opening}"))
    return lines


def _summary(settings: Settings) -> str:
    main = settings.main
    counts = [
        (len(settings.desks), "desk"),
        (len(settings.agents), "agent"),
        (len(settings.calendars), "calendar"),
        (len(main.listener), "listener"),
        (len(main.mailbox), "mailbox"),
        (len(main.relay), "relay"),
    ]
    return ", ".join(f"{number} {_plural(word, number)}" for number, word in counts if number)


def _plural(word: str, number: int) -> str:
    if number == 1:
        return word
    return f"{word}es" if word.endswith("x") else f"{word}s"
