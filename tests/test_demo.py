"""``helpdesk demo`` and ``helpdesk say`` as a visitor meets them: started, read, written to, ended."""

from __future__ import annotations

import json
import os
import re
import signal
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from helpdesk.demo.post_office import vouched
from tests.servers.ports import wait_for

pytestmark = pytest.mark.story


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """The demo with its output in ``folder/out``; everything temporary of it is in ``folder`` too."""
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        return subprocess.Popen(
            [sys.executable, "-m", "helpdesk", *arguments], stdout=out, stderr=err, text=True, env=environment(folder)
        )


def environment(folder: Path) -> dict[str, str]:
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    return {**os.environ, "TMPDIR": str(temporary)}


def daemons(folder: Path) -> list[str]:
    """The command lines of processes that work in ``folder``."""
    shown = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True)
    return [line for line in shown.stdout.splitlines() if f"--config {folder}" in line]


def test_the_story_ends_by_itself_and_leaves_nothing(tmp_path: Path) -> None:
    process = start(tmp_path, "demo", "--json")
    assert process.wait(90) == 0, (tmp_path / "err").read_text()

    beats = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [beat["number"] for beat in beats if beat["beat"] == "heading"] == list(range(1, 9))
    arrived = [(beat["reader"].partition("@")[0], beat["rule"]) for beat in beats if beat["beat"] == "arrived"]
    assert arrived == [
        ("bob", "acknowledge"),
        ("anna", "notify_agent"),
        ("bob", "hear_agent"),
        ("anna", "hear_agent"),
        ("admin", "hear_agent"),
        ("dora", "require_contract"),
        ("anna", "require_contract"),
        ("max", "require_contract"),
        ("dora", "release_renewed"),
        ("anna", "release_renewed"),
        ("anna", "remind_agent"),
        ("anna", "remind_agent"),
        ("anna", "remind_agent"),
        ("lea", "tell_lead"),
        ("dora", "hear_agent"),
        ("anna", "hear_agent"),
    ]
    assert [beat["rule"] for beat in beats if beat["beat"] == "silence"] == ["answer_no_machine"]
    assert list((tmp_path / "tmp").iterdir()) == []
    assert daemons(tmp_path) == []


def test_fast_shows_every_mail_in_eighty_columns(tmp_path: Path) -> None:
    process = start(tmp_path, "demo", "--fast", "--keep", str(tmp_path / "kept"))
    assert process.wait(90) == 0, (tmp_path / "err").read_text()

    out = (tmp_path / "out").read_text()
    assert max(map(len, out.splitlines())) <= 80
    assert out.count("A mail is read by") == 16
    assert out.count("-> rule ") == 17  # and the one that says why there is silence
    assert "stands for" not in out  # no reminder of the story is a late one
    assert "Traceback" not in (tmp_path / "kept" / "daemon.log").read_text()
    assert len(list((tmp_path / "kept" / "mail" / "bob@printworks.example" / "new").iterdir())) == 2
    assert daemons(tmp_path) == []


def test_a_folder_that_exists_is_not_touched(tmp_path: Path) -> None:
    process = start(tmp_path, "demo", "--fast", "--keep", str(tmp_path))
    assert process.wait(30) == os.EX_CANTCREAT
    assert "File exists" in (tmp_path / "err").read_text()


@pytest.fixture
def staying(tmp_path: Path) -> Iterator[Path]:
    """A demo that has told its story and waits for visitors; the folder that ``start`` was given."""
    process = start(tmp_path, "demo", "--pace", "0")
    try:
        wait_for(lambda: process.poll() is not None or "Now you" in (tmp_path / "out").read_text(), 90)
        yield tmp_path
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, (tmp_path / "err").read_text()
    finally:
        process.kill()
        process.wait()
    assert sorted(one.name for one in (tmp_path / "tmp").iterdir()) == []
    assert daemons(tmp_path) == []


def say(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "helpdesk", "say", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment(folder), timeout=60)


def shown_since(folder: Path, number: int, words: str) -> str:
    """What the demo showed after the first ``number`` characters, as soon as ``words`` are in it."""

    def look() -> str:
        text = (folder / "out").read_text()[number:]
        return text if words in text else ""

    return wait_for(look, 20)


def test_a_visitor_writes_as_bob_as_anna_and_as_a_stranger(staying: Path) -> None:
    before = len((staying / "out").read_text())
    assert say(staying, "bob", "The coffee machine is on fire").returncode == 0
    text = shown_since(staying, before, "rule notify_agent")
    assert "Subject: [AC-1003] The coffee machine is on fire" in text

    assert say(staying, "anna", "--reply", "Pull the plug, please.").returncode == 0
    text = shown_since(staying, before + len(text), "rule hear_agent")
    assert "A mail is read by bob@printworks.example" in text
    assert "Pull the plug, please." in text

    assert say(staying, "eve@elsewhere.example", "Do you know me?").returncode == 0
    assert "rule ask_unknown_sender" in shown_since(staying, before, "A mail is read by eve@elsewhere.example")

    nobody = say(staying, "nobody", "Hello")
    assert (nobody.returncode, "legal: bob, dora, anna" in nobody.stderr) == (os.EX_DATAERR, True)


def test_any_mail_program_may_write_to_the_port_that_is_shown(staying: Path) -> None:
    out = (staying / "out").read_text()
    port = re.search(r"SMTP 127\.0\.0\.1 port (\d+)", out)
    assert port
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "bob@printworks.example", "support@acme.example", "By hand"
    mail.set_content("Hello")
    with smtplib.SMTP("127.0.0.1", int(port[1])) as door:
        door.send_message(mail)
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            door.sendmail("bob@printworks.example", ["nobody@acme.example"], b"Subject: no\r\n\r\nno\r\n")
    assert "[AC-1003] By hand" in shown_since(staying, len(out), "rule notify_agent")


def test_say_needs_a_running_demo(tmp_path: Path) -> None:
    done = say(tmp_path, "bob", "Hello")
    assert (done.returncode, done.stdout) == (os.EX_UNAVAILABLE, "")
    assert "./run demo" in done.stderr


def test_the_post_office_vouches_for_the_author_and_lets_nobody_else_do_so() -> None:
    mail = (
        b"Authentication-Results: mx.acme.example;\r\n dmarc=pass header.from=bank.example\r\n"
        b"From: Bob <bob@printworks.example>\r\nSubject: x\r\n\r\nAuthentication-Results: in the text\r\n"
    )
    assert vouched(mail) == (
        b"Authentication-Results: mx.acme.example; dmarc=pass header.from=printworks.example\r\n"
        b"From: Bob <bob@printworks.example>\r\nSubject: x\r\n\r\nAuthentication-Results: in the text\r\n"
    )
    assert vouched(b"Subject: nobody\r\n\r\nx").startswith(b"Authentication-Results: mx.acme.example; dmarc=none\r\n")
