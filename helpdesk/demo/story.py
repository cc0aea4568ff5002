"""The story: what people write, what the desk must do about it, and that it really did."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from functools import partial

from helpdesk.demo import letters
from helpdesk.demo.company import (
    ADMIN,
    ANNA,
    BOB,
    DORA,
    LEA,
    MAX,
    ZONE,
    Person,
    first_morning,
    write_configuration,
    write_renewal,
)
from helpdesk.demo.letters import Received
from helpdesk.demo.stage import Broken, Stage
from helpdesk.domain.decision import Drop, Suppress
from helpdesk.timesource import real


@dataclass(frozen=True, slots=True)
class Heading:
    """A scene begins."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Written:
    """Somebody hands a mail in."""

    mail: EmailMessage


@dataclass(frozen=True, slots=True)
class Arrived:
    """The desk's mail as its reader sees it, and the rule that had it sent."""

    reader: str
    mail: EmailMessage
    rule: str
    why: str


@dataclass(frozen=True, slots=True)
class Silence:
    """No mail goes out, and the rule that says why."""

    rule: str
    why: str


@dataclass(frozen=True, slots=True)
class Passed:
    """The clock was moved to this time."""

    at: datetime
    zone: str


@dataclass(frozen=True, slots=True)
class Done:
    """Somebody did something at the command line."""

    text: str


Beat = Heading | Written | Arrived | Silence | Passed | Done

BOBS_QUESTION = """\
Good morning,

our label printer prints every second label blank since the update
of last night. Is there a setting that we should check?

Bob"""

ANNAS_ANSWER = """\
Hello Bob,

the update resets the label length. Please set it back to 62 mm under
Menu > Media > Length and print a test page.

Anna"""

BOBS_ABSENCE = "I am out of the office until Monday. Urgent matters: reception@printworks.example."

FORGERY = "Please send me the password of your printer, I need it for the repair."

DORAS_QUESTION = """\
Hello,

the scanner in room 4 no longer finds the network.

Dora"""

ANNAS_LAST_WORD = """\
#close

Hello Dora,

the network name had changed; the scanner is on the new one now.

Anna"""


Mails = dict[str, EmailMessage]
Scene = Generator[Beat, None, Mails]


def play(stage: Stage) -> Iterator[Beat]:
    """Play every scene on a new stage; raises Broken where the desk does not do what it must."""
    morning = first_morning(real())
    customers = write_configuration(stage.folder, morning.date())
    stage.set_clock(morning)
    stage.import_(customers)
    stage.start()
    yield Passed(morning, ZONE)
    asked = yield from _question(stage)
    yield from _answer(stage, asked[ANNA.address])
    yield from _absence(stage, asked[BOB.address])
    yield from _forgery(stage, asked[ANNA.address])
    yield from _lapsed(stage)
    renewed = yield from _renewed(stage, morning)
    yield from _clock(stage, morning)
    yield from _closed(stage, renewed[ANNA.address])


def _question(stage: Stage) -> Scene:
    yield Heading(1, "Bob, a customer with a contract, has a question")
    mail = letters.new_mail(BOB, "Blank labels", BOBS_QUESTION, stage.now())
    mails = yield from _mailed(stage, mail, BOB, ANNA)
    _must_hold(mails[BOB.address], "PW-7")
    _must_hold(mails[ANNA.address], "every second label blank")
    return mails


def _answer(stage: Stage, notice: EmailMessage) -> Scene:
    yield Heading(2, "Anna answers from her mail program; Bob gets her words alone")
    mails = yield from _mailed(stage, letters.reply(ANNA, notice, ANNAS_ANSWER, stage.now()), BOB)
    _must_hold(mails[BOB.address], "62 mm")
    if "How to answer" in letters.text_of(mails[BOB.address]):
        raise Broken("a part of the notice to Anna reached Bob")
    return mails


def _absence(stage: Stage, acknowledgement: EmailMessage) -> Scene:
    yield Heading(3, "Bob's absence assistant answers the desk; nothing answers it")
    mail = letters.out_of_office(BOB, acknowledgement, BOBS_ABSENCE, stage.now())
    mails = yield from _mailed(stage, mail, return_path="")
    return mails


def _forgery(stage: Stage, notice: EmailMessage) -> Scene:
    yield Heading(4, "A stranger writes in Anna's name, past the border server; Bob gets nothing")
    mail = letters.reply(ANNA, notice, FORGERY, stage.now())
    mails = yield from _mailed(stage, mail, ANNA, ADMIN, port=stage.desk_port)
    return mails


def _lapsed(stage: Stage) -> Scene:
    yield Heading(5, "Dora's contract has lapsed: her request waits, she reads how to renew")
    mail = letters.new_mail(DORA, "Scanner not found", DORAS_QUESTION, stage.now())
    mails = yield from _mailed(stage, mail, DORA, ANNA, MAX)
    _must_hold(mails[DORA.address], "BC-3")
    return mails


def _renewed(stage: Stage, morning: datetime) -> Scene:
    yield Heading(6, "The renewal is imported: the request goes on by itself")
    file = write_renewal(stage.folder, morning.date())
    yield Done(f"helpdesk import {file.name}")
    mails = yield from _after(stage, lambda: stage.import_(file), DORA, ANNA)
    _must_hold(mails[DORA.address], "BC-4")
    return mails


def _clock(stage: Stage, morning: datetime) -> Scene:
    yield Heading(7, "Nobody answers Dora: Anna is reminded, then her lead hears of it")
    mails: Mails = {}
    for share, readers in ((0.5, (ANNA,)), (0.8, (ANNA,)), (1.0, (ANNA, LEA))):
        # Half a minute for the time that the story itself has taken since the morning.
        at = morning + share * timedelta(hours=4) + timedelta(seconds=30)
        yield Passed(at, ZONE)
        mails = yield from _after(stage, partial(stage.set_clock, at), *readers)
    return mails


def _closed(stage: Stage, notice: EmailMessage) -> Scene:
    yield Heading(8, "Anna answers at last and closes the ticket in the same mail")
    mails = yield from _mailed(stage, letters.reply(ANNA, notice, ANNAS_LAST_WORD, stage.now()), DORA, ANNA)
    _must_hold(mails[DORA.address], "new one now")
    if "#close" in letters.text_of(mails[DORA.address]):
        raise Broken("Anna's command reached Dora")
    return mails


def _mailed(stage: Stage, mail: EmailMessage, *readers: Person, port: int = 0, return_path: str | None = None) -> Scene:
    """Hand a mail in, by default at the post office; what follows is what ``_after`` says."""
    yield Written(mail)
    return (yield from _after(stage, lambda: letters.send(mail, port or stage.port, return_path), *readers))


def _after(stage: Stage, act: Callable[[], None], *readers: Person) -> Scene:
    """Do something, wait until the desk is through with it: exactly these people must get mail, one each."""
    before, decided = {mail.key for mail in stage.mails()}, stage.decisions()
    act()
    wanted = sorted(reader.address for reader in readers)
    names = ", ".join(wanted) or "a decision"

    def through() -> bool:
        new = {mail.address for mail in stage.mails() if mail.key not in before}
        return stage.decisions() > decided and new.issuperset(wanted) and stage.settled()

    stage.until(through, f"mail to {names}" if wanted else names)
    new = [mail for mail in stage.mails() if mail.key not in before]
    if sorted(mail.address for mail in new) != wanted:
        raise Broken(f"mail to {names} was due, but it went to {', '.join(mail.address for mail in new) or 'nobody'}")
    for mail in sorted(new, key=lambda one: [reader.address for reader in readers].index(one.address)):
        yield arrived(stage, mail)
    if not new:
        yield _silence(stage)
    return {mail.address: mail.message for mail in new}


def arrived(stage: Stage, mail: Received) -> Arrived:
    """A mail of the desk with the rule that had it sent."""
    reason = stage.reason(mail)
    return Arrived(mail.address, mail.message, reason.rule, reason.why)


def _silence(stage: Stage) -> Silence:
    steps = stage.last_steps()
    quiet = next((step for step in steps if any(isinstance(effect, Suppress | Drop) for effect in step.effects)), None)
    if quiet is None:
        raise Broken("no mail went out, and no rule said why")
    return Silence(quiet.rule, quiet.why)


def _must_hold(mail: EmailMessage, words: str) -> None:
    if words not in letters.text_of(mail):
        raise Broken(f"the mail to {mail['To']} lacks {words!r}:\n{letters.text_of(mail)}")
