"""When somebody is told, over a table of what was seen; and in which words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from helpdesk.domain.alarm import Ended, Memory, News, judge, message
from helpdesk.domain.health import PartState, Report, as_mapping, plain

AFTER = 60.0
HOUR = 3600.0
AT = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)

#: What is in trouble (words, "" for nothing) from which second on; then what is told, at which second.
CASES = {
    "nothing": ([(0, "")], 600, []),
    "shorter than the patience": ([(0, "door"), (50, "")], 600, []),
    "told once": ([(0, "door")], 2 * HOUR, [(60, "trouble door")]),
    "told within five minutes of whatever second": ([(13, "door")], 600, [(73, "trouble door")]),
    "reminded every four hours": (
        [(0, "door")],
        9 * HOUR,
        [(60, "trouble door"), (60 + 4 * HOUR, "reminder"), (60 + 8 * HOUR, "reminder")],
    ),
    "well again once it has been calm": ([(0, "door"), (300, "")], HOUR, [(60, "trouble door"), (359, "well door")]),
    "what began a moment ago is told with it": (
        [(0, "database"), (59, "database lane")],
        600,
        [(60, "trouble database lane")],
    ),
    "what comes later is told as well": (
        [(0, "database"), (200, "database relay")],
        600,
        [(60, "trouble database"), (260, "trouble relay")],
    ),
    "one message when the last is well": (
        [(0, "database relay"), (200, "relay"), (400, "")],
        600,
        [(60, "trouble database relay"), (459, "well database relay")],
    ),
    "not well while something else begins": (
        [(0, "database"), (200, ""), (230, "relay"), (250, "")],
        600,
        [(60, "trouble database"), (309, "well database")],
    ),
    "up and down within the patience is one long trouble": (
        [(second, "door" if second % 20 == 0 else "") for second in range(0, 400, 10)],
        500,
        [(60, "trouble door"), (449, "well door")],
    ),
    "short troubles far apart are none": (
        [(second, "door" if second % 200 == 0 else "") for second in range(0, 2000, 10)],
        2000,
        [],
    ),
    "a restless part needs four times as long": (
        [(0, "door"), (300, ""), (900, "door"), (1110, ""), (1500, "door")],
        2000,
        # The second trouble lasts 210 seconds, the third begins 390 seconds after its end.
        [(60, "trouble door"), (359, "well door"), (1740, "trouble door")],
    ),
    "a restless part is calm later": (
        [(0, "door"), (300, ""), (900, "door"), (1200, "")],
        2000,
        [(60, "trouble door"), (359, "well door"), (1140, "trouble door"), (1439, "well door")],
    ),
    "after half an hour it counts as new": (
        [(0, "door"), (300, ""), (1900, "door")],
        2500,
        [(60, "trouble door"), (359, "well door"), (1960, "trouble door")],
    ),
    "parts are counted apart": (
        [(0, "door"), (300, ""), (900, "relay")],
        1200,
        [(60, "trouble door"), (359, "well door"), (960, "trouble relay")],
    ),
}  # fmt: skip


def told(seen: list[tuple[int, str]], until: float) -> list[tuple[float, str]]:
    """Look once a second."""
    memory, ill, found = Memory(), "", []
    changes = dict(seen)
    for second in range(int(until) + 1):
        ill = changes.get(second, ill)
        memory, news = judge(memory, ill.split(), float(second), AFTER)
        if news is not None:
            names = news.parts or tuple(dict.fromkeys(one.part for one in news.ended))
            found.append((float(second), " ".join((news.kind, *sorted(names)))))
    return found


@pytest.mark.parametrize("case", CASES)
def test_somebody_is_told(case: str) -> None:
    seen, until, expected = CASES[case]

    assert told(seen, until) == expected


def test_lasting_trouble_is_told_within_five_minutes_whatever_came_before() -> None:
    """The promise: four times the default patience is still less than five minutes."""
    restless = [(0, "door"), (300, ""), (600, "door")]

    assert [second for second, words in told(restless, 1000) if words == "trouble door"][1] - 600 < 300


def test_flapping_for_a_day_tells_little() -> None:
    """Down for five minutes, up for two, all day long: one long trouble from the second time on."""
    flapping = [(second, "door" if second % 420 == 0 else "") for second in range(86_400) if second % 420 in (0, 300)]

    assert len(told(flapping, 86_400)) < 15


REPORT = Report(
    AT,
    (
        PartState("door smtp 127.0.0.1:25", "", takes_mail=True),
        PartState("relay main", "cannot be reached: Connection refused", AT - timedelta(minutes=3), "see that it runs"),
        PartState("disk", "90 MB are free", AT - timedelta(seconds=40)),
    ),
)


def test_alarm_says_what_since_when_and_what_to_do() -> None:
    told = message(News("trouble", ("relay main",)), REPORT, 1000.0, "desk1", "helpdesk health")

    assert told.subject == "helpdesk on desk1: relay main does not work, and 1 more"
    assert "cannot be reached: Connection refused\n  since 2026-03-02T09:57:00Z (3 minutes)" in told.text
    assert "what to do: see that it runs" in told.text
    assert "disk\n  90 MB are free\n  since 2026-03-02T09:59:20Z (40 seconds)" in told.text
    assert "door" not in told.text
    assert "nothing is lost" in told.text
    assert "helpdesk health" in told.text


def test_reminder_says_that_it_still_lasts() -> None:
    told = message(News("reminder"), REPORT, 1000.0, "desk1", "helpdesk health")

    assert told.subject == "helpdesk on desk1: relay main still does not work, and 1 more"


def test_all_clear_says_how_long_it_took() -> None:
    told = message(News("well", ended=(Ended("relay main", 400.0, 880.0),)), REPORT, 1000.0, "desk1", "")

    assert told.subject == "helpdesk on desk1: all is well again after 10 minutes"
    assert "relay main: did not work from 2026-03-02T09:50:00Z to 2026-03-02T09:58:00Z (8 minutes)" in told.text


def test_alarm_for_a_part_that_takes_mail_says_that_senders_try_again() -> None:
    report = Report(AT, (PartState("writer", "is locked", AT, takes_mail=True),))

    assert "senders' servers try again" in message(News("trouble", ("writer",)), report, 0.0, "desk1", "").text


def test_report_tells_dead_from_not_ready() -> None:
    report = Report(AT, (PartState("a", "x", AT, lost=True), PartState("b", "y", AT, takes_mail=True), PartState("c")))
    found = as_mapping(report)

    assert (found["live"], found["ready"]) == (False, False)
    assert [part.name for part in report.troubles] == ["a", "b"]
    assert (as_mapping(REPORT)["live"], as_mapping(REPORT)["ready"]) == (True, True)


def test_words_of_a_server_cannot_steer_or_flood() -> None:
    assert plain("bad\r\nSubject: \x1b[2J\u202e" + "x" * 1000).startswith("bad Subject: [2J x")
    assert len(plain("x" * 1000)) == 300
