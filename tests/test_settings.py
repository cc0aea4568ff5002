"""The configuration folder: what is read from it, and what every fault is called."""

from __future__ import annotations

import shutil
from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest

from helpdesk.domain.calendar import parse_span
from helpdesk.domain.errors import ConfigError
from helpdesk.settings import Relay, Secret, load, policy_lines, targets

HELPDESK = """
operator = "postmaster@acme.example"
[[relay]]
host = "smtp.acme.example"
[[listener]]
port = 2525
"""
AGENTS = """
[ann]
name = "Ann Berger"
addresses = ["ann@acme.example", "a.berger@acme.example"]
"""
CALENDAR = """
zone = "Europe/Berlin"
monday = "09:00-12:30 13:30-17:00"
friday = "09:00-13:00"
[holidays]
2026-12-25 = "Christmas Day"
"""
DESK = """
name = "Acme Support"
addresses = ["support@acme.example"]
calendar = "office"
[[target]]
within = "8 business hours"
"""
FILES = {
    "helpdesk.toml": HELPDESK,
    "agents.toml": AGENTS,
    "calendars/office.toml": CALENDAR,
    "desks/acme.toml": DESK,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return tmp_path


def change(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / name).read_text(encoding="utf-8")
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1), encoding="utf-8")


def test_reads_a_folder(folder):
    settings = load(folder)

    assert settings.main.operator == "postmaster@acme.example"
    assert settings.agents["ann"].addresses == ("ann@acme.example", "a.berger@acme.example")
    assert settings.calendars["office"].holidays == {date(2026, 12, 25): "Christmas Day"}
    assert len(settings.calendars["office"].hours[0]) == 2
    assert settings.calendars["office"].hours[1] == ()
    (target,) = targets(settings.desks["acme"])
    assert (target.within, target.warn_at) == (parse_span("8 business hours"), (Fraction(1, 2), Fraction(4, 5)))


def test_the_example_that_ships_is_right(tmp_path):
    source = Path(__file__).resolve().parents[1] / "config"
    for name in ("helpdesk.toml", "agents.toml"):
        shutil.copy(source / name, tmp_path)
    for name in ("calendars", "desks"):
        shutil.copytree(source / name, tmp_path / name)

    assert load(tmp_path).desks


MAILBOX = (
    '[[mailbox]]\nname = "support"\nhost = "imap.acme.example"\nuser = "x"\ndesk_address = "support@acme.example"\n'
)


@pytest.mark.parametrize(
    ("name", "old", "new", "key", "legal"),
    [
        ("helpdesk.toml", '"postmaster@acme.example"', '"postmaster"', "operator", "name@domain"),
        ("helpdesk.toml", 'operator = "postmaster@acme.example"', "", "operator", "is missing"),
        ("helpdesk.toml", "port = 2525", "port = 70000", "listener.1.port", "65535"),
        ("helpdesk.toml", "port = 2525", "prot = 2525", "listener.1.prot", "kind"),
        ("helpdesk.toml", "port = 2525", 'kind = "pop"', "listener.1.kind", "submission"),
        ("helpdesk.toml", "port = 2525", 'kind = "submission"', "listener.1", "accounts_file"),
        ("helpdesk.toml", "port = 2525", 'tls = "ssl"', "listener.1.tls", "'starttls'"),
        ("helpdesk.toml", "port = 2525", 'tls = "implicit"\nkey = "a"', "listener.1", "needs a certificate"),
        ("helpdesk.toml", "port = 2525", 'certificate = "a"\nkey = "b"', "listener.1", 'needs tls = "starttls"'),
        ("helpdesk.toml", "port = 2525", "require_tls = true", "listener.1", 'needs tls = "starttls"'),
        ("helpdesk.toml", "port = 2525", 'kind = "lmtp"\nport = 25', "listener.1", "RFC 2033"),
        ("helpdesk.toml", "port = 2525", 'path = "smtp.socket"', "listener.1", 'kind = "lmtp"'),
        ("helpdesk.toml", "port = 2525", 'kind = "lmtp"\npath = "x"\nport = 24', "listener.1", "instead of host, port"),
        ("helpdesk.toml", "port = 2525", 'uncapped_addresses = ["mx"]', "listener.1.uncapped_addresses.1", "192.0.2.10"),
        ("helpdesk.toml", "port = 2525", "max_recipients = 99", "listener.1.max_recipients", "100"),
        ("helpdesk.toml", "port = 2525", "connections = 0", "listener.1.connections", "1"),
        ("helpdesk.toml", "port = 2525", "connections_per_address = 0", "listener.1.connections_per_address", "1"),
        ("helpdesk.toml", "port = 2525", "max_line_kilobytes = 0", "listener.1.max_line_kilobytes", "1"),
        ("helpdesk.toml", "port = 2525", "max_commands = 3", "listener.1.max_commands", "10"),
        ("helpdesk.toml", "port = 2525", "max_errors = 0", "listener.1.max_errors", "1"),
        ("helpdesk.toml", "port = 2525", "timeout_seconds = 1", "listener.1.timeout_seconds", "10"),
        ("helpdesk.toml", "port = 2525", "minimum_rate = 0", "listener.1.minimum_rate", "1"),
        ("helpdesk.toml", "port = 2525", "max_megabytes = 0", "listener.1.max_megabytes", "1"),
        ("helpdesk.toml", "[[relay]]", "[limit]\n[[relay]]", "limit", "limits"),
        ("helpdesk.toml", "[[relay]]", "[limits]\nattempts = 99\n[[relay]]", "limits.attempts", "10"),
        ("helpdesk.toml", "[[relay]]", '[limits]\nattempts = "many"\n[[relay]]', "limits.attempts", "integer"),
        ("helpdesk.toml", "[[relay]]", "[[alarm]]\n[[relay]]", "alarm.1", "command, webhook, or host"),
        ("helpdesk.toml", "[[relay]]", '[[alarm]]\ncommand = ["x"]\nhost = "b"\n[[relay]]', "alarm.1", "one of command"),
        ("helpdesk.toml", "[[relay]]", '[[alarm]]\nhost = "b"\n[[relay]]', "alarm.1", "host and to"),
        ("helpdesk.toml", "[[relay]]", '[[alarm]]\nwebhook = "http://hooks.example/x"\n[[relay]]', "alarm.1.webhook",
         "https://"),
        ("helpdesk.toml", "[[relay]]", '[spam]\nheaders = ["X-Verdict"]\n[[relay]]', "spam.headers.1", "X-Verdict: spam"),
        ("helpdesk.toml", "[[relay]]", '[spam]\nrspamd = "http://filter.example"\n[[relay]]', "spam.rspamd", "https://"),
        ("helpdesk.toml", "[[relay]]", "[health]\nalarm_after_seconds = 300\n[[relay]]", "health.alarm_after_seconds",
         "100"),
        ("helpdesk.toml", "[[relay]]", '[health]\nhost = "0.0.0.0"\n[[relay]]', "health", "open_to_network"),
        ("helpdesk.toml", 'host = "smtp.acme.example"', "", "relay.1", "maildir:PATH"),
        ("helpdesk.toml", 'host = "smtp.acme.example"', 'host = "a"\ndelivery = "maildir:x"', "relay.1", "either host"),
        ("helpdesk.toml", 'host = "smtp.acme.example"', 'delivery = "folder:x"', "relay.1.delivery", "maildir"),
        ("helpdesk.toml", 'host = "smtp.acme.example"', 'host = "a"\ntls = "ssl"', "relay.1.tls", "'starttls'"),
        ("helpdesk.toml", 'host = "smtp.acme.example"', 'host = "a"\npassword = "x"', "relay.1.password", "password_file"),
        ("helpdesk.toml", "[[relay]]\nhost = \"smtp.acme.example\"", "", "relay", "is missing"),
        ("helpdesk.toml", "[[relay]]", MAILBOX.replace("support@", "info@") + "[[relay]]", "mailbox.1.desk_address",
         "support@acme.example"),
        ("helpdesk.toml", "[[relay]]", MAILBOX + 'folder = ""\n[[relay]]', "mailbox.1.folder", "control characters"),
        ("helpdesk.toml", "[[relay]]", MAILBOX + "idle_seconds = 900\n[[relay]]", "mailbox.1.idle_seconds", "300"),
        ("helpdesk.toml", "port = 2525", "port = ", "", "is not TOML"),
        ("agents.toml", "[ann]", "[Ann]", "Ann", "lower-case"),
        ("agents.toml", "addresses", "address", "ann.addresses", "is missing"),
        ("agents.toml", '"ann@acme.example"', '"ann@"', "ann.addresses.1", "name@domain"),
        ("agents.toml", '"ann@acme.example"', '"Support@acme.example"', "ann.addresses", "the address of desk acme"),
        ("agents.toml", "[ann]", '[leo]\nname = "Leo"\naddresses = ["ANN@acme.example"]\n[ann]', "ann.addresses",
         "belongs to leo"),
        ("agents.toml", "[ann]", '[ann]\ndesks = ["sales"]', "ann.desks", "acme"),
        ("agents.toml", "[ann]", '[ann]\nzone = "Europe/Berln"', "ann.zone", "Europe/Berlin"),
        ("agents.toml", "[ann]", '[ann]\nlanguage = "german"', "ann.language", "pt-BR"),
        ("agents.toml", "[ann]", "[ann]\nlead = 3", "ann.lead", "boolean"),
        ("calendars/office.toml", "Europe/Berlin", "Berlin", "zone", "Australia/Sydney"),
        ("calendars/office.toml", "09:00-13:00", "9 to 13", "friday", "09:00-12:30"),
        ("calendars/office.toml", "09:00-13:00", "25:00-26:00", "friday", "09:00-12:30"),
        ("calendars/office.toml", "friday", "freitag", "freitag", "friday"),
        ("calendars/office.toml", 'zone = "Europe/Berlin"', 'zone = "Europe/Berlin"\nholidays_of = "XX"', "holidays_of",
         "DE-BY"),
        ("desks/acme.toml", "support@acme.example", "support acme", "addresses.1", "name@domain"),
        ("desks/acme.toml", 'addresses = ["support@acme.example"]', "addresses = []", "addresses", "at least 1"),
        ("desks/acme.toml", '"office"', '"offce"', "calendar", "office"),
        ("desks/acme.toml", "calendar", 'first_agent = "bob"\ncalendar', "first_agent", "ann"),
        ("desks/acme.toml", "calendar", 'prefix = "acme"\ncalendar', "prefix", "[A-Z]{1,6}"),
        ("desks/acme.toml", "calendar", 'manager = "mia"\ncalendar', "manager", "name@domain"),
        ("desks/acme.toml", "8 business hours", "8 working hours", "target.1.within", "business hours"),
        ("desks/acme.toml", 'within = "8 business hours"', 'within = "1 hour"\nwarn_at = ["200%"]', "target.1.warn_at",
         "1% to 99%"),
        ("desks/acme.toml", "within", 'promise = "repair"\nwithin', "target.1.promise", "first_response"),
        ("desks/acme.toml", "within", "wihtin", "target.1", ""),
    ],
)  # fmt: skip
def test_a_wrong_value_names_file_key_and_what_is_legal(folder, name, old, new, key, legal):
    change(folder, name, old, new)

    with pytest.raises(ConfigError) as caught:
        load(folder)

    problem = caught.value
    assert Path(problem.file) == folder / name
    assert problem.key.startswith(key)
    assert legal in str(problem)


@pytest.mark.parametrize("name", ["helpdesk.toml", "agents.toml"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()

    with pytest.raises(ConfigError, match="this file is missing") as caught:
        load(folder)
    assert Path(caught.value.file) == folder / name


def test_a_folder_without_desks_is_named(folder):
    (folder / "desks" / "acme.toml").unlink()

    with pytest.raises(ConfigError, match=r"add desks/NAME\.toml"):
        load(folder)


def test_a_file_that_is_no_text_is_named(folder):
    (folder / "desks" / "acme.toml").write_bytes(b"name = '\xff'")

    with pytest.raises(ConfigError, match="cannot be read") as caught:
        load(folder)
    assert caught.value.file.endswith("acme.toml")


def test_two_desks_cannot_have_one_address(folder):
    (folder / "desks" / "second.toml").write_text(DESK.replace("support@", "SUPPORT@"))

    with pytest.raises(ConfigError, match="belongs to desk acme already") as caught:
        load(folder)
    assert (Path(caught.value.file).name, caught.value.key) == ("second.toml", "addresses.1")


def test_paths_are_relative_to_the_folder(folder, monkeypatch, tmp_path_factory):
    change(
        folder,
        "helpdesk.toml",
        "port = 2525",
        'kind = "submission"\naccounts_file = "accounts"\ntls = "starttls"\ncertificate = "a.pem"\nkey = "/etc/a.key"',
    )
    change(folder, "helpdesk.toml", 'host = "smtp.acme.example"', 'host = "a"\npassword_file = "secret/relay"')
    monkeypatch.chdir(folder.parent)

    main = (settings := load(Path(folder.name))).main

    assert main.keys_file == folder / "helpdesk.keys"
    assert main.relay[0].password_file == folder / "secret" / "relay"
    assert main.listener[0].accounts_file == folder / "accounts"
    assert main.listener[0].certificate == folder / "a.pem"
    assert main.listener[0].key == Path("/etc/a.key")
    assert settings.database_url() == f"sqlite:///{folder}/helpdesk.sqlite"


@pytest.mark.parametrize("url", ["sqlite:////var/lib/helpdesk.sqlite", "postgresql://db.acme.example/helpdesk"])
def test_other_database_addresses_are_left_alone(folder, url):
    change(folder, "helpdesk.toml", "[[relay]]", f'[database]\nurl = "{url}"\n[[relay]]')

    assert load(folder).database_url() == url


def test_a_secret_comes_from_a_file(tmp_path):
    file = tmp_path / "secret"
    file.write_text("s3cret\n")
    file.chmod(0o640)

    assert Secret(password_file=file).password() == "s3cret"


def test_a_secret_that_others_may_read_is_refused(tmp_path):
    file = tmp_path / "secret"
    file.write_text("s3cret\n")
    file.chmod(0o644)

    with pytest.raises(ConfigError, match="others may read this secret; run chmod o-rwx"):
        Secret(password_file=file).password()


def test_a_secret_comes_from_a_command():
    assert Secret(password_command=("printf", "s3cret\\n")).password() == "s3cret"


def test_a_secret_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("ACME_RELAY", "s3cret")

    assert Secret(password_env="ACME_RELAY").password() == "s3cret"


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (Secret(password_file=Path("/no/such/file")), "/no/such/file: password_file: No such file"),
        (Secret(password_command=("false",)), "false: password_command: ended with 1"),
        (Secret(password_command=("/no/such/command",)), "/no/such/command: password_command: "),
        (Secret(password_env="NOT_SET_ANYWHERE"), "environment: NOT_SET_ANYWHERE: is not set"),
    ],
)
def test_a_secret_that_cannot_be_had_is_named(section, words):
    with pytest.raises(ConfigError, match=words):
        section.password()


def test_no_secret_stands_in_the_settings():
    assert {name for name in Relay.model_fields if "password" in name} == {
        "password_file", "password_command", "password_env",
    }  # fmt: skip


def test_a_desk_has_its_own_rules_or_those_of_its_policy(folder):
    settings = load(folder)
    file, lines = policy_lines(settings, "acme", settings.desks["acme"], "timer")
    assert file.endswith("standard.toml")
    assert [name for name, _ in lines] == ["remind_agent", "tell_lead"]

    change(folder, "desks/acme.toml", "[[target]]", '[[on_timer]]\nrule = "tell_lead"\nx = 1\n[[target]]')
    settings = load(folder)
    assert policy_lines(settings, "acme", settings.desks["acme"], "timer") == (
        str(folder / "desks" / "acme.toml"),
        [("tell_lead", {"x": 1})],
    )


def test_an_unknown_policy_is_named(folder):
    change(folder, "desks/acme.toml", "calendar", 'policy = "strict"\ncalendar')
    settings = load(folder)

    with pytest.raises(ConfigError) as caught:
        policy_lines(settings, "acme", settings.desks["acme"], "mail")
    assert (caught.value.key, caught.value.legal) == ("policy", "standard")
