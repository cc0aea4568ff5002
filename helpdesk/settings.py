"""config/*.toml -> frozen settings.

    helpdesk.toml        database, listeners, mailboxes, relays, border, alarms
    agents.toml          who answers
    calendars/NAME.toml  working hours, zone, holidays
    desks/NAME.toml      a desk: addresses, calendar, targets, and its policy

A wrong value raises ConfigError with file, key path and the legal values. Relative paths are relative to the
configuration folder. Secrets stand in files (``*_file``), come from commands (``*_command``) or from the
environment (``*_env``), never in the settings themselves.
"""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date, time
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from helpdesk.domain.address import domain_of, fold
from helpdesk.domain.calendar import Calendar, parse_hours, parse_span
from helpdesk.domain.errors import ConfigError
from helpdesk.domain.sla import Target, parse_share

S = TypeVar("S", bound=BaseModel)

_SMTP_PORT = 25
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _address(value: str) -> str:
    if not fold(value) or any(sign in value for sign in " <>,;:"):
        raise ValueError(f"'{value}' is not a mail address; legal: name@domain")
    return value


def _zone(value: str) -> str:
    if value and value not in available_timezones():
        raise ValueError(f"'{value}' is not a time zone; legal: names like Europe/Berlin or Australia/Sydney")
    return value


def _language(value: str) -> str:
    if value and not re.fullmatch(r"[a-z]{2,3}(-[A-Z]{2})?", value):
        raise ValueError(f"'{value}' is not a language; legal: codes like en, de or pt-BR")
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", value):
        raise ValueError(f"'{value}' is not a name; legal: lower-case letters, digits, - and _")
    return value


def _folder_name(value: str) -> str:
    if not value or any(ord(sign) < 32 or ord(sign) == 127 for sign in value):
        raise ValueError("a folder name has at least one character and no control characters")
    return value


def _ip_address(value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError:
        raise ValueError(f"'{value}' is not an IP address; legal: like 192.0.2.10 or 2001:db8::1") from None


def _web_address(value: str) -> str:
    address = urlsplit(value)
    safe = address.scheme == "https" or (address.scheme == "http" and _is_loopback(address.hostname or ""))
    if value and not (safe and address.hostname):
        raise ValueError("must be an address that nobody can listen in on; legal: https://..., http://127.0.0.1")
    return value


def _verdict_header(value: str) -> str:
    name, colon, beginning = value.partition(":")
    if not colon or not beginning.strip() or not re.fullmatch(r"[!-9;-~]+", name.strip()):
        raise ValueError(f"'{value}' is no header with a value; legal: like \"X-Verdict: spam\"")
    return value


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


Address = Annotated[str, AfterValidator(_address)]
IpAddress = Annotated[str, AfterValidator(_ip_address)]
Zone = Annotated[str, AfterValidator(_zone)]
Language = Annotated[str, AfterValidator(_language)]
Name = Annotated[str, AfterValidator(_name)]
FolderName = Annotated[str, AfterValidator(_folder_name)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Secret(Section):
    """A password, never written here: where to find it."""

    password_file: Path | None = None
    password_command: tuple[str, ...] = ()
    password_env: str = ""

    def password(self) -> str:
        """Fetch the secret; raises ConfigError when its source gives none."""
        if self.password_file:
            try:
                if self.password_file.stat().st_mode & 0o007:
                    raise ConfigError(str(self.password_file), "", "others may read this secret; run chmod o-rwx")
                return self.password_file.read_text(encoding="utf-8").strip()
            except OSError as problem:
                raise ConfigError(str(self.password_file), "password_file", problem.strerror or "unreadable") from None
        if self.password_command:
            try:
                done = subprocess.run(self.password_command, capture_output=True, text=True, timeout=30, check=False)
            except (OSError, subprocess.TimeoutExpired) as problem:
                raise ConfigError(self.password_command[0], "password_command", f"gives nothing: {problem}") from None
            if done.returncode:
                raise ConfigError(self.password_command[0], "password_command", f"ended with {done.returncode}")
            return done.stdout.strip()
        if self.password_env:
            found = os.environ.get(self.password_env)
            if found is None:
                raise ConfigError("environment", self.password_env, "is not set")
            return found
        return ""


class Database(Section):
    """Where the rows are: a file beside the configuration, or a PostgreSQL."""

    url: str = "sqlite:///helpdesk.sqlite"


class Listener(Section):
    """A door that listens, on ``host`` and ``port`` or on a unix socket, and the limits that keep it open."""

    kind: Literal["smtp", "lmtp", "submission"] = "smtp"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 2525
    path: Path | None = None
    hostname: str = "localhost"
    tls: Literal["implicit", "starttls", "none"] = "none"
    certificate: Path | None = None
    key: Path | None = None
    require_tls: bool = False
    accounts_file: Path | None = None
    connections: Annotated[int, Field(ge=1, le=5000)] = 200
    connections_per_address: Annotated[int, Field(ge=1)] = 10
    uncapped_addresses: tuple[IpAddress, ...] = ("127.0.0.1", "::1")
    max_megabytes: Annotated[int, Field(ge=1, le=150)] = 35
    max_line_kilobytes: Annotated[int, Field(ge=1)] = 1024
    max_recipients: Annotated[int, Field(ge=100)] = 100  # RFC 5321 section 4.5.3.1.8
    max_commands: Annotated[int, Field(ge=10)] = 100
    max_errors: Annotated[int, Field(ge=1)] = 20
    timeout_seconds: Annotated[int, Field(ge=10, le=3600)] = 300
    minimum_rate: Annotated[int, Field(ge=1)] = 500

    @model_validator(mode="after")
    def _fits_together(self) -> Listener:
        if self.kind == "submission" and (self.tls == "none" or not self.accounts_file):
            raise ValueError("a submission listener needs tls (starttls or implicit) and accounts_file")
        if self.tls != "none" and not (self.certificate and self.key):
            raise ValueError(f'tls = "{self.tls}" needs a certificate and its key')
        if self.tls == "none" and (self.certificate or self.key or self.require_tls):
            raise ValueError('a certificate, a key or require_tls needs tls = "starttls" or "implicit"')
        if self.kind == "lmtp" and self.port == _SMTP_PORT:
            raise ValueError("LMTP must not be spoken on port 25 (RFC 2033 section 5)")
        if self.path and (self.kind != "lmtp" or {"host", "port", "tls"} & self.model_fields_set):
            raise ValueError('path is for kind = "lmtp", instead of host, port and tls')
        return self


class Imap(Secret):
    """A mailbox that is watched; ``desk_address`` is where its mail counts as sent to when no address of ours is named."""

    name: Name
    host: str
    port: Annotated[int, Field(ge=1, le=65535)] = 993
    tls: Literal["implicit", "starttls", "none"] = "implicit"
    ca_file: Path | None = None
    user: str
    folder: FolderName = "INBOX"
    archive: FolderName = "Archive"
    desk_address: Address
    max_megabytes: Annotated[int, Field(ge=1, le=150)] = 35
    poll_seconds: Annotated[int, Field(ge=1, le=3600)] = 40
    idle_seconds: Annotated[int, Field(ge=5, le=300)] = 40


class Relay(Secret):
    """Where outgoing mail is handed over: an SMTP server, or ``delivery = "maildir:PATH"`` to try things out."""

    name: Name = "main"
    audience: Literal["all", "customers", "staff"] = "all"
    host: str = ""
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    tls: Literal["implicit", "starttls", "none"] = "starttls"
    ca_file: Path | None = None
    user: str = ""
    delivery: Annotated[str, Field(pattern=r"^(maildir:.+)?$")] = ""
    own_return_paths: bool = True

    @model_validator(mode="after")
    def _one_way(self) -> Relay:
        if bool(self.host) == bool(self.delivery):
            raise ValueError('a relay needs either host, or delivery = "maildir:PATH"')
        return self


class Border(Section):
    """Servers whose Authentication-Results are believed when theirs is the topmost (RFC 8601 section 5).

    ``peers`` are the addresses that they connect from: on an SMTP listener nobody else's word counts. Where no server is
    named, the daemon judges DKIM, SPF and DMARC itself, asking ``dns``: "system", "off", or address or address:port.
    ``tenant`` says whose stamp on internal mail is believed.
    """

    servers: tuple[str, ...] = ()
    tenant: Literal["", "microsoft365", "google"] = ""
    peers: tuple[str, ...] = ("127.0.0.1", "::1")
    dns: tuple[str, ...] | Literal["system", "off"] = "system"

    def believed(self, addresses: Iterable[str]) -> tuple[str, ...]:
        """Whose word counts, as the reader takes it; ``addresses`` are those of desks and agents."""
        own = sorted({f"@{domain_of(one)}" for one in addresses})
        return (*self.servers, f"tenant:{self.tenant}", *own) if self.tenant else self.servers


class Spam(Secret):
    """Filters that are believed beside the usual headers: ``headers`` of one on the mail's way ("X-Verdict: spam"), and
    ``rspamd``, the address of one that is asked about each mail, with a password where it wants one."""

    headers: tuple[Annotated[str, AfterValidator(_verdict_header)], ...] = ()
    rspamd: Annotated[str, AfterValidator(_web_address)] = ""

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        """Name and beginning of the value of each header."""
        pairs = (one.partition(":") for one in self.headers)
        return tuple((name.strip(), value.strip()) for name, _, value in pairs)


class Limits(Section):
    """Rations and times of the daemon."""

    automatic_per_hour: Annotated[int, Field(ge=1)] = 20
    unproven_per_day: Annotated[int, Field(ge=0)] = 1
    same_words_per_day: Annotated[int, Field(ge=1)] = 1
    rapid_per_hour: Annotated[int, Field(ge=1)] = 2
    give_up_after_days: Annotated[int, Field(ge=1, le=30)] = 5
    automatic_expires_hours: Annotated[int, Field(ge=1)] = 24
    reading_seconds: Annotated[int, Field(ge=1, le=180)] = 20
    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    mails_per_second: Annotated[int, Field(ge=0)] = 0


class Alarm(Secret):
    """A way to reach a person when a part does not work: a command, a webhook, or a second relay with ``to``."""

    command: tuple[str, ...] = ()
    webhook: Annotated[str, AfterValidator(_web_address)] = ""
    host: str = ""
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    tls: Literal["implicit", "starttls", "none"] = "starttls"
    ca_file: Path | None = None
    user: str = ""
    to: Annotated[str, AfterValidator(lambda value: value and _address(value))] = ""

    @model_validator(mode="after")
    def _one_way(self) -> Alarm:
        if sum(map(bool, (self.command, self.webhook, self.host))) != 1:
            raise ValueError("an alarm needs one of command, webhook, or host (with to)")
        if bool(self.host) != bool(self.to):
            raise ValueError("host and to go together: the relay, and whom the mail is for")
        if self.user and self.tls == "none":
            raise ValueError("a password needs tls; legal: starttls, implicit")
        return self


class Health(Section):
    """How the daemon shows that it is well, and when it raises the alarm."""

    alarm_after_seconds: Annotated[int, Field(ge=1, le=100)] = 90
    file: Path = Path("health.json")
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    open_to_network: bool = False

    @model_validator(mode="after")
    def _stays_here(self) -> Health:
        if not self.open_to_network and not _is_loopback(self.host):
            raise ValueError(
                f"'{self.host}' can be reached by others; legal: 127.0.0.1, ::1, or open_to_network = true"
            )
        return self


class TimeShift(Section):
    """For demonstrations and tests only: move time by the seconds in ``offset_file``."""

    offset_file: Path | None = None


class Main(Section):
    """helpdesk.toml."""

    operator: Address
    database: Database = Database()
    listener: tuple[Listener, ...] = ()
    mailbox: tuple[Imap, ...] = ()
    relay: Annotated[tuple[Relay, ...], Field(min_length=1)]
    border: Border = Border()
    spam: Spam = Spam()
    limits: Limits = Limits()
    alarm: tuple[Alarm, ...] = ()
    health: Health = Health()
    keys_file: Path = Path("helpdesk.keys")
    time: TimeShift = TimeShift()


class AgentSection(Section):
    """Somebody who answers; ``addresses`` are those he writes from, the first is the one he is written to."""

    name: str
    addresses: Annotated[tuple[Address, ...], Field(min_length=1)]
    tenant: Name = "main"
    desks: tuple[Name, ...] = ()
    lead: bool = False
    language: Language = ""
    zone: Zone = ""


class CalendarSection(Section):
    """Working hours by weekday, own holidays, and a country's where wanted (``holidays_of = "DE-BY"``)."""

    zone: Zone
    monday: str = ""
    tuesday: str = ""
    wednesday: str = ""
    thursday: str = ""
    friday: str = ""
    saturday: str = ""
    sunday: str = ""
    holidays: Mapping[date, str] = {}
    holidays_of: str = ""


class TargetSection(Section):
    """A promise; the most specific one wins: contract, organisation, kind, severity."""

    promise: Literal["first_response"] = "first_response"
    within: str
    warn_at: tuple[str, ...] = ("50%", "80%")
    severity: str = ""
    organisation: str = ""
    contract: str = ""
    kind: str = ""


class RuleSection(BaseModel):
    """A line of the policy: the rule's name and its options beside it."""

    model_config = ConfigDict(frozen=True, extra="allow")
    rule: str

    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Policy(Section):
    """A ready policy: the rules for each kind of input, in order."""

    on_mail: tuple[RuleSection, ...]
    on_timer: tuple[RuleSection, ...]
    on_change: tuple[RuleSection, ...]
    on_delivery: tuple[RuleSection, ...]


class DeskSection(Section):
    """desks/NAME.toml: a desk and the policy that it publishes."""

    name: str
    addresses: Annotated[tuple[Address, ...], Field(min_length=1)]
    web_forms: tuple[Address, ...] = ()
    tenant: Name = "main"
    prefix: Annotated[str, Field(pattern=r"^[A-Z]{1,6}$")] = "HD"
    calendar: Name
    language: Language = "en"
    policy: Name = "standard"
    first_agent: str = ""
    manager: Annotated[str, AfterValidator(lambda value: value and _address(value))] = ""
    how_to_renew: str = "Please reply to this mail and we will tell you how to renew."
    print_answer_due: bool = True
    target: tuple[TargetSection, ...] = ()
    on_mail: tuple[RuleSection, ...] = ()
    on_timer: tuple[RuleSection, ...] = ()
    on_change: tuple[RuleSection, ...] = ()
    on_delivery: tuple[RuleSection, ...] = ()


class Settings(BaseModel):
    """Everything in the configuration folder, checked together."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    folder: Path
    main: Main
    agents: Mapping[str, AgentSection]
    calendars: Mapping[str, Calendar]
    desks: Mapping[str, DeskSection]

    def believed(self) -> tuple[str, ...]:
        """Whose word on senders counts, as the reader takes it."""
        desks, agents = self.desks.values(), self.agents.values()
        ours = [address for desk in desks for address in desk.addresses]
        return self.main.border.believed([*ours, *(address for agent in agents for address in agent.addresses)])

    def path(self, path: Path) -> Path:
        """A path of the settings, made absolute from the configuration folder."""
        return path if path.is_absolute() else self.folder / path

    def database_url(self) -> str:
        """The database address; a relative SQLite file lies in the configuration folder."""
        url = self.main.database.url
        head, separator, rest = url.partition("sqlite:///")
        if separator and not head and rest and not rest.startswith("/"):
            return f"sqlite:///{self.folder.absolute() / rest}"
        return url


def load(folder: Path) -> Settings:
    """Read and check a configuration folder; raises ConfigError for the first thing that a person must mend."""
    folder = folder.absolute()
    main = _read(folder / "helpdesk.toml", Main)
    agents_file = folder / "agents.toml"
    agents = {
        _checked_name(agents_file, key): _section(agents_file, key, AgentSection, value)
        for key, value in _toml(agents_file).items()
    }
    calendars = {file.stem: _calendar(file) for file in sorted((folder / "calendars").glob("*.toml"))}
    desks = {file.stem: _read(file, DeskSection) for file in sorted((folder / "desks").glob("*.toml"))}
    if not desks:
        raise ConfigError(str(folder / "desks"), "", "no desk is set up; add desks/NAME.toml")
    settings = Settings(folder=folder, main=_absolute(folder, main), agents=agents, calendars=calendars, desks=desks)
    _check_references(settings)
    return settings


def targets(section: DeskSection) -> tuple[Target, ...]:
    """The desk's SLA targets as the domain knows them."""
    return tuple(
        Target(
            promise=target.promise,
            within=parse_span(target.within),
            warn_at=tuple(parse_share(text) for text in target.warn_at),
            severity=target.severity,
            organisation=target.organisation,
            contract=target.contract,
            kind=target.kind,
        )
        for target in section.target
    )


def policies_folder() -> Path:
    """Where the ready policies are: in the package once installed, else in the source tree."""
    package = Path(__file__).resolve().parent
    installed = package / "policies"
    return installed if installed.is_dir() else package.parent / "config" / "policies"


def policy_lines(
    settings: Settings, key: str, section: DeskSection, trigger: str
) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
    """The file and the lines (rule, options) of a desk for one kind of input: its own, else its policy's."""
    own: tuple[RuleSection, ...] = getattr(section, f"on_{trigger}")
    if own:
        file = settings.folder / "desks" / f"{key}.toml"
        return str(file), [(line.rule, line.options()) for line in own]
    file = policies_folder() / f"{section.policy}.toml"
    if not file.is_file():
        legal = ", ".join(sorted(one.stem for one in policies_folder().glob("*.toml")))
        raise ConfigError(
            str(settings.folder / "desks" / f"{key}.toml"), "policy", f"there is no policy '{section.policy}'", legal
        )
    policy = _read(file, Policy)
    lines: tuple[RuleSection, ...] = getattr(policy, f"on_{trigger}")
    return str(file), [(line.rule, line.options()) for line in lines]


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(str(file), "", "this file is missing") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(str(file), "", f"cannot be read: {problem}") from None
    except tomllib.TOMLDecodeError as problem:
        raise ConfigError(str(file), "", f"is not TOML: {problem}") from None


def _read(file: Path, kind: type[S]) -> S:
    return _section(file, "", kind, _toml(file))


def _section(file: Path, key: str, kind: type[S], value: object) -> S:
    try:
        return kind.model_validate(value)
    except ValidationError as problem:
        raise _config_error(file, key, kind, problem) from None


def _config_error(file: Path, key: str, kind: type[BaseModel], problem: ValidationError) -> ConfigError:
    """The first fault in words, with the key path as a person writes it and the names that are legal there."""
    fault = problem.errors()[0]
    steps = [str(step + 1) if isinstance(step, int) else str(step) for step in fault["loc"]]
    path = ".".join([key, *steps] if key else steps)
    if fault["type"] == "extra_forbidden":
        return ConfigError(str(file), path, "is not a setting", ", ".join(_legal_keys(kind, fault["loc"][:-1])))
    if fault["type"] == "missing":
        return ConfigError(str(file), path, "is missing")
    message = fault["msg"].removeprefix("Value error, ")
    words, _, legal = message.partition("; legal: ")
    if fault["type"] == "literal_error":
        words, legal = f"{fault['input']!r} is not allowed", str((fault.get("ctx") or {}).get("expected", ""))
    return ConfigError(str(file), path, words, legal)


def _legal_keys(kind: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    for step in path:
        if isinstance(step, int):
            continue
        found = _model_within(kind.model_fields[step].annotation) if step in kind.model_fields else None
        if found is None:
            return []
        kind = found
    return sorted(kind.model_fields)


def _model_within(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _model_within(argument)) is not None:
            return found
    return None


def _checked_name(file: Path, key: str) -> str:
    try:
        return _name(key)
    except ValueError as problem:
        raise ConfigError(str(file), key, str(problem)) from None


def _calendar(file: Path) -> Calendar:
    section = _read(file, CalendarSection)
    hours: dict[int, tuple[tuple[time, time], ...]] = {}
    for number, weekday in enumerate(WEEKDAYS):
        try:
            hours[number] = parse_hours(getattr(section, weekday))
        except ValueError as problem:
            raise ConfigError(
                str(file), weekday, str(problem), '"09:00-12:30 13:30-17:00", or "" for a day off'
            ) from None
    holidays = _public_holidays(file, section.holidays_of) | dict(section.holidays)
    try:
        return Calendar(name=file.stem, zone=section.zone, hours=hours, holidays=holidays)
    except ValueError as problem:
        raise ConfigError(str(file), "", str(problem)) from None


def _public_holidays(file: Path, region: str) -> dict[date, str]:
    if not region:
        return {}
    try:
        import holidays  # a big package that few desks need
    except ImportError:
        raise ConfigError(
            str(file), "holidays_of", "needs the package holidays: pip install 'helpdesk[holidays]'"
        ) from None
    country, _, part = region.partition("-")
    try:
        years = range(date.today().year - 1, date.today().year + 4)  # noqa: DTZ011 (which years to list, not a promise)
        return dict(holidays.country_holidays(country, subdiv=part or None, years=years))
    except NotImplementedError:
        raise ConfigError(
            str(file), "holidays_of", f"'{region}' is not known", "DE, DE-BY, AU-NSW, GB-ENG, ..."
        ) from None


def _absolute(folder: Path, main: Main) -> Main:
    def fixed(value: Any) -> Any:
        if isinstance(value, Path):
            return value if value.is_absolute() else folder / value
        if isinstance(value, BaseModel):
            return value.model_copy(update={name: fixed(getattr(value, name)) for name in type(value).model_fields})
        if isinstance(value, tuple):
            return tuple(fixed(one) for one in value)
        return value

    return fixed(main)  # type: ignore[no-any-return]


def _check_references(settings: Settings) -> None:
    taken: dict[str, str] = {}
    for key, desk in settings.desks.items():
        file = str(settings.folder / "desks" / f"{key}.toml")
        if desk.calendar not in settings.calendars:
            raise ConfigError(
                file, "calendar", f"there is no calendars/{desk.calendar}.toml", ", ".join(settings.calendars)
            )
        if desk.first_agent and desk.first_agent not in settings.agents:
            raise ConfigError(
                file, "first_agent", f"'{desk.first_agent}' is not in agents.toml", ", ".join(settings.agents)
            )
        for number, address in enumerate(desk.addresses, start=1):
            if (other := taken.setdefault(fold(address), key)) != key:
                raise ConfigError(file, f"addresses.{number}", f"{address} belongs to desk {other} already")
        for number, section in enumerate(desk.target, start=1):
            _check_target(file, number, section)
    _check_agents(settings, taken)
    _check_mailboxes(settings, taken)


def _check_target(file: str, number: int, section: TargetSection) -> None:
    try:
        parse_span(section.within)
    except ValueError as problem:
        raise ConfigError(file, f"target.{number}.within", str(problem)) from None
    for share in section.warn_at:
        try:
            parse_share(share)
        except ValueError as problem:
            words, _, legal = str(problem).partition("; legal: ")
            raise ConfigError(file, f"target.{number}.warn_at", words, legal) from None


def _check_agents(settings: Settings, desks: Mapping[str, str]) -> None:
    file = str(settings.folder / "agents.toml")
    taken: dict[str, str] = {}
    for key, agent in settings.agents.items():
        for address in agent.addresses:
            if fold(address) in desks:
                raise ConfigError(file, f"{key}.addresses", f"{address} is the address of desk {desks[fold(address)]}")
            if (other := taken.setdefault(fold(address), key)) != key:
                raise ConfigError(file, f"{key}.addresses", f"{address} belongs to {other} already")
        for desk in agent.desks:
            if desk not in settings.desks:
                raise ConfigError(file, f"{key}.desks", f"there is no desk '{desk}'", ", ".join(settings.desks))


def _check_mailboxes(settings: Settings, desks: Mapping[str, str]) -> None:
    file = str(settings.folder / "helpdesk.toml")
    for number, mailbox in enumerate(settings.main.mailbox, start=1):
        if fold(mailbox.desk_address) not in desks:
            legal = ", ".join(sorted(desks))
            raise ConfigError(file, f"mailbox.{number}.desk_address", f"no desk has {mailbox.desk_address}", legal)
