"""Tell a challenge: a machine holds a mail of ours back until its sender proves that he is a person.

No header and no phrase says so alone. Programs that challenge mark people's mails with the same headers, and shops,
lists and people ask to confirm all kinds of things; so it takes a machine's mark, and words of all three: a mail of
yours, held back, and a way to release it.
"""

from __future__ import annotations

import re

from helpdesk.inbound.header import Fields, first

#: Set by programs that challenge, though not on challenges alone; enough as a machine's mark.
_PROGRAMS = (
    "x-askversion",
    "x-ask-version",
    "x-ask-auth",
    "x-qconfirm",
    "x-boxbe-challenge",
    "x-spamarrest-challenge",
    "x-mailinblack",
)
_TOKEN = re.compile(r"[+-](?:q?confirm|verify|challenge|accept)[+=-][a-z0-9]", re.I)
_PROGRAM_NAMES = re.compile(r"spam ?arrest|boxbe|tmda|qconfirm|mailinblack|challenge[ -]response", re.I)
_MARKED = re.compile(r"^(?:bulk|junk|auto[_-]?reply)$", re.I)
#: One of them: digests of a quarantine speak of several.
_YOUR_MAIL = (
    r"(?:message|messages from you|e-?mail|mail|nachricht|courriel|mensaje|mensagem|messaggio|correo|bericht)"
    r"(?![ -]?(?:addr|adres|dir))"
)
#: Within a sentence, and an address in it.
_TO_THE_END = r"(?:[^.!?]|\.(?=\w))"
_HELD = re.compile(
    rf"\b{_YOUR_MAIL}\b{_TO_THE_END}{{0,160}}?(?:\bheld\b|\bpending\b|on hold|waitlist|quarantin|hold(?:ing)? (?:it|your)"
    r"|\b(?:be|is|been) (?:delivered|released|forwarded)\b|only from senders|zurückgehalten|zugestellt|en attente|retenu"
    r"|\bremis\b|retenid|retid|entreg|encaminhad|trattenut|in attesa|consegnat|vastgehouden|afgeleverd)"
    rf"|\b(?:deliver|release|forward|accept)\b{_TO_THE_END}{{0,40}}?\b{_YOUR_MAIL}"
    rf"|only (?:receive|accept){_TO_THE_END}{{0,40}}?\b(?:messages|{_YOUR_MAIL})|allow incoming (?:messages|{_YOUR_MAIL})"
    r"|protecting myself from|to (?:help )?control spam",
    re.I,
)
_PROVE = re.compile(
    r"\bverif|\bconfirm|\bprove\b|authentica|approved senders|guest list|real person|human\b|bestätig|authentif|confirme"
    r"|\bclique|conferm|bevestig|reply to this (?:message|e-?mail|request)|not (?:been )?(?:recogni[sz]ed|verified)",
    re.I,
)
_SENDER = re.compile(
    r"\byou(?:r message)? (?:are|were|is|was) (?:a |the |sent by )?(?:real|human|person|sender)|\bthe sender\b|real person"
    r"|recogni[sz]ed|not (?:been )?verified|verify (?:your|that|this)|verification|approved senders|guest list|by a human"
    r"|(?:reply|respond) to this|do this only once|ein(?:e)? mensch|absender|authentif|expéditeur|remitente|remetente"
    r"|para que (?:sua|tu|su)|mittente|afzender",
    re.I,
)
_WAY = re.compile(
    r"https?://|(?:reply|respond|answer) to this|empty message|\"reply\" feature|antworten sie auf|répond(?:ez|re) à",
    re.I,
)
#: So much of a text is looked at: a challenge says at once what it wants.
_START = 2500


def is_one(fields: Fields, return_path: str | None, text: str, *, machine: bool) -> bool:
    """True for a challenge; ``text`` is the mail's own, ``machine`` where a header says that a machine wrote it."""
    if "list-id" in fields or not (machine or return_path == "" or _by_program(fields)):
        return False
    start = "\n".join(line for line in text[:_START].split("\n") if not line.lstrip().startswith(">"))
    return all(sign.search(start) for sign in (_HELD, _PROVE, _SENDER, _WAY))


def _by_program(fields: Fields) -> bool:
    values = [*fields.get("precedence", ())[:3]]
    if any(name in fields for name in _PROGRAMS) or any(_MARKED.match(value.strip()) for value in values):
        return True
    return any(_TOKEN.search(first(fields, name)[:400]) for name in ("from", "reply-to")) or any(
        _PROGRAM_NAMES.search(first(fields, name)[:400]) for name in ("x-mailer", "delivered-to")
    )
