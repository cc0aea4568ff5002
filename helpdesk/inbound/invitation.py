"""A meeting in words: what a calendar part says, for mails that say nothing else (RFC 5545, RFC 5546)."""

from __future__ import annotations

import re

from helpdesk.inbound.charset import clean_line

_UNFOLD = re.compile(r"\r?\n[ \t]")
_LINE = re.compile(r"^([A-Z-]{1,40})((?:;[^:\r\n]{0,500})?):([^\r\n]{0,5000})", re.M | re.I)
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)\d\d(Z?))?")
_ZONE = re.compile(r";TZID=\"?([^;:\"]{1,80})", re.I)
_NAME = re.compile(r";CN=\"?([^;:\"]{1,200})", re.I)
_METHODS = {
    "REQUEST": "Invitation",
    "CANCEL": "Cancelled",
    "REPLY": "Answer to an invitation",
    "COUNTER": "Another time is proposed",
}
_ANSWERS = {"ACCEPTED": "accepts", "DECLINED": "declines", "TENTATIVE": "may come"}
#: So many characters of a calendar are looked at.
_MOST = 64 * 1024


def method(text: str) -> str:
    """What the calendar is sent for, in capitals: REQUEST, REPLY, CANCEL; "" where it does not say."""
    found = re.search(r"^METHOD:([A-Z]{1,20})", text[:_MOST], re.M | re.I)
    return found[1].upper() if found else ""


def words(text: str) -> str:
    """The first event as a few lines, "" where there is none. Total.

    >>> words("METHOD:REQUEST\\nBEGIN:VEVENT\\nSUMMARY:Valves\\nDTSTART:20260302T090000Z\\nEND:VEVENT")
    'Invitation: Valves\\nWhen: 2026-03-02 09:00 UTC'
    """
    whole = _UNFOLD.sub("", text[:_MOST])
    _, begin, event = whole.partition("BEGIN:VEVENT")
    if not begin:
        return ""
    fields = {
        name.upper(): (more, value) for name, more, value in reversed(_LINE.findall(event.partition("END:VEVENT")[0]))
    }
    lines = [
        f"{_METHODS.get(method(whole), 'Meeting')}: {_plain(fields.get('SUMMARY', ('', ''))[1]) or '(no subject)'}"
    ]
    if "DTSTART" in fields:
        end = f" to {_when(*fields['DTEND'])}" if "DTEND" in fields else ""
        lines.append(f"When: {_when(*fields['DTSTART'])}{end}")
    if place := _plain(fields.get("LOCATION", ("", ""))[1]):
        lines.append(f"Where: {place}")
    if "ORGANIZER" in fields:
        lines.append(f"Organiser: {_person(*fields['ORGANIZER'])}")
    for more, value in [fields["ATTENDEE"]] if "ATTENDEE" in fields and method(whole) == "REPLY" else []:
        said = re.search(r"PARTSTAT=([A-Z-]{1,20})", more, re.I)
        lines.append(f"{_person(more, value)} {_ANSWERS.get(said[1].upper() if said else '', 'answers')}")
    if about := _plain(fields.get("DESCRIPTION", ("", ""))[1], 5000):
        lines += ["", about]
    return "\n".join(lines)


def _plain(value: str, most: int = 300) -> str:
    text = value.replace("\\n", "\n").replace("\\N", "\n").replace("\\,", ",").replace("\\;", ";").replace("\\\\", "\\")
    return "\n".join(clean_line(line, most) for line in text.split("\n")[:100]).strip()


def _when(more: str, value: str) -> str:
    found = _TIME.match(value)
    if found is None:
        return clean_line(value, 60)
    day = f"{found[1]}-{found[2]}-{found[3]}"
    zone = _ZONE.search(more)
    named = " UTC" if found[6] else f" ({clean_line(zone[1], 80)})" if zone else ""
    return f"{day} {found[4]}:{found[5]}{named}" if found[4] else day


def _person(more: str, value: str) -> str:
    name = _NAME.search(more)
    address = value.partition(":")[2] if value.lower().startswith("mailto:") else value
    return clean_line(f"{name[1]} <{address}>" if name else address, 300)
