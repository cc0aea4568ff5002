"""Machines that answer each other come to rest (reliability T21, G7): at most five automatic mails between each two, and
at most three from the desk to an address within an hour. Nothing that anybody wrote is lost by it.

Mutants: policies without the brakes, which go on for as long as the zoo has patience.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.rules.policy import FILE
from tests.servers.sink import Sink
from tests.stories import company as world
from tests.stories import running, zoo
from tests.stories.company import ALICE, OPERATOR, SUPPORT, Company, Desk, Person
from tests.stories.posts import InSink
from tests.stories.running import Running
from tests.stories.zoo import Machine, Zoo

pytestmark = pytest.mark.story

MOST_MESSAGES = 5
MOST_FROM_US = 3
USUAL = "automatic_per_hour = 20"
BRAKES = ("answer_no_machine", "ration_automatic_mail", "brake_rapid", "brake_repeats")
#: The desk of another company has the address of a customer of ours.
MINE = Desk("mine", "Mine Help", world.customer(30).address, "MI", "alice")


def policy_without(*rules: str) -> str:
    """The standard policy's rules for mail, but these, as a desk writes them."""
    lines = []
    for table in tomllib.loads(FILE.read_text(encoding="utf-8"))["on_mail"]:
        if table["rule"] not in rules:
            lines += ["", "[[on_mail]]", *(f"{key} = {value!r}".replace("'", '"') for key, value in table.items())]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., tuple[Running, Sink]]]:
    """Starts a daemon of its own with a sink of its own; both are stopped at the end of the file."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def begin(desk: Desk = world.ACME, policy: str = "", limits: str = USUAL) -> tuple[Running, Sink]:
            sink = Sink()
            stack.callback(sink.stop)
            told = Company(desks=(desk,), relay_port=sink.port, policy=policy, limits=limits)
            folder = tmp_path_factory.mktemp("desk")
            return stack.enter_context(running.started(folder, told, InSink(sink))), sink

        yield begin


@pytest.fixture(scope="module")
def acme(start: Callable[..., tuple[Running, Sink]]) -> tuple[Running, Sink]:
    """The desk as it ships."""
    return start()


@pytest.fixture(scope="module")
def brakeless(start: Callable[..., tuple[Running, Sink]]) -> tuple[Running, Sink]:
    """The mutant of all brakes."""
    return start(policy=policy_without(*BRAKES))


@pytest.fixture(scope="module")
def slow_only(start: Callable[..., tuple[Running, Sink]]) -> tuple[Running, Sink]:
    """The mutant without the brake on those who write at once."""
    return start(policy=policy_without("brake_rapid"))


MACHINES: dict[str, Callable[[Person], Machine]] = {
    "a bad responder that keeps the subject": lambda who: zoo.beach(who, threaded=True),
    "a bad responder with a subject of its own": lambda who: zoo.beach(who, threaded=False),
    "a good responder": zoo.polite,
    "a robot that answers robots": zoo.robot,
    "bounces to the return path": zoo.bouncing,
    "bounces to From with a report": lambda who: zoo.bouncing_to_from(who, report=True),
    "bounces to From without one": lambda who: zoo.bouncing_to_from(who, report=False),
    "bounces in the postmaster's name": lambda who: zoo.bouncing_to_from(
        who, report=False, sender=f"postmaster@{who.address.rpartition('@')[2]}"
    ),
    "bounces in the mailbox's own name": lambda who: zoo.bouncing_to_from(who, report=False, sender=who.address),
    "a list that says so": lambda who: zoo.mailing_list(who, SUPPORT, headers={"List-Id": "<pumps.example>"}),
    "a list that hides": lambda who: zoo.mailing_list(who, SUPPORT),
    "a list that keeps our Message-ID": lambda who: zoo.mailing_list_that_keeps_ids(who, SUPPORT),
    "another helpdesk": lambda who: zoo.helpdesk(who, quoting=False),
    "another helpdesk that quotes us": lambda who: zoo.helpdesk(who, quoting=True),
    "another helpdesk that never says the same": lambda who: zoo.helpdesk(who, quoting=False, babbling=True),
}


def wired(desk: tuple[Running, Sink], who: Person, machine: Machine, **others: Machine) -> Zoo:
    return Zoo({SUPPORT: desk}, {who.address: machine, **others})


@pytest.mark.parametrize("name", MACHINES)
def test_one_human_mail_to_a_machine_ends_soon(acme: tuple[Running, Sink], name: str):
    who = acme[0].customer()
    cage = wired(acme, who, MACHINES[name](who))
    acme[0].write(who, "Pump", f"It leaks, says {name}.")

    assert cage.rests()

    assert cage.messages(who.address) <= MOST_MESSAGES
    assert 1 <= len(cage.automatic(who.address)) <= MOST_FROM_US
    acme[0].wait(ALICE, f"It leaks, says {name}.")


@pytest.mark.parametrize(
    "name",
    [
        "a bad responder with a subject of its own",
        "a robot that answers robots",
        "bounces in the mailbox's own name",
        "a list that hides",
        "another helpdesk",
        "another helpdesk that quotes us",
        "another helpdesk that never says the same",
    ],
)
def test_without_the_brakes_it_never_ends(brakeless: tuple[Running, Sink], name: str):
    who = brakeless[0].customer()
    cage = wired(brakeless, who, MACHINES[name](who))
    brakeless[0].write(who, "Pump", "It leaks.")

    assert not cage.rests()
    assert cage.messages(who.address) > MOST_MESSAGES


def test_without_the_brake_on_who_writes_at_once_other_words_go_on(slow_only: tuple[Running, Sink]):
    who = slow_only[0].customer()
    cage = wired(slow_only, who, zoo.helpdesk(who, quoting=False, babbling=True))
    slow_only[0].write(who, "Pump", "It leaks.")

    assert not cage.rests()
    assert len(cage.automatic(who.address)) > MOST_FROM_US


def test_two_of_our_own_desks_that_are_each_others_customers(
    acme: tuple[Running, Sink], start: Callable[..., tuple[Running, Sink]], tmp_path: Path
):
    """An agent of ours writes to the other company, and somebody there has his mail sent to us."""
    mine = start(MINE, limits="automatic_per_hour = 20")
    (tmp_path / "contacts.csv").write_text(
        "organisation,domain,name,address,role,language,zone\n"
        f"Acme,acme.example,Acme Support,{SUPPORT},contact,en,Europe/Berlin\n"
    )
    (tmp_path / "contracts.csv").write_text(
        "organisation,kind,number,products,start,end,manager\nAcme,contract,A-1,Router,2020-01-01,2029-12-31,\n"
    )
    mine[0].run("import", str(tmp_path))
    both = Zoo({SUPPORT: acme, MINE.address: mine}, {})
    acme[0].write(Person("Mine Help", MINE.address), "Pump of both", "It leaks on both sides.")
    notice = acme[0].wait(ALICE, "It leaks on both sides.")

    assert both.rests()
    acme[0].reply(ALICE, notice, "Close the valve on both sides.")
    assert both.rests()

    assert len(both.automatic(MINE.address)) <= MOST_FROM_US
    assert len(both.automatic(SUPPORT)) <= MOST_FROM_US
    assert len(both.automatic(MINE.address)) + len(both.automatic(SUPPORT)) <= MOST_MESSAGES
    assert mine[0].wait(ALICE, "Close the valve on both sides."), "what a person wrote arrives"


def test_everybody_at_once_comes_to_rest(start: Callable[..., tuple[Running, Sink]]):
    """Vacation, bounces, a list with other machines on it, and another helpdesk, all members of one list."""
    desk = start()
    people = {name: desk[0].customer() for name in MACHINES}
    machines = {people[name].address: MACHINES[name](people[name]) for name in MACHINES}
    cage = Zoo({SUPPORT: desk}, machines)
    for name, who in people.items():
        desk[0].write(who, "Pump", f"It leaks, says {name}.")

    assert cage.rests()

    for name, who in people.items():
        assert cage.messages(who.address) <= MOST_MESSAGES, name
        assert len(cage.automatic(who.address)) <= MOST_FROM_US, name


@pytest.mark.parametrize("stripped", [False, True])
def test_an_agents_mailbox_that_forwards_to_the_desk(start: Callable[..., tuple[Running, Sink]], stripped: bool):
    desk = start()
    who = desk[0].customer()
    cage = wired(desk, who, lambda _: [], **{ALICE.address: zoo.forwarding(ALICE, SUPPORT, stripped=stripped)})
    desk[0].write(who, "Pump", "It leaks.")

    assert cage.rests()

    # The sentinels' notices come back as well: what counts is that no notice begets more than a few others.
    returned = [mail for mail in cage.automatic(ALICE.address) if "Not sent" in str(mail["Subject"])]
    assert len(returned) <= MOST_FROM_US
    assert len(cage.automatic(who.address)) == 1
    assert len(desk[0].inbox(who)) == 1, "nothing of it went to the customer"


def test_two_bad_responders_of_agent_and_customer_do_not_converse_for_ever(
    start: Callable[..., tuple[Running, Sink]],
):
    desk = start()
    who = desk[0].customer()
    cage = wired(desk, who, zoo.beach(who, threaded=True), **{ALICE.address: zoo.agents_beach(ALICE)})
    desk[0].write(who, "Pump", "It leaks.")

    assert cage.rests()

    assert len(desk[0].inbox(who)) <= MOST_FROM_US
    assert desk[0].wait(OPERATOR, "the same words from an agent"), "what was kept back can be seen"


def test_a_person_who_writes_the_same_twice_is_heard_twice(acme: tuple[Running, Sink]):
    """Only the second acknowledgement is left out: nothing that a person wrote is ever dropped for its words."""
    desk, who = acme[0], acme[0].customer()
    cage = wired(acme, who, lambda _: [])
    for subject in ("Twice one", "Twice two"):
        desk.write(who, subject, "Please call me, the pump leaks again.")

    assert cage.rests()

    desk.wait(ALICE, "Twice one")
    desk.wait(ALICE, "Twice two")
    assert len(cage.automatic(who.address)) == 1
