"""Signed numbers in addresses: what we wrote is believed in any case, nothing else ever is."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpdesk.domain.address import untagged
from helpdesk.domain.token import (
    Keys,
    Routed,
    conversation,
    message_id,
    own_conversation,
    own_message_id,
    reply_address,
    return_address,
    returned_mail,
    route,
    sign,
    unsign,
)

KEYS = Keys(b"k" * 32)
BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
NUMBERS = st.integers(0, 2**63 - 1)
IDS = st.integers(0, 10**9)


@given(st.lists(NUMBERS, min_size=1, max_size=4), st.sampled_from("abcrnz"))
@settings(max_examples=100)
def test_what_was_signed_is_read_in_any_case(numbers, purpose):
    token = sign(KEYS, purpose, *numbers)

    assert unsign(KEYS, purpose, token, len(numbers)) == tuple(numbers)
    assert unsign(KEYS, purpose, token.upper(), len(numbers)) == tuple(numbers)
    assert set(token) <= set(BASE32)


def test_token_is_bound_to_purpose_key_and_count():
    token = sign(KEYS, "r", 1042, 7)

    assert unsign(KEYS, "r", token, 2) == (1042, 7)
    assert unsign(KEYS, "n", token, 2) is None
    assert unsign(KEYS, "r", token, 1) is None
    assert unsign(KEYS, "r", token, 3) is None
    assert unsign(Keys(b"x" * 32), "r", token, 2) is None


def test_previous_key_is_believed_while_it_is_listed():
    token = sign(KEYS, "r", 1042, 7)
    rotated = Keys(b"n" * 32, (KEYS.current,))

    assert unsign(rotated, "r", token, 2) == (1042, 7)
    assert sign(rotated, "r", 1042, 7) != token
    assert unsign(Keys(b"n" * 32, (b"o" * 32,)), "r", token, 2) is None


@given(st.tuples(IDS, IDS), st.data())
@settings(max_examples=100)
def test_every_change_of_one_letter_is_noticed(numbers, data):
    token = sign(KEYS, "r", *numbers)
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from(BASE32).filter(lambda letter: letter != token[place]))

    assert unsign(KEYS, "r", token[:place] + letter + token[place + 1 :], 2) is None


@given(st.tuples(IDS, IDS))
@settings(max_examples=50)
def test_token_has_one_spelling(numbers):
    """Unused bits of the last letter, padding, letters beyond ASCII: none of them may make a second one."""
    token = sign(KEYS, "r", *numbers)
    others = [token[:-1] + letter for letter in BASE32 if letter != token[-1]]
    others += [
        token + "=",
        token + "a",
        token + "aa",
        " " + token,
        token + "\n",
    ]

    assert not any(unsign(KEYS, "r", other, 2) for other in others)


def test_letter_that_only_looks_like_one_of_a_token_is_refused():
    """The Kelvin sign becomes a "k" in lower case."""
    token = next(token for token in (sign(KEYS, "r", 1042, person) for person in range(100)) if "k" in token)
    lookalike = token.replace("k", "\u212a")

    assert lookalike.lower() == token
    assert unsign(KEYS, "r", lookalike, 2) is None
    assert route(KEYS, "r" + lookalike) is None
    assert own_message_id(KEYS, message_id(KEYS, "acme.example", 1042, 3, "k").replace(".k@", ".\u212a@")) is None


@given(st.text(max_size=60) | st.text(BASE32, max_size=60))
@settings(max_examples=200)
def test_no_text_is_believed_or_raises(text):
    assert unsign(KEYS, "r", text, 2) is None
    assert own_message_id(KEYS, text) is None
    assert own_message_id(KEYS, f"<hd.{text}.c@acme.example>") is None
    assert route(KEYS, text) in (None, "tampered")


def test_ten_thousand_guesses_hit_nothing():
    guesses = random.Random(20260301)
    length = len(sign(KEYS, "r", 1042, 7))
    tags = ["r" + "".join(guesses.choices(BASE32, k=length)) for _ in range(10_000)]

    assert {route(KEYS, tag) for tag in tags} == {"tampered"}


@pytest.mark.parametrize("numbers", [(-1,), (2**63,)])
def test_refuses_numbers_that_no_row_has(numbers):
    with pytest.raises(ValueError, match="legal"):
        sign(KEYS, "r", *numbers)


@pytest.mark.parametrize("purpose", ["", "rn", "R", "1", "ä"])
def test_purpose_is_one_letter(purpose):
    with pytest.raises(ValueError, match="purpose"):
        sign(KEYS, purpose, 1)


@pytest.mark.parametrize("keys", [(b"short", ()), (b"k" * 65, ()), (b"k" * 32, (b"",))])
def test_refuses_weak_keys(keys):
    with pytest.raises(ValueError, match="octets"):
        Keys(*keys)


def test_keys_are_not_shown():
    assert "kkkk" not in repr(KEYS)


@given(IDS, IDS, st.sampled_from(["r", "n"]))
@settings(max_examples=100)
def test_reply_address_leads_back(ticket_id, person_id, purpose):
    address = reply_address(KEYS, "support@acme.example", purpose, ticket_id, person_id)
    base, tag = untagged(address.upper())

    assert base == "support@acme.example"
    assert route(KEYS, tag) == Routed(purpose, ticket_id, person_id)
    assert len(address.rpartition("@")[0]) <= 64


def test_desk_address_with_a_tag_of_its_own_keeps_it():
    address = reply_address(KEYS, "help+acme@mail.example", "r", 1042, 7)

    assert address.startswith("help+acme+r")
    assert route(KEYS, untagged(address)[1]) == Routed("r", 1042, 7)


@pytest.mark.parametrize(
    "address", ["a" * 40 + "@acme.example", "@acme.example", "support@", "support", "ü" * 17 + "@acme.example"]
)
def test_refuses_addresses_that_leave_no_room(address):
    with pytest.raises(ValueError, match="no address"):
        reply_address(KEYS, address, "r", 10**6, 10**6)


@pytest.mark.parametrize(
    "tag",
    ["", "sales", "r", "news", "reports-2026", "x" + "a" * 31, "r" + "a" * 22, "r" + "a" * 49, "n" + "a" * 30 + "1"],
)
def test_tags_of_other_shape_are_no_tokens(tag):
    assert route(KEYS, tag) is None


def test_reply_token_made_a_note_token_is_tampered():
    tag = "n" + sign(KEYS, "r", 1042, 7)

    assert route(KEYS, tag) == "tampered"


def test_message_id_is_the_same_each_time_and_ours():
    first = message_id(KEYS, "acme.example", 1042, 3, "c")

    assert first == message_id(KEYS, "acme.example", 1042, 3, "c")
    assert first.endswith(".c@acme.example>")
    assert first.startswith("<hd.")
    assert (
        len({first, message_id(KEYS, "acme.example", 1042, 3, "a"), message_id(KEYS, "acme.example", 1042, 4, "c")})
        == 3
    )
    for text in (first, first.lower(), first.upper(), first.strip("<>"), f" {first} "):
        assert own_message_id(KEYS, text) == (1042, 3)


def test_message_id_is_bound_to_its_audience_and_is_no_reply_token():
    ours = message_id(KEYS, "acme.example", 1042, 3, "c")
    token = ours.split(".")[1]

    assert own_message_id(KEYS, ours.replace(".c@", ".a@")) is None
    assert own_message_id(KEYS, "<1042.3@acme.example>") is None
    assert own_message_id(Keys(b"x" * 32), ours) is None
    assert own_message_id(Keys(b"x" * 32, (KEYS.current,)), ours) == (1042, 3)
    assert route(KEYS, "r" + token) == "tampered"
    with pytest.raises(ValueError, match="audience"):
        message_id(KEYS, "acme.example", 1042, 3, "customer")


@given(IDS, IDS)
@settings(max_examples=50)
def test_a_return_path_names_its_mail_and_is_no_reply_address(event, mail):
    address = return_address(KEYS, "support@acme.example", event, mail)

    plain, tag = untagged(address)
    assert plain == "support@acme.example"
    assert len(address.partition("@")[0]) <= 64
    assert returned_mail(KEYS, tag) == returned_mail(KEYS, tag.upper()) == (event, mail)
    assert route(KEYS, tag) is None
    assert returned_mail(Keys(b"x" * 32), tag) == "tampered"
    assert returned_mail(KEYS, reply_address(KEYS, plain, "r", event, mail).partition("+")[2]) is None


@pytest.mark.parametrize("tag", ["", "sales", "b", "bugs", "b" + "a" * 22])
def test_peoples_own_tags_are_no_return_path(tag):
    assert returned_mail(KEYS, tag) is None


def test_a_conversation_is_read_for_its_audience_alone_with_any_key_that_counts():
    named = conversation(KEYS, 1042, "c")

    assert len(bytes.fromhex(named)) == 16
    assert own_conversation(KEYS, named, "c") == 1042
    assert own_conversation(KEYS, named, "a") is None
    assert own_conversation(Keys(b"n" * 16, (KEYS.current,)), named, "c") == 1042
    assert own_conversation(Keys(b"n" * 16), named, "c") is None


@pytest.mark.parametrize("text", ["", "00" * 16, "0" * 31, "zz" * 16, "00000000041200" + "00" * 9, "\u0661" * 32])
def test_what_we_did_not_name_is_no_conversation_of_ours(text):
    assert own_conversation(KEYS, text, "c") is None
