"""Spam by the word of a real rspamd: a stranger's waits, a customer's goes on, and a filter that is gone stops nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from helpdesk.cli.health import read_report
from tests.servers.found import require
from tests.servers.ports import wait_for
from tests.servers.rspamd import GTUBE, Rspamd
from tests.stories.company import ALICE, Company, Person
from tests.stories.running import Running

pytestmark = pytest.mark.story

ZOE = Person("Zoe Zand", "zoe@elsewhere.example")


@pytest.fixture(scope="module")
def filter_() -> Iterator[Rspamd]:
    """One that the story may stop."""
    require("rspamd")
    server = Rspamd()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def company(filter_: Rspamd) -> Company:
    return Company(more=f'[spam]\nrspamd = "{filter_.url}"\n')


def test_spam_is_judged_as_it_comes_and_without_the_filter_mail_goes_on(desk: Running, filter_: Rspamd):
    """Mutants: nobody asks rspamd; its silence holds mail up; nobody hears that it is gone."""
    bob = desk.customer()
    desk.write(ZOE, "Toner-1", GTUBE)
    desk.write(bob, "Pump-1", f"Why is this in my log? {GTUBE}")
    desk.wait(ALICE, "Pump-1")
    (found,) = wait_for(lambda: desk.json("quarantine", "list"))

    assert "rspamd: reject" in str(found["cause"])
    assert desk.inbox(ZOE) == desk.about(ALICE, "Toner-1") == []

    desk.run("quarantine", "release", str(found["id"]))
    desk.wait(ALICE, "Toner-1")
    desk.wait(ZOE)

    filter_.stop()
    desk.write(bob, "Pump-2", "It leaks.")
    desk.wait(ALICE, "Pump-2")
    wait_for(lambda: "rspamd" in _troubled(desk))
    assert "does not judge mails" in desk.run("health", code=1)


def _troubled(desk: Running) -> list[str]:
    return [part["name"] for part in read_report(desk.folder / "health.json")["parts"] if not part["well"]]
