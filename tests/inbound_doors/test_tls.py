"""TLS at the doors: both ways of beginning it, what is too old, and certificates that cannot be used."""

from __future__ import annotations

import contextlib
import os
import shutil
import smtplib
import socket
import ssl
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from helpdesk.cli import main as command_line
from helpdesk.inbound.listener import CertificateFault, Listener, Tls, server_context
from tests.inbound_doors.doors import ENVELOPE, MAIL, NOW, OPTIONS, OURS, Shelf, Wire, is_ours, listening, with_tls
from tests.servers import certificate as certificates
from tests.servers.certificate import Certificate
from tests.servers.ports import wait_for
from tests.stories.company import Company

KINDS = ("smtp", "lmtp", "submission")
CLIENTS = {"smtp": "EHLO", "lmtp": "LHLO", "submission": "EHLO"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_every_kind_of_listener_speaks_tls_both_ways(
    shelf: Shelf, certificate: Certificate, kind: str, tls: Tls
) -> None:
    options = replace(with_tls(certificate, tls), kind=kind, require_tls=True)  # type: ignore[arg-type]
    with listening(shelf.keep, options, lambda login, password: login) as door, Wire(door) as wire:
        if tls == "starttls":
            wire.greet(CLIENTS[kind])
            assert wire.ask("MAIL FROM:<bob@b.example>").startswith("530 5.7.0")
            assert wire.ask("STARTTLS").startswith("220 ")
            wire.secure(certificate.client())
        else:
            wire.secure(certificate.client())
            assert wire.reply().startswith("220 ")
        offers = wire.ask(f"{CLIENTS[kind]} client.example")
        assert "STARTTLS" not in offers
        if kind == "submission":
            assert wire.ask("AUTH PLAIN AGFubmEAeA==").startswith("235")
        wire.say(ENVELOPE + b"DATA\r\n" + MAIL + b".\r\n")
        assert [wire.reply()[:3] for _ in range(4)] == ["250", "250", "354", "250"]
        protocol = {"smtp": b"ESMTPS", "lmtp": b"LMTPS", "submission": b"ESMTPSA"}[kind]
        assert b" with %b id " % protocol in shelf.mails[0].data
        assert isinstance(wire.socket, ssl.SSLSocket)
        assert wire.socket.version() in ("TLSv1.2", "TLSv1.3")


def test_submission_on_465_with_the_standard_client(shelf: Shelf, certificate: Certificate) -> None:
    options = replace(with_tls(certificate, "implicit"), kind="submission")
    with (
        listening(shelf.keep, options, lambda login, password: login if password == "open sesame" else None) as door,
        smtplib.SMTP_SSL("localhost", door.port, "client.example", context=certificate.client(), timeout=20) as client,
    ):
        client.login("anna@acme.example", "open sesame")
        assert client.sendmail("anna@acme.example", [OURS], MAIL) == {}
    assert shelf.mails[0].envelope.user == "anna@acme.example"


def _old_client(version: ssl.TLSVersion) -> ssl.SSLContext:
    """Speaks one version of TLS only, with ciphers that this version knows; checks nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize(
    ("version", "taken"),
    [(ssl.TLSVersion.TLSv1, False), (ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)],
    ids=["1.0", "1.1", "1.2"],
)
def test_what_is_older_than_tls_1_2_is_refused(
    shelf: Shelf, certificate: Certificate, tls: Tls, version: ssl.TLSVersion, taken: bool
) -> None:
    """Mutant: no minimum_version in server_context. The control is ``lenient``, which takes what ours refuses."""
    with listening(shelf.keep, with_tls(certificate, tls)) as door:
        assert door.tls is not None
        door.tls.set_ciphers("ALL:@SECLEVEL=0")  # else OpenSSL's own level would refuse it, and hide ours
        assert _shakes_hands(door, tls, version) is taken

        lenient = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        lenient.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            lenient.minimum_version = ssl.TLSVersion.TLSv1
        lenient.load_cert_chain(certificate.cert, certificate.key)
        door.tls = lenient
        assert _shakes_hands(door, tls, version)


def _shakes_hands(door: Listener, tls: Tls, version: ssl.TLSVersion) -> bool:
    with Wire(door) as wire:
        if tls == "starttls":
            wire.greet().ask("STARTTLS")
        try:
            wire.secure(_old_client(version))
            if tls == "implicit":
                assert wire.reply().startswith("220 ")
            return wire.ask("NOOP").startswith("250 ")
        except OSError:
            return False


def test_after_a_failed_handshake_the_place_is_free_again(shelf: Shelf, certificate: Certificate) -> None:
    options = replace(with_tls(certificate, "implicit"), connections=1)
    with listening(shelf.keep, options) as door:
        for begin in (b"EHLO client.example\r\n", b"\x16\x03\x01", b""):
            with Wire(door) as wire:
                wire.say(begin)
                wire.socket.shutdown(socket.SHUT_WR)
                assert not wire.reply().startswith(("220", "250"))
            wait_for(lambda: _greeted(door, certificate))


def _greeted(door: Listener, certificate: Certificate) -> bool:
    try:
        with Wire(door) as wire:
            return wire.secure(certificate.client()).reply().startswith("220 ")
    except OSError:
        return False


def test_who_never_shakes_hands_is_counted_and_cut_off(shelf: Shelf, certificate: Certificate) -> None:
    """T32 for TLS from the first byte: silence before the handshake costs a connection like any other."""
    options = replace(with_tls(certificate, "implicit"), connections=2, per_peer=2, uncapped_peers=(), timeout=1)
    with listening(shelf.keep, options) as door, Wire(door) as first, Wire(door) as second:
        assert wait_for(lambda: len(door._sessions) == 2)
        with Wire(door) as third:
            assert third.lines.read() == b""
        assert first.lines.read() == second.lines.read() == b""
        wait_for(lambda: _greeted(door, certificate))


@pytest.mark.parametrize("how", ["one write", "two writes"])
@pytest.mark.parametrize("kind", ["smtp", "lmtp"])
def test_what_is_slipped_in_behind_starttls_is_not_executed(
    shelf: Shelf, certificate: Certificate, how: str, kind: str
) -> None:
    """T30, CVE-2024-34083. Mutant: the buffer is not cleared after the handshake."""
    hello = CLIENTS[kind].encode()
    evil = hello + b" evil.example\r\n" + ENVELOPE + b"DATA\r\n" + MAIL + b".\r\n"
    options = replace(with_tls(certificate), kind=kind)  # type: ignore[arg-type]
    with listening(shelf.keep, options) as door, Wire(door) as wire:
        wire.greet(CLIENTS[kind])
        if how == "one write":
            wire.say(b"STARTTLS\r\n" + evil)
            assert wire.reply().startswith("220 ")
            wire.secure(certificate.client())
            wire.say(b"MAIL FROM:<anna@acme.example>\r\nNOOP\r\n")
            assert wire.reply().startswith("503 "), "who he is must be said again under TLS"
            assert wire.reply() == "250 2.0.0 OK", "and nothing else was answered"
        else:
            assert wire.ask("STARTTLS").startswith("220 ")
            wire.say(evil)
            assert not wire.reply().startswith("250")
        assert shelf.mails == []


def test_what_was_said_in_the_clear_counts_no_more(shelf: Shelf, certificate: Certificate) -> None:
    with listening(shelf.keep, with_tls(certificate)) as door, Wire(door) as wire:
        wire.greet().say(ENVELOPE)
        assert [wire.reply()[:3] for _ in range(2)] == ["250", "250"]
        assert wire.ask("STARTTLS").startswith("220 ")
        wire.secure(certificate.client())
        assert wire.ask("DATA").startswith("503 ")
        wire.ask("EHLO client.example")
        assert wire.ask("DATA").startswith("554 ")


@pytest.mark.parametrize(("line", "code"), [("STARTTLS now", "501"), ("STARTTLS", "220")])
def test_starttls_takes_nothing(shelf: Shelf, certificate: Certificate, line: str, code: str) -> None:
    with listening(shelf.keep, with_tls(certificate)) as door, Wire(door) as wire:
        assert wire.greet().ask(line).startswith(code)


# --- certificates -----------------------------------------------------------------------------------------------------


def _another(folder: Path) -> Certificate:
    folder.mkdir()
    return certificates.make(folder)


def _encrypted(mine: Certificate) -> None:
    command = ["openssl", "rsa", "-aes256", "-passout", "pass:secret", "-in", str(mine.key), "-out", str(mine.key)]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("spoil", "setting", "words"),
    [
        (lambda mine: mine.cert.unlink(), "certificate", "cert.pem cannot be read: No such file"),
        (lambda mine: mine.key.unlink(), "key", "key.pem cannot be read: No such file"),
        (lambda mine: mine.cert.write_text("no certificate"), "certificate", "cert.pem is no certificate in PEM form"),
        (lambda mine: mine.key.write_text("no key"), "key", "key.pem is no private key in PEM form"),
        (_encrypted, "key", "key.pem is no private key in PEM form without a password"),
        (
            lambda mine: mine.key.write_bytes(_another(mine.key.parent / "new").key.read_bytes()),
            "key",
            "is not the key of",
        ),
    ],
    ids=["no certificate", "no key", "not a certificate", "not a key", "a key with a password", "another's key"],
)
def test_a_certificate_that_cannot_be_used_is_named(
    tmp_path: Path, certificate: Certificate, spoil: Callable[[Certificate], object], setting: str, words: str
) -> None:
    mine = _copy(certificate, tmp_path)
    spoil(mine)

    with pytest.raises(CertificateFault, match=words) as caught:
        server_context(mine.cert, mine.key)
    assert caught.value.setting == setting


def _copy(certificate: Certificate, folder: Path) -> Certificate:
    return Certificate(
        Path(shutil.copy(certificate.cert, folder / "cert.pem")), Path(shutil.copy(certificate.key, folder / "key.pem"))
    )


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_changed_certificate_is_taken_up(shelf: Shelf, certificate: Certificate, tmp_path: Path, tls: Tls) -> None:
    """For connections to come; a faulty one changes nothing, and whoever is connected stays so."""
    mine = _copy(certificate, tmp_path)
    new = _another(tmp_path / "new")
    with listening(shelf.keep, with_tls(mine, tls)) as door, _secured(door, tls, certificate) as early:
        mine.key.write_bytes(new.key.read_bytes())
        with pytest.raises(CertificateFault):
            door.reload_certificate()
        with _secured(door, tls, certificate) as wire:
            assert wire.ask("NOOP").startswith("250")
        mine.cert.write_bytes(new.cert.read_bytes())
        door.reload_certificate()
        with _secured(door, tls, new) as wire:
            assert wire.ask("NOOP").startswith("250")
        with pytest.raises(ssl.SSLCertVerificationError):
            _secured(door, tls, certificate)
        assert early.ask("NOOP").startswith("250")


def _secured(door: Listener, tls: Tls, trusted: Certificate) -> Wire:
    wire = Wire(door)
    if tls == "starttls":
        wire.greet().ask("STARTTLS")
    try:
        wire.secure(trusted.client())
    except OSError:
        wire.__exit__()
        raise
    if tls == "implicit":
        wire.reply()
    return wire


def test_a_listener_with_a_faulty_certificate_is_not_made(tmp_path: Path, certificate: Certificate) -> None:
    mine = _copy(certificate, tmp_path)
    mine.key.write_text("no key")
    with pytest.raises(CertificateFault):
        Listener(with_tls(mine), Shelf().take, is_ours, lambda: NOW)


@pytest.mark.parametrize(("missing", "key"), [("cert.pem", "certificate"), ("key.pem", "key")])
def test_check_names_the_setting_of_a_faulty_certificate(
    tmp_path: Path, certificate: Certificate, missing: str, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = _copy(certificate, tmp_path)
    (tmp_path / missing).unlink()
    Company(submission=True, folder_of_certificate=mine.cert.parent, relay_port=9).write(tmp_path / "desk")
    (tmp_path / "desk" / "accounts").write_text("")
    (tmp_path / "desk" / "accounts").chmod(0o600)

    assert command_line.run(["--config", str(tmp_path / "desk"), "check"]) == os.EX_CONFIG
    said = "".join(capsys.readouterr())
    assert f"listener.2.{key}: {tmp_path / missing} cannot be read" in " ".join(said.split())


def test_tls_without_a_certificate_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a certificate"):
        replace(OPTIONS, tls="implicit")


def test_a_command_that_comes_with_the_end_of_the_handshake_is_heard(shelf: Shelf, certificate: Certificate) -> None:
    """With TLS 1.3 a client may send its Finished and its first command in one segment (RFC 8446 section 2)."""
    with listening(shelf.keep, with_tls(certificate)) as door, Wire(door) as wire:
        assert wire.greet().ask("STARTTLS").startswith("220 ")
        arrived, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        secured = certificate.client().wrap_bio(arrived, leaving, server_hostname="localhost")
        while True:
            try:
                secured.do_handshake()
                break
            except ssl.SSLWantReadError:
                wire.say(leaving.read())
                arrived.write(wire.socket.recv(65536))
        secured.write(b"EHLO again.example\r\n")
        wire.say(leaving.read())
        heard = b""
        while b"250 " not in heard:
            arrived.write(wire.socket.recv(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                heard += secured.read(65536)
    assert heard.startswith(b"250-mx.acme.example\r\n")
