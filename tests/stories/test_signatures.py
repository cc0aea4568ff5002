"""Without a border server, the domains of customers and agents vouch for them: DKIM, asked of a real DNS server."""

from __future__ import annotations

from collections.abc import Iterator
from email import policy

import pytest

from tests.servers.names import Names
from tests.servers.signing import key_name, new_key, published, signed
from tests.stories import letters
from tests.stories.company import ALICE, SUPPORT, Company, Person
from tests.stories.letters import says
from tests.stories.running import Running

pytestmark = pytest.mark.story


@pytest.fixture(scope="module")
def names() -> Iterator[Names]:
    server = Names()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def company(names: Names) -> Company:
    return Company(border=f'dns = ["{names.address}"]')


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return new_key(tmp_path_factory.mktemp("key"))


def test_a_customer_whose_domain_signs_is_believed_and_another_is_told_that_he_is_not(
    desk: Running, names: Names, key: bytes
):
    bob, forged = desk.customer(), desk.customer()
    domain = bob.address.partition("@")[2]
    names.records[key_name(domain)] = published(key)

    desk.deliver(signed(key, letters.letter(bob, "Pump", "It leaks.", proven=False), domain), bob.address, SUPPORT)
    desk.deliver(letters.letter(forged, "Pump", "It leaks.", proven=False), forged.address, SUPPORT)

    assert "not proven" not in says(desk.wait(ALICE, bob.name))
    assert "sender not proven" in says(desk.wait(ALICE, forged.name))
    assert "could not confirm" not in says(desk.wait(bob))
    assert "could not confirm" in says(desk.wait(forged))


def test_an_agents_signed_answer_is_relayed_and_an_unsigned_one_comes_back(desk: Running, names: Names, key: bytes):
    bob = desk.customer()
    names.records[key_name("acme.example")] = published(key)
    desk.write(bob, "Valve", "It drips.")
    notice = desk.wait(ALICE, bob.name)

    def answer(text: str) -> bytes:
        reply = letters.parsed(letters.letter(Person("Alice", ALICE.address), "Re: Valve", text, proven=False))
        del reply["To"]
        reply["To"] = str(notice["Reply-To"])
        reply["In-Reply-To"] = str(notice["Message-ID"])
        return reply.as_bytes(policy=policy.SMTP)

    to = str(notice["Reply-To"])
    desk.deliver(answer("Forged: send money."), ALICE.address, to)
    desk.deliver(signed(key, answer("Close it."), "acme.example"), ALICE.address, to)

    desk.wait(bob, "Close it.")
    assert all("send money" not in says(one) for one in desk.inbox(bob))
