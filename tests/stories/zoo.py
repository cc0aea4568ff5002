"""Machines that answer mail, badly and well, wired to started desks until everybody has fallen silent."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from email.message import EmailMessage

from helpdesk.domain.address import untagged
from tests.servers.sink import Delivery, Sink
from tests.stories.company import ALICE, Person
from tests.stories.letters import letter, parsed, vouched, words
from tests.stories.reports import DAEMON, bounce, bounce_in_prose
from tests.stories.running import Running

#: Rounds of mail after which nobody believes any more that it will end.
MOST_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Written:
    """A mail that a machine sends: envelope and bytes."""

    sender: str
    to: str
    data: bytes


#: Where the strangers live by whose mails the zoo knows that a desk has handled all before them.
WATCH = "watch.example"

_NUMBERS = itertools.count(1)

#: What a machine does with a mail that came for it.
Machine = Callable[[Delivery], Sequence[Written]]


@dataclass(slots=True)
class Zoo:
    """Desks, each with the sink that it sends to, and machines by address. Whoever else gets mail reads it in silence.

    Everything that machines write comes with a border's word that its sender is who he says: nothing is slowed down
    because nobody believes it.
    """

    desks: dict[str, tuple[Running, Sink]]
    machines: dict[str, Machine]
    written: dict[str, int] = field(default_factory=dict)
    _seen: dict[str, int] = field(default_factory=dict)

    def rests(self) -> bool:
        """Carry mail to and fro until nobody writes any more; False where that does not happen."""
        for address, (_, sink) in self.desks.items():
            self._seen.setdefault(address, len(sink.deliveries))
        for _ in range(MOST_ROUNDS):
            for desk, _ in self.desks.values():
                self._settle(desk)
            if not self._carry():
                return True
        return False

    def automatic(self, address: str) -> list[EmailMessage]:
        """Automatic mails of all desks to somebody."""
        found = [parsed(one.data) for _, sink in self.desks.values() for one in sink.to(address)]
        return [mail for mail in found if mail["Auto-Submitted"]]

    def messages(self, address: str) -> int:
        """Automatic mails to a machine and those that it wrote."""
        return len(self.automatic(address)) + self.written.get(address, 0)

    def _settle(self, desk: Running) -> None:
        """Come back when all that reached the desk is handled and sent, for it keeps the order of mails.

        A stranger whom the desk has never met is asked who he is, whatever the rations.
        """
        for _ in range(2):
            # Of a domain of his own: many with the same words from one domain would be a machine.
            sentinel = Person("", f"sentinel@s{next(_NUMBERS)}.{WATCH}")
            desk.write(sentinel, "Sentinel", "Is all before this done?", to=desk.company.desks[0].address)
            desk.wait(sentinel, seconds=40)
            desk.wait(ALICE, sentinel.address, seconds=40)

    def _carry(self) -> int:
        """Bring what the desks sent to whom it is for, and what machines make of it back; how many were carried."""
        carried = 0
        for own, (_, sink) in self.desks.items():
            new = sink.deliveries[self._seen[own] :]
            self._seen[own] += len(new)
            for one in new:
                if WATCH.encode() in one.data:
                    continue  # what tells the zoo that all is handled is no animal's business
                for to in one.recipients:
                    carried += self._bring(to, replace(one, recipients=(to,)))
        return carried

    def _bring(self, to: str, mail: Delivery) -> int:
        plain = untagged(to)[0]
        if plain in self.desks:
            self._hand_in(Written(mail.sender, to, mail.data))
            return 1
        machine = self.machines.get(plain)
        answers = list(machine(mail)) if machine else []
        self.written[plain] = self.written.get(plain, 0) + len(answers)
        for answer in answers:
            self._hand_in(answer)
        return len(answers)

    def _hand_in(self, mail: Written) -> None:
        desk = self.desks.get(untagged(mail.to)[0])
        if desk is not None:
            sender = parsed(mail.data)["From"].addresses[0].addr_spec
            desk[0].deliver(vouched(sender) + mail.data, mail.sender, mail.to)


def _new(who: Person, to: str, subject: str, text: str, **more: object) -> Written:
    return Written(who.address, to, letter(who, subject, text, to=to, proven=False, **more))  # type: ignore[arg-type]


def _from(mail: Delivery) -> str:
    return str(parsed(mail.data)["From"].addresses[0].addr_spec)


def beach(who: Person, *, threaded: bool) -> Machine:
    """A vacation responder of the worst kind: answers every mail, to From, and says in no header what it is."""

    def answers(mail: Delivery) -> list[Written]:
        subject = f"Re: {parsed(mail.data)['Subject']}" if threaded else "I am on holiday"
        return [_new(who, _from(mail), subject, "I am lying on the beach and read no mail until Monday.")]

    return answers


def polite(who: Person) -> Machine:
    """A responder as it should be (RFC 3834): to the return path, never to a machine, and saying what it is."""

    def answers(mail: Delivery) -> list[Written]:
        received = parsed(mail.data)
        if not mail.sender or received["Auto-Submitted"]:
            return []
        headers = {"Auto-Submitted": "auto-replied", "In-Reply-To": str(received["Message-ID"])}
        written = _new(who, mail.sender, f"Auto: {received['Subject']}", "I am away.", headers=headers)
        return [replace(written, sender="")]

    return answers


def robot(who: Person) -> Machine:
    """Says what it is, and answers machines all the same, each time in other words."""

    def answers(mail: Delivery) -> list[Written]:
        return [_new(who, _from(mail), "Noted", _babble(), headers={"Auto-Submitted": "auto-generated"})]

    return answers


def bouncing(who: Person) -> Machine:
    """The mailbox is gone; its server reports that to the return path, as it should."""

    def answers(mail: Delivery) -> list[Written]:
        return [Written("", mail.sender, bounce(mail.data, who.address, to=mail.sender))] if mail.sender else []

    return answers


def bouncing_to_from(who: Person, *, report: bool, sender: str = DAEMON) -> Machine:
    """The mailbox is gone; its server tells From, whatever the return path, with a report or in prose."""

    def answers(mail: Delivery) -> list[Written]:
        to = _from(mail)
        if report:
            return [Written(sender, to, bounce(mail.data, who.address, to=to, sender=sender))]
        data = bounce_in_prose(who.address, to=to, sender=sender)
        return [Written(sender, to, data.replace(b"Undeliverable: your mail", b"About your mail"))]

    return answers


def mailing_list(who: Person, *members: str, headers: dict[str, str] | None = None) -> Machine:
    """A list with the desk among its members: it puts itself into From and lets no header of ours through."""

    def answers(mail: Delivery) -> list[Written]:
        received = parsed(mail.data)
        subject = f"[pumps] {str(received['Subject']).replace('[', '(').replace(']', ')').replace('-', ' ')}"
        list_ = Person("Acme via Pumps", who.address)
        return [_new(list_, to, subject, words(received), headers=headers) for to in members]

    return answers


def mailing_list_that_keeps_ids(who: Person, *members: str) -> Machine:
    """The same, but the mail keeps its Message-ID, as most lists let it."""

    def answers(mail: Delivery) -> list[Written]:
        received = parsed(mail.data)
        same = str(received["Message-ID"])
        list_ = Person("Acme via Pumps", who.address)
        return [_new(list_, to, "[pumps] News", words(received) + _babble(), message_id=same) for to in members]

    return answers


def helpdesk(who: Person, *, quoting: bool, babbling: bool = False) -> Machine:
    """Another company's helpdesk: a new ticket, Message-ID and subject for each mail, and no header that tells."""
    numbers = iter(range(1, 1000))

    def answers(mail: Delivery) -> list[Written]:
        number = next(numbers)
        text = _babble() if babbling else f"Thank you. We opened request {number} (REF-{number:05X}Q) for you."
        if quoting:
            quoted = words(parsed(mail.data)).replace("\n", "\n> ")
            text += f"\n\nYou wrote:\n> {quoted}\n"
        return [_new(who, _from(mail), f"Request {number} received", text)]

    return answers


def forwarding(who: Person, to: str, *, stripped: bool) -> Machine:
    """An agent's mailbox that forwards all to the desk itself, as it is or written anew in his name."""

    def answers(mail: Delivery) -> list[Written]:
        if not stripped:
            return [Written(who.address, to, mail.data)]
        received = parsed(mail.data)
        reply_to = str(received["Reply-To"] or to)
        return [_new(who, reply_to, f"Fwd: {received['Subject']}", words(received))]

    return answers


def agents_beach(who: Person) -> Machine:
    """An agent's vacation responder without a header that tells, to Reply-To: it looks like his answer."""

    def answers(mail: Delivery) -> list[Written]:
        received = parsed(mail.data)
        headers = {"In-Reply-To": str(received["Message-ID"])}
        to = str(received["Reply-To"] or _from(mail))
        return [_new(who, to, f"Re: {received['Subject']}", "I am on the beach until Monday.", headers=headers)]

    return answers


_SYLLABLES = "ba be bi bo du da de fi fo ga ge ka ko la le mi mo na ne pa po ra ri sa so ta te va vo"


def _babble() -> str:
    """Eight words that nobody has ever used."""
    return " ".join("".join(random.choices(_SYLLABLES.split(), k=5)) for _ in range(8)) + "."
