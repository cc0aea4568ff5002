"""The servers that the other tests rest on do what is said of them."""

from __future__ import annotations

import smtplib
from email import message_from_bytes

import psycopg
import pytest

from tests.servers.certificate import Certificate
from tests.servers.dovecot import Mailbox
from tests.servers.found import found, require
from tests.servers.postfix import Postfix
from tests.servers.sink import Sink
from tests.servers.snail import Snail

MAIL = (
    b"From: bob@b.example\r\nReply-To: support+abc@acme.example\r\nSubject: Printer\r\n"
    b"Message-ID: <1@b.example>\r\n\r\nIt burns.\r\n"
)


def test_every_missing_server_has_an_install_line():
    for name, thing in found().items():
        assert thing.hint, name


def test_a_demanded_server_that_is_missing_fails_the_run(monkeypatch):
    monkeypatch.delenv("HELPDESK_REQUIRE", raising=False)
    monkeypatch.setattr("tests.servers.found._found", {"dovecot": type(found()["dovecot"])("", "sudo apt install it")})
    with pytest.raises(pytest.skip.Exception, match="sudo apt install it"):
        require("dovecot")
    monkeypatch.setenv("HELPDESK_REQUIRE", "postfix, dovecot")
    with pytest.raises(pytest.fail.Exception, match="sudo apt install it"):
        require("dovecot")


def test_dovecot_keeps_mail_per_user(mailbox: Mailbox):
    mailbox.put(MAIL)

    assert mailbox.wait(1) == [MAIL]
    assert mailbox.server.mailbox().mails() == []


def test_dovecot_takes_mail_by_lmtp(mailbox: Mailbox):
    user = f"somebody.{mailbox.user}"
    with smtplib.LMTP("127.0.0.1", mailbox.server.lmtp_port, local_hostname="relay.example") as relay:
        relay.sendmail("bob@b.example", [user.replace("@", "+tag@")], MAIL)

    assert b"It burns." in mailbox.server.mailbox(user).wait(1)[0]


def test_postfix_relays_and_returns_a_bounce(postfix: Postfix, sink: Sink):
    sink.refuse("nobody@b.example", "550 5.1.1 unknown")
    with smtplib.SMTP("127.0.0.1", postfix.port, local_hostname="client.example") as client:
        client.sendmail("support@acme.example", ["bob@b.example", "nobody@b.example"], MAIL)

    sink.wait(2)

    assert [delivery.sender for delivery in sink.to("bob@b.example")] == ["support@acme.example"]
    (bounce,) = sink.to("support@acme.example")
    assert bounce.sender == ""
    assert message_from_bytes(bounce.data).get_content_type() == "multipart/report"


def test_sink_misbehaves_as_told(tls_sink: Sink, certificate: Certificate):
    tls_sink.refuse("carol@b.example", "450 4.2.0 later")
    tls_sink.after_data("lose")
    with smtplib.SMTP("localhost", tls_sink.port, local_hostname="client.example") as client:
        client.starttls(context=certificate.client())
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.sendmail("a@b.example", ["bob@b.example", "carol@b.example"], MAIL)
        assert tls_sink.deliveries == []
    with smtplib.SMTP("localhost", tls_sink.port, local_hostname="client.example") as client:
        client.starttls(context=certificate.client())
        assert client.sendmail("a@b.example", ["carol@b.example"], MAIL) == {}

    (delivery,) = tls_sink.deliveries
    assert delivery.encrypted
    assert delivery.data == MAIL


def test_snail_reads_and_answers(mailbox: Mailbox, certificate: Certificate):
    require("s-nail")
    server = Sink(tls=certificate.server(), login=("anna", "pa ss"))
    mailbox.put(MAIL)
    anna = Snail("anna@acme.example", "Anna", server.port, mailbox, ("anna", "pa ss"), certificate.cert)

    assert "It burns." in anna.read()[0]
    anna.reply(1, "Use water.")
    (answer,) = server.wait(1)
    server.stop()

    assert answer.recipients == ("support+abc@acme.example",)
    assert (answer.encrypted, answer.user) == (True, "anna")
    assert b"In-Reply-To: <1@b.example>" in answer.data
    assert answer.data.index(b"Use water.") < answer.data.index(b"It burns.")


def test_both_engines_give_an_empty_database(store_url: str):
    if store_url.startswith("sqlite"):
        return
    with psycopg.connect(store_url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
