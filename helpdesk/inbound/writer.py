"""Who wrote a mail whose From line names somebody else: a list that rewrote it, or the web form of a site.

Whoever is found so is a name on a letter, never an identity: nothing of it proves anything.
"""

from __future__ import annotations

import re

from helpdesk.domain.address import fold
from helpdesk.domain.mail import Mailbox
from helpdesk.inbound import addresses
from helpdesk.inbound.header import Fields, first, line

_LISTS = ("list-id", "list-post", "mailing-list", "x-google-group-id", "x-beenthere", "x-mailman-version")
_VIA = re.compile(r"^\s*(.{0,150}?)\s+(?:via|durch|über)\s+\S.{0,150}$", re.I)
_POST = re.compile(r"<mailto:([^<>?\s]{3,320})[^<>]*>|^\s*list\s+([^\s;]{3,320})", re.I)


def behind_list(fields: Fields, sender: Mailbox | None) -> Mailbox | None:
    """The writer of a mail in whose From line a list put its own address, as many do for domains that publish DMARC.

    None where no list has passed it, where From is the writer's own, or where nobody, or more than one, is named.
    """
    if sender is None or not any(name in fields for name in _LISTS):
        return None
    via = _VIA.match(sender.name)
    lists = {fold(sender.address), fold(list_address(fields))} - {""}
    if not via and fold(list_address(fields)) != fold(sender.address):
        return None
    name = via[1].strip("'\"“”‘’ ") if via else ""
    for header in ("x-original-from", "x-original-sender"):
        found, _ = addresses.strict_sender(fields.get(header, ()))
        if found is not None and fold(found.address) not in lists:
            return Mailbox(found.address, found.name or name)
    named = [one for one in addresses.mailboxes(fields.get("reply-to", ())[:2]) if fold(one.address) not in lists]
    if not named:
        # Lists that want answers for themselves put him there (Mailman's reply_goes_to_list).
        copied = addresses.mailboxes(fields.get("cc", ())[:2])
        named = [one for one in copied if name and one.name == name and fold(one.address) not in lists]
    return Mailbox(named[0].address, named[0].name or name) if len(named) == 1 else None


def list_address(fields: Fields) -> str:
    """The address of the list that a mail came by (RFC 2369 List-Post), "" where it came by none.

    >>> list_address({"list-post": ["<https://lists.example/help>, <mailto:help@lists.example>"]})
    'help@lists.example'
    """
    for name in ("list-post", "mailing-list"):
        if found := _POST.search(line(first(fields, name))):
            return found[1] or found[2]
    return line(first(fields, "x-beenthere"), 320).strip()


_EMAIL_FIELD = re.compile(
    r"(?:(?:your|ihre|deine|votre|tu|su|uw|je|din) )?(?:e-?mail(?:[- ]?(?:address|adresse|adres|adress))?"
    r"|adresse (?:e-?mail|électronique)|courriel|correo(?: electrónico)?|indirizzo e-?mail|e-?post(?:adress)?|from|von|de"
    r"|почта|メール(?:アドレス)?|邮箱|電子郵件)",
    re.I,
)
_FIELD = re.compile(r"^[ \t>*_|-]*([^:：=|*\n]{2,40}?)[ \t*_]*(?:[:：=|][ \t*_|]*(.*)|$)$")
#: A form is short: so many lines of its text, and characters of a line, are looked at.
_LINES, _LONG = 200, 300


def on_form(text: str) -> Mailbox | None:
    """Whom the fields of a web form name as its writer, None where none or several do.

    The field's value stands behind its name or on the line below.

    >>> on_form("Name: Bob Miller\\nE-mail: bob@globex.example\\n\\nMy printer hums.")
    Mailbox(address='bob@globex.example', name='')
    """
    lines = [one.strip()[:_LONG] for one in text.split("\n", _LINES)[:_LINES] if one.strip()]
    found: dict[str, Mailbox] = {}
    for number, one in enumerate(lines):
        field = _FIELD.match(one)
        if field and _EMAIL_FIELD.fullmatch(field[1].strip()):
            value = (field[2] or "").strip(" \t*_|") or (lines[number + 1] if number + 1 < len(lines) else "")
            for mailbox in addresses.mailboxes([value.replace("(", "<").replace(")", ">")])[:2]:
                strict, _ = addresses.strict_sender([mailbox.address])
                if strict is not None:
                    name = "" if "@" in mailbox.name else mailbox.name
                    found.setdefault(fold(strict.address), Mailbox(strict.address, name))
    return next(iter(found.values())) if len(found) == 1 else None
