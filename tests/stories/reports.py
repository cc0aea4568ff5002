"""Delivery reports and receipts as mail systems write them (RFC 3464, RFC 8098), good ones and bad ones."""

from __future__ import annotations

import uuid
from email import message_from_bytes, policy

DAEMON = "MAILER-DAEMON@mx.mine.example"


def bounce(
    original: bytes,
    recipient: str,
    *,
    to: str,
    action: str = "failed",
    status: str = "5.1.1",
    said: str = "550 5.1.1 no such user",
    returned: str = "",
    sender: str = DAEMON,
    whole: bool = False,
) -> bytes:
    """A report about ``original``, of which it returns the header, or the ``whole``; ``returned`` is another id instead."""
    mail = message_from_bytes(original, policy=policy.default)
    name = returned or str(mail["Message-ID"])
    head = f"From: {mail['From']}\r\nTo: {recipient}\r\nSubject: {mail['Subject']}\r\nMessage-ID: {name}\r\n"
    body = original if whole else head.encode()
    return (
        (
            f"From: Mail Delivery System <{sender}>\r\nTo: {to}\r\nSubject: Undelivered Mail Returned to Sender\r\n"
            f"Message-ID: <{uuid.uuid4().hex}@mx.mine.example>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
            'Content-Type: multipart/report; report-type=delivery-status; boundary="b-1"\r\n\r\n'
            "--b-1\r\nContent-Type: text/plain\r\n\r\nI could not deliver your mail.\r\n"
            "--b-1\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.mine.example\r\n\r\n"
            f"Final-Recipient: rfc822; {recipient}\r\nAction: {action}\r\nStatus: {status}\r\n"
            f"Diagnostic-Code: smtp; {said}\r\n"
            f"--b-1\r\nContent-Type: {'message/rfc822' if whole else 'text/rfc822-headers'}\r\n\r\n"
        ).encode()
        + body
        + b"\r\n--b-1--\r\n"
    )


def bounce_in_prose(recipient: str, *, to: str, sender: str = DAEMON) -> bytes:
    """What some servers write: no report, nothing returned, words alone."""
    return (
        f"From: {sender}\r\nTo: {to}\r\nSubject: Undeliverable: your mail\r\n"
        f"Message-ID: <{uuid.uuid4().hex}@mx.mine.example>\r\n\r\n"
        f"Sorry, I could not deliver your mail to {recipient}: no such user.\r\n"
    ).encode()


def read_receipt(original: bytes, reader: str, *, to: str) -> bytes:
    """A reader's program says that he has seen the mail."""
    name = message_from_bytes(original, policy=policy.default)["Message-ID"]
    return (
        f"From: {reader}\r\nTo: {to}\r\nSubject: Read: your mail\r\n"
        f"Message-ID: <{uuid.uuid4().hex}@mx.mine.example>\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=disposition-notification; boundary="b-1"\r\n\r\n'
        "--b-1\r\nContent-Type: text/plain\r\n\r\nYour mail was displayed.\r\n"
        "--b-1\r\nContent-Type: message/disposition-notification\r\n\r\n"
        f"Final-Recipient: rfc822; {reader}\r\nOriginal-Message-ID: {name}\r\n"
        "Disposition: manual-action/MDN-sent-manually; displayed\r\n--b-1--\r\n"
    ).encode()
