"""A cheap look at raw bytes for mails made to stop a reader (mail bombs), before anything else touches them."""

from __future__ import annotations

from helpdesk.inbound import mime
from helpdesk.inbound.header import Fields

MAX_ENCODED_WORDS = 2000
MAX_ADDRESSES = 500
_ADDRESS_FIELDS = ("from", "sender", "reply-to", "to", "cc", "bcc", "resent-from", "resent-to", "resent-cc")


def danger(data: bytes) -> str:
    """What makes this mail too dangerous to read, in words, or "". Linear, never raises."""
    tree = mime.split(data, into_messages=True)
    if tree.problem:
        return tree.problem
    for part in tree.parts:
        found = _in_fields(part.fields)
        if found:
            return found
    return ""


def _in_fields(fields: Fields) -> str:
    words = sum(value.count("=?") for values in fields.values() for value in values if "=?" in value)
    if words > MAX_ENCODED_WORDS:
        return f"more than {MAX_ENCODED_WORDS:,} encoded words in a header"
    for name in _ADDRESS_FIELDS:
        for value in fields.get(name, ()):
            if value.count("@") > MAX_ADDRESSES:
                return f"more than {MAX_ADDRESSES} addresses in {name.title()}"
    return ""
