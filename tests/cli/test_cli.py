"""The real program on a SQLite file, run as a person or a mail server runs it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import signal
import smtplib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpdesk.cli import main

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "config"

MAIL = b"""\
From: Bea Berg <bea@globex.example>
To: Acme Support <support@acme.example>
Message-ID: <%s@globex.example>
Subject: =?utf-8?q?Printer=1B]0;owned=07_on_fire?=

It burns.\x1b[31m

Bea
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The example configuration, with free ports instead of its own."""
    return example(tmp_path / "config")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example configuration with its customers imported; only to be copied."""
    folder = example(tmp_path_factory.mktemp("prepared") / "config")
    told(folder, "import", str(folder))
    return folder


@pytest.fixture
def imported(prepared: Path, tmp_path: Path) -> Path:
    """A copy of that."""
    return Path(shutil.copytree(prepared, tmp_path / "config"))


def example(folder: Path) -> Path:
    folder.mkdir()
    for name in ("helpdesk.toml", "agents.toml", "contacts.csv", "contracts.csv"):
        shutil.copy(EXAMPLE / name, folder / name)
    for name in ("calendars", "desks"):
        shutil.copytree(EXAMPLE / name, folder / name)
    edit(folder / "helpdesk.toml", "port = 2525", "port = 0")
    edit(folder / "helpdesk.toml", "servers = []", 'servers = []\ndns = "off"')
    return folder


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def command(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "helpdesk", "--config", str(folder), *arguments]


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def run(folder: Path, *arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(folder, *arguments), input=data, capture_output=True, timeout=60, check=False, env=ENVIRONMENT
    )


def asked(folder: Path, *arguments: str) -> str:
    """The same within this process, for questions that are asked again and again."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        assert main.run(["--config", str(folder), *arguments]) == 0
    return output.getvalue()


def check_here(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and stderr of ``helpdesk check``, run within this process because there are many cases."""
    code = main.run(["--config", str(folder), "check"])
    return code, capsys.readouterr().err


def told(folder: Path, *arguments: str, data: bytes = b"") -> str:
    """The output of a command that must succeed."""
    done = run(folder, *arguments, data=data)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def rows(folder: Path, table: str) -> int:
    with contextlib.closing(sqlite3.connect(folder / "helpdesk.sqlite")) as connection:
        return int(connection.execute(f"select count(*) from {table}").fetchone()[0])


def dump(folder: Path) -> str:
    with contextlib.closing(sqlite3.connect(folder / "helpdesk.sqlite")) as connection:
        return "\n".join(connection.iterdump())


class Running:
    """A started daemon; ``port`` is that of its SMTP door."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command(folder, "serve"), stderr=log, env=ENVIRONMENT)
        line = self.wait_for(r"ready smtp=127\.0\.0\.1:(\d+)")
        self.port = int(line[1])

    def wait_for(self, pattern: str, seconds: float = 15) -> re.Match[str]:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if found := re.search(pattern, self.log.read_text(errors="replace")):
                return found
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        raise AssertionError(f"{pattern} not in\n{self.log.read_text()}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(20)


@pytest.fixture
def daemon(imported: Path) -> Iterator[Running]:
    running = Running(imported)
    yield running
    running.end(signal.SIGKILL)


def until(check: object, seconds: float = 10) -> object:
    """Ask again and again until the answer is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := check():  # type: ignore[operator]
            return found
        time.sleep(0.1)
    raise AssertionError("it never came to be")


def test_example_configuration_is_in_order(folder: Path) -> None:
    done = run(folder, "check")

    assert done.returncode == 0
    assert b"everything is in order: 1 desk, 2 agents, 1 calendar, 1 listener, 1 relay" in done.stdout
    assert b"calendar sydney-office: open" in done.stdout
    assert b"maildir:outgoing" in done.stderr
    assert (folder / "helpdesk.keys").stat().st_mode & 0o077 == 0


BROKEN = [
    ("helpdesk.toml", "[border]", "[bordr]", ["bordr: is not a setting", "border", "database"]),
    ("helpdesk.toml", 'kind = "smtp"', 'kind = "pop3"', ["listener.1.kind", "'smtp', 'lmtp' or 'submission'"]),
    ("helpdesk.toml", "port = 0", "prt = 0", ["listener.1.prt: is not a setting", "max_megabytes"]),
    ("helpdesk.toml", "operator", "[operator", ["is not TOML", "line "]),
    ("helpdesk.toml", "sqlite:///helpdesk.sqlite", "mysql://x/y", ["database.url", "postgresql://"]),
    ("agents.toml", 'zone = "Europe/Berlin"', 'zone = "Berlin"', ["bruno.zone", "Europe/Berlin"]),
    ("agents.toml", "lead = true", 'desks = ["beta"]', ["alice.desks", "beta", "legal: acme"]),
    ("calendars/sydney-office.toml", "09:00-17:00", "9-5", ["monday", "09:00-17:00"]),
    ("desks/acme.toml", "sydney-office", "nowhere", ["calendar: ", "legal: sydney-office"]),
    ("desks/acme.toml", "8 business hours", "soon", ["target.1.within", "business days"]),
    ("desks/acme.toml", '"50%", "80%"', '"50%", "180%"', ["target.1.warn_at", "1% to 99%"]),
    ("desks/acme.toml", 'policy = "standard"', 'policy = "strict"', ["policy: ", "legal: standard"]),
    ("desks/acme.toml", "[[target]]", '[[on_mail]]\nrule = "be_nice"\n\n[[target]]', ["on_mail.1.rule", "open_ticket"]),
    (
        "desks/acme.toml",
        "[[target]]",
        '[[on_mail]]\nrule = "require_contract"\ngrace = 3\n\n[[target]]',
        ["on_mail.1.grace", "legal: grace_days"],
    ),
    (
        "desks/acme.toml",
        "[[target]]",
        '[[on_mail]]\nrule = "require_contract"\ngrace_days = "3"\n\n[[target]]',
        ["on_mail.1.grace_days", "type int"],
    ),
]


@pytest.mark.parametrize(("name", "old", "new", "words"), BROKEN, ids=lambda value: str(value)[:24])
def test_broken_setting_is_named_with_file_key_and_legal_values(
    folder: Path, name: str, old: str, new: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    edit(folder / name, old, new)

    code, said = check_here(folder, capsys)

    assert code == 78
    assert str(folder / name) in said or (name == "helpdesk.toml" and "helpdesk.toml" in said)
    assert all(word in said for word in words), said
    assert "Traceback" not in said


def test_problem_is_named_with_its_line(folder: Path) -> None:
    """The line of the rule that is wrong, not of the first one."""
    desk = folder / "desks" / "acme.toml"
    desk.write_text(desk.read_text() + '\n[[on_timer]]\nrule = "tell_lead"\n\n[[on_timer]]\nrule = "tell_boss"\n')
    number = desk.read_text().splitlines().index('rule = "tell_boss"') + 1

    said = run(folder, "check").stderr.decode()

    assert f"{desk}:{number}: on_timer.2.rule:" in said


@pytest.mark.parametrize("name", ["helpdesk.toml", "agents.toml", "desks/acme.toml"])
def test_missing_file_is_named(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / name).unlink()

    code, said = check_here(folder, capsys)

    assert code == 78
    assert str((folder / name).parent if "desks" in name else folder / name) in said


def test_check_lists_every_problem_at_once(folder: Path) -> None:
    """A broken rule hides neither a broken template nor keys that others can read."""
    told(folder, "check")
    (folder / "helpdesk.keys").chmod(0o644)
    edit(folder / "desks" / "acme.toml", "[[target]]", '[[on_timer]]\nrule = "be_nice"\n\n[[target]]')
    template = folder / "templates" / "en" / "customer" / "opened.md"
    template.parent.mkdir(parents=True)
    template.write_text("Subject: hello\n\n{{ nonsense }}\n")

    done = run(folder, "check")

    said = done.stderr.decode()
    assert done.returncode == 78
    assert "on_timer.1.rule" in said
    assert "helpdesk.keys" in said
    assert "opened.md" in said
    assert "3 problems" in said


@pytest.mark.parametrize("arguments", [("serve",), ("ticket", "list"), ("explain", "x.eml")])
def test_every_command_refuses_a_broken_configuration(folder: Path, arguments: tuple[str, ...]) -> None:
    edit(folder / "agents.toml", "lead = true", "leader = true")

    done = run(folder, *arguments)

    assert done.returncode == 78
    assert "agents.toml: alice.leader: is not a setting; legal: addresses" in done.stderr.decode()


def test_wrong_command_line_ends_with_64(folder: Path) -> None:
    assert run(folder, "tickets").returncode == 64
    assert run(folder, "ticket", "list", "--jason").returncode == 64
    assert run(folder, "ticket", "show", "XY-1").returncode == 65


def test_help_is_fast(folder: Path) -> None:
    """Nothing slow is imported for it: that is what the time is spent on."""
    told(folder, "--help")
    code = "import sys, helpdesk.cli.main; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENVIRONMENT)

    assert not {"sqlalchemy", "pydantic", "babel", "jinja2", "rich", "aiosmtpd"} & set(loaded.stdout.split())


def test_import_is_idempotent_and_says_what_changed(folder: Path) -> None:
    first = json.loads(told(folder, "import", str(folder), "--json"))
    before = dump(folder)
    second = json.loads(asked(folder, "import", str(folder), "--json"))

    assert first["contacts"] == {"new": 3, "changed": 0, "unchanged": 0}
    assert first["contracts"] == {"new": 2, "changed": 0, "unchanged": 0}
    assert second["contacts"] == {"new": 0, "changed": 0, "unchanged": 3}
    assert second["contracts"] == {"new": 0, "changed": 0, "unchanged": 2}
    assert dump(folder) == before

    edit(folder / "contracts.csv", "2026-03-31", "2027-03-31")
    edit(folder / "contacts.csv", "Dora Dunn", "Dora Dunn-Day")
    dry = json.loads(asked(folder, "import", str(folder), "--json", "--dry-run"))
    assert dry["contracts"] == {"new": 0, "changed": 1, "unchanged": 1}
    assert dump(folder) == before
    third = json.loads(asked(folder, "import", str(folder), "--json"))

    assert third["contracts"] == {"new": 0, "changed": 1, "unchanged": 1}
    assert third["contacts"] == {"new": 0, "changed": 1, "unchanged": 2}
    assert "2027-03-31" in asked(folder, "entitlement", "dora@initech.example", "--on", "2027-01-05")


def test_broken_tables_are_listed_whole_and_nothing_is_imported(folder: Path) -> None:
    """A good file beside a broken one is not imported either."""
    told(folder, "check")
    edit(folder / "contracts.csv", "2026-03-31", "31.03.2026")
    edit(folder / "contracts.csv", "contract,GX", "lease,GX")
    edit(folder / "contacts.csv", "dora@initech.example", "alice@acme.example")
    edit(folder / "contacts.csv", "Globex,globex.example,Carl", "Globex,initech.example,Carl")

    done = run(folder, "import", str(folder))

    said = done.stderr.decode()
    assert done.returncode == 65
    assert f"{folder / 'contracts.csv'} line 3, column end: '31.03.2026' is not a date; legal: YYYY-MM-DD" in said
    assert "line 2, column kind: 'lease' is not known; legal: contract, subscription" in said
    assert "line 4, column address: 'alice@acme.example' is an address of agent alice" in said
    assert "line 4, column domain: 'initech.example' belongs to 'Globex'" in said
    assert "nothing was imported" in said
    assert rows(folder, "organisation") == rows(folder, "contract") == 0


def test_import_refuses_what_belongs_to_another_organisation_already(imported: Path) -> None:
    edit(imported / "contracts.csv", "Initech,subscription", "Globex,subscription")
    edit(imported / "contacts.csv", "Initech,initech.example", "Umbra,initech.example")

    done = run(imported, "import", str(imported))

    said = done.stderr.decode()
    assert done.returncode == 65
    assert "column number: 'IN-2025-04' belongs to 'Initech'" in said
    assert "column domain: 'initech.example' belongs to 'Initech'" in said
    assert rows(imported, "organisation") == 2


def test_person_who_changes_the_organisation_belongs_to_the_new_one(imported: Path) -> None:
    edit(imported / "contacts.csv", "Initech,initech.example,Dora", "Globex,globex.example,Dora")

    counts = json.loads(told(imported, "import", str(imported / "contacts.csv"), "--json"))

    assert counts["contacts"] == {"new": 0, "changed": 1, "unchanged": 2}
    assert "Dora Dunn of Globex" in asked(imported, "entitlement", "dora@initech.example")
    again = json.loads(asked(imported, "import", str(imported / "contacts.csv"), "--json"))
    assert again["contacts"] == {"new": 0, "changed": 0, "unchanged": 3}


def test_import_of_a_missing_file_ends_with_66(folder: Path) -> None:
    done = run(folder, "import", str(folder / "nothing.csv"))

    assert done.returncode == 66
    assert b"nothing.csv: No such file" in done.stderr


def test_entitlement_answers_with_its_exit_code(imported: Path) -> None:

    assert "covered: contract GX-2026-17 is valid until 2027-12-31" in told(
        imported, "entitlement", "BEA@globex.example", "--on", "2027-12-31"
    )
    late = run(imported, "entitlement", "bea@globex.example", "--on", "2028-01-01", "--json")
    assert late.returncode == 1
    assert json.loads(late.stdout)[0]["cover"] == "lapsed"
    assert json.loads(late.stdout)[0]["organisation"] == "Globex"
    assert run(imported, "entitlement", "eve@nowhere.example").returncode == 1
    assert run(imported, "entitlement", "eve").returncode == 65


def test_ingest_keeps_a_mail_without_a_daemon(folder: Path) -> None:
    done = run(folder, "ingest", "-", data=b"From bea  Mon Nov 23 10:00:00 2026\n" + MAIL % b"one")

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    with contextlib.closing(sqlite3.connect(folder / "helpdesk.sqlite")) as connection:
        (found,) = connection.execute(
            "select door, sender, recipients, data, done_at from spool join raw on raw.hash = raw_hash"
        ).fetchall()
    assert found == ("file", None, '["support@acme.example"]', MAIL % b"one", None)


@pytest.mark.parametrize(
    ("arguments", "data", "code", "words"),
    [
        (("ingest", "-"), b"From: a@b.example\nTo: x@y.example\n\nhello", 65, "--to ADDRESS"),
        (
            ("ingest", "-", "--to", "who@acme.example"),
            b"From: a@b.example\n\nhello",
            65,
            "no desk has the address who@",
        ),
        (("ingest", "-", "--to", "support@acme.example"), b"", 65, "there is no mail"),
        (("ingest", "-", "--to", "support@acme.example"), b"x" * (35 * 1024 * 1024 + 1), 65, "larger than the limit"),
        (("ingest", "gone.eml"), b"", 66, "gone.eml: No such file"),
    ],
    ids=["not ours", "unknown recipient", "empty", "too big", "no file"],
)
def test_ingest_refuses_what_it_cannot_keep(
    folder: Path, arguments: tuple[str, ...], data: bytes, code: int, words: str
) -> None:
    done = run(folder, *arguments, data=data)

    assert done.returncode == code
    assert words in done.stderr.decode()
    assert not (folder / "helpdesk.sqlite").exists() or rows(folder, "spool") == 0


def test_ingest_lets_the_mail_server_try_again(folder: Path) -> None:
    """Neither a database that is gone nor a broken setting may bounce a customer's mail."""
    (folder / "helpdesk.sqlite").mkdir()
    done = run(folder, "ingest", "-", data=MAIL % b"one")
    assert done.returncode == 75
    assert b"the database cannot be used" in done.stderr

    edit(folder / "agents.toml", "lead = true", "leader = true")
    assert run(folder, "ingest", "-", data=MAIL % b"one").returncode == 75


def test_explain_says_who_decided_what_and_changes_nothing(imported: Path) -> None:
    mail = imported / "mail.eml"
    mail.write_bytes(MAIL % b"one")
    before, file = dump(imported), hashlib.sha256((imported / "helpdesk.sqlite").read_bytes()).hexdigest()

    said = told(imported, "explain", str(mail))
    everything = asked(imported, "explain", str(mail), "--all")
    found = json.loads(asked(imported, "explain", str(mail), "--json"))

    assert dump(imported) == before
    assert hashlib.sha256((imported / "helpdesk.sqlite").read_bytes()).hexdigest() == file
    assert "require_contract: contract GX-2026-17 is valid until 2027-12-31" in said
    assert "sets the status to open" in said
    assert "Mail to bea@globex.example (customer): " in said
    assert "Mail to alice@acme.example (agent): " in said
    assert "did not apply: drop_own_mail" not in said
    assert "did not apply: drop_own_mail" in everything
    assert "\x1b" not in said + everything
    (desk,) = found["desks"]
    assert desk["steps"][0]["rule"] == "open_ticket"
    assert {mail["to"] for mail in desk["mails"]} == {"bea@globex.example", "alice@acme.example"}
    assert found["reading"]["sender"] == {"address": "bea@globex.example", "name": "Bea Berg"}


def test_explain_shows_whom_a_stranger_would_hear_from(imported: Path) -> None:
    said = told(imported, "explain", "-", data=(MAIL % b"one").replace(b"bea@globex", b"eve@elsewhere"))

    assert "ask_unknown_sender" in said
    assert "[final]" in said
    assert "Mail to eve@elsewhere.example (customer): " in said
    assert run(imported, "explain", "-", data=b"To: x@y.example\n\nhello").returncode == 65
    assert run(imported, "explain", "gone.eml").returncode == 66


def test_mail_becomes_a_ticket_and_a_renewal_lets_it_go_on(imported: Path, daemon: Running) -> None:
    """By SMTP and by a pipe beside the running daemon; what waits for a renewal goes on when it is imported."""
    with smtplib.SMTP("127.0.0.1", daemon.port) as client:
        client.sendmail("bea@globex.example", ["support@acme.example"], MAIL % b"one")
    held = (MAIL % b"two").replace(b"bea@globex", b"dora@initech").replace(b"Bea Berg", b"Dora Dunn")
    told(imported, "ingest", "-", data=held)

    def listed() -> dict[str, dict[str, str]]:
        return {one["requester"]: one for one in json.loads(asked(imported, "ticket", "list", "--json"))}

    until(lambda: len(listed()) == 2)
    both = listed()
    assert list(both["bea@globex.example"]) == [
        "reference",
        "desk",
        "subject",
        "status",
        "reason",
        "agent",
        "requester",
        "opened_at",
        "due_at",
    ]
    assert both["bea@globex.example"]["status"] == "open"
    assert re.fullmatch(r"20..-..-..T..:..:..Z", str(both["bea@globex.example"]["due_at"]))
    assert (both["dora@initech.example"]["status"], both["dora@initech.example"]["reason"]) == ("held", "contract")
    assert both["dora@initech.example"]["due_at"] is None

    edit(imported / "contracts.csv", "2026-03-31", "2030-03-31")
    assert "1 held ticket" in told(imported, "import", str(imported / "contracts.csv"))
    until(lambda: listed()["dora@initech.example"]["status"] == "open")

    shown = told(imported, "ticket", "show", "ac-1002", "--why")
    assert "Promise:    first response: due " in shown
    assert "of Initech" in shown
    assert "release_renewed: goes on: subscription IN-2025-04 is valid until 2030-03-31" in shown
    assert "    It burns." in shown
    assert "It burns." in told(imported, "ticket", "raw", "AC-1002")
    (number,) = {one["mail"] for one in as_history(imported) if one["kind"] == "customer entry"}
    assert f"mail {number}" in shown
    assert "It burns." in told(imported, "ticket", "raw", "AC-1002", str(number))
    assert run(imported, "ticket", "raw", "AC-1001", str(number)).returncode == 65
    as_json = json.loads(asked(imported, "ticket", "show", "AC-1002", "--json"))
    assert as_json["timers"][0]["state"] == "running"
    assert [one["kind"] for one in as_json["history"]][:2] == ["opened", "customer entry"]
    assert "\x1b" not in told(imported, "ticket", "list") + shown
    until(lambda: asked(imported, "outbox") == "The outbox is empty.\n")
    sent = json.loads(asked(imported, "outbox", "--all", "--json"))
    assert {one["state"] for one in sent} == {"sent"}
    assert "released" in {one["block"] for one in sent}
    assert (imported / "outgoing" / "dora@initech.example" / "new").is_dir()


def test_unreadable_mail_waits_in_quarantine_until_it_is_released(imported: Path, daemon: Running) -> None:
    data = b"Subject: \x1b]0;owned\x07 hi\n\nno sender, but \x1b[2Jwords\n"
    told(imported, "ingest", "-", "--to", "support@acme.example", data=data)

    (one,) = until(lambda: json.loads(asked(imported, "quarantine", "list", "--json")))  # type: ignore[misc]
    assert one["size"] == len(data)
    shown = told(imported, "quarantine", "show", str(one["id"]))
    assert "Subject: \\x1b]0;owned\\x07 hi" in shown
    assert "words" in shown
    assert "\x1b" not in shown + told(imported, "quarantine", "list")
    assert run(imported, "quarantine", "show", str(one["id"]), "--raw").stdout == data
    told(imported, "quarantine", "release", str(one["id"]))
    assert run(imported, "quarantine", "release", str(one["id"])).returncode == 65
    assert run(imported, "quarantine", "show", "99").returncode == 65
    everything = until(
        lambda: len(found := json.loads(asked(imported, "quarantine", "list", "--all", "--json"))) > 1 and found
    )
    assert [bool(one["released_at"]) for one in everything] == [True, False]  # type: ignore[attr-defined]
    again = str(everything[1]["id"])  # type: ignore[index]
    assert run(imported, "quarantine", "drop", again, "99").returncode == 65
    assert f"Dropped: {again}." in told(imported, "quarantine", "drop", again)
    assert run(imported, "quarantine", "release", again).returncode == 65
    assert "Nothing is in quarantine." in told(imported, "quarantine", "list")
    assert "(dropped)" in told(imported, "quarantine", "list", "--all")


def test_second_daemon_on_the_same_file_is_refused(imported: Path, daemon: Running) -> None:
    done = run(imported, "serve")

    assert done.returncode == 75
    assert f"another helpdesk (process {daemon.process.pid}) already runs" in done.stderr.decode()
    assert daemon.end() == 0
    assert daemon.log.read_text().splitlines()[-1].endswith("INFO helpdesk.cli.serve stopped")


def test_second_signal_ends_at_once(daemon: Running) -> None:
    """While a mail is being sent the daemon waits for its end; whoever cannot wait says so twice."""
    with smtplib.SMTP("127.0.0.1", daemon.port) as client:
        client.ehlo("client.example")
        client.mail("bea@globex.example")
        client.rcpt("support@acme.example")
        assert client.docmd("DATA")[0] == 354
        daemon.process.send_signal(signal.SIGTERM)
        daemon.wait_for(" stopping")
        began = time.monotonic()

        assert daemon.end() == 128 + signal.SIGTERM
        assert time.monotonic() - began < 5
        client.close()


def test_hangup_takes_up_templates_and_log_lines_are_single(imported: Path, daemon: Running) -> None:
    template = imported / "templates" / "en" / "customer" / "opened.md"
    template.parent.mkdir(parents=True)
    template.write_text("Subject: hello\n\n{{ nonsense }}\n")
    daemon.process.send_signal(signal.SIGHUP)

    daemon.wait_for(r"ERROR helpdesk.cli.serve template \S+opened.md")
    assert daemon.end(signal.SIGINT) == 0
    line = re.compile(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR) helpdesk\S* .+|helpdesk is ready .+"
    )
    assert [one for one in daemon.log.read_text().splitlines() if not line.fullmatch(one)] == []


def as_history(folder: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(asked(folder, "ticket", "show", "AC-1002", "--json"))["history"]
    return found


def test_port_in_use_ends_with_69(imported: Path, daemon: Running, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(imported, other, ignore=shutil.ignore_patterns("*.sqlite*", "log"))
    edit(other / "helpdesk.toml", "port = 0", f"port = {daemon.port}")

    done = run(other, "serve")

    assert done.returncode == 69
    assert re.search(rb"the smtp door at 127\.0\.0\.1:\d+ cannot be opened: Address already in use", done.stderr)

    edit(other / "helpdesk.toml", f"port = {daemon.port}", "port = 0")
    edit(other / "helpdesk.toml", "[[relay]]", f"[health]\nport = {daemon.port}\n[[relay]]")
    done = run(other, "serve")
    assert done.returncode == 69
    assert re.search(rb"the health port at 127\.0\.0\.1:\d+ cannot be opened: Address already in use", done.stderr)


def test_systemd_is_told_when_the_doors_are_open(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(15)
        monkeypatch.setitem(ENVIRONMENT, "NOTIFY_SOCKET", str(tmp_path / "notify"))
        running = Running(folder)
        try:
            told = iter(lambda: channel.recv(1000), b"")
            assert b"READY=1" in told
            assert running.end() == 0
            assert b"STOPPING=1" in told
        finally:
            running.end(signal.SIGKILL)


def test_account_line_lets_somebody_in(folder: Path, tmp_path: Path) -> None:
    from helpdesk.store.accounts import read_accounts

    line = told(folder, "account", "Alice@Acme.example", "--password-stdin", data=b"open sesame\n")
    file = tmp_path / "accounts"
    file.write_text(line)
    file.chmod(0o600)
    accounts = read_accounts(file)

    assert accounts.authenticate("alice@acme.example", "open sesame") == "alice@acme.example"
    assert accounts.authenticate("alice@acme.example", "open sesam") is None
    assert run(folder, "account", "alice", "--password-stdin", data=b"x\n").returncode == 65
    assert run(folder, "account", "alice@acme.example", "--password-stdin").returncode == 65


def test_rules_are_listed_with_their_options(folder: Path) -> None:
    found = json.loads(told(folder, "rules", "--json"))

    assert {one["trigger"] for one in found} == {"mail", "timer", "change", "delivery"}
    assert next(one for one in found if one["rule"] == "require_contract")["options"] == {"grace_days": 0}
    assert all(one["meaning"].endswith(".") or one["meaning"].endswith(")") for one in found)
    text = asked(folder, "rules")
    assert all(f"  {one['rule']}\n" in text for one in found)


def test_output_cut_short_is_no_fault(folder: Path) -> None:
    shell = f"{' '.join(command(folder, 'rules'))} | head -1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, check=False, env=ENVIRONMENT)

    assert (done.stdout, done.stderr) == (b"[[on_mail]]\n", b"")


def test_explain_shows_all_that_was_read(imported: Path) -> None:
    data = (
        b"From: Bea <bea@globex.example>, eve@globex.example\nReply-To: bea@home.example\nTo: support@acme.example\n"
        b"Subject: Re: Printer\nMessage-ID: <2@globex.example>\nIn-Reply-To: <1@acme.example>\nX-Spam-Flag: YES\n\n"
        b"It burns.\n\n> Is it hot?\n"
    )

    said = " ".join(told(imported, "explain", "-", data=data).split())

    for words in (
        "it seems to be Bea <bea@globex.example>)",
        "Reply to: bea@home.example",
        "Spam: says X-Spam-Flag: YES",
        "Id: <2@globex.example>",
        "New text: It burns. Whole text: It burns. > Is it hot?",
    ):
        assert words in said
