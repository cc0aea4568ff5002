from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpdesk.commands import COMMANDS
from helpdesk.commands.grammar import Orders, parse
from helpdesk.inbound.quote import divide

CLOSE, TAKE, NOTE = ("close", ""), ("take", ""), ("note", "")


def read(text: str) -> Orders:
    """The orders in a mail as it arrives, quotes and all."""
    new_text, lead_text = divide(text)
    return parse(lead_text, new_text, COMMANDS)


@pytest.mark.parametrize(
    ("mail", "commands", "text"),
    [
        ("Switch it off.", (), "Switch it off."),
        ("#close", (CLOSE,), ""),
        ("#take\n\nSent from my phone", (TAKE,), ""),
        ("#close\n-- \nSent from my iPhone", (CLOSE,), ""),
        ("#take\n\nGet Outlook for iOS", (TAKE,), ""),
        ("#take\n\nVon meinem iPhone gesendet", (TAKE,), ""),
        ("#take\n\nGesendet von Outlook für Android", (TAKE,), ""),
        ("Sent from my Galaxy S24", (), ""),
        ("#take\n\nThanks.\nSent from my phone", (TAKE,), "Thanks."),
        ("#take\n\nGet the phone from Bob, please.", (TAKE,), "Get the phone from Bob, please."),
        ("#close\n\nThanks.", (CLOSE,), "Thanks."),
        ("Thanks.\n\n#close", (CLOSE,), "Thanks."),
        ("#take\n\nThanks.\n\n#close\n", (TAKE, CLOSE), "Thanks."),
        ("#take\n#close\nThanks.", (TAKE, CLOSE), "Thanks."),
        ("Thanks.\n#take\n#close", (TAKE, CLOSE), "Thanks."),
        ("\n\n#take\n\n#close\n\n\nThanks.", (TAKE, CLOSE), "Thanks."),
        ("#CLOSE", (CLOSE,), ""),
        ("  #close  ", (CLOSE,), ""),
        ("#close\r\nThanks.\r", (CLOSE,), "Thanks."),
        ("#close\t solved ", (("close", "solved"),), ""),
        ("#note: call him", (("note", "call him"),), ""),
        ("#note:\ncall him", (NOTE,), "call him"),
        ("#note\u00a0call him", (("note", "call him"),), ""),
        ("\u200b#note call him", (("note", "call him"),), ""),
        ("#admit Верлängerung 更新 ok", (("admit", "Верлängerung 更新 ok"),), ""),
        ("#confirm Globex & Söhne #2", (("confirm", "Globex & Söhne #2"),), ""),
        ("#close\n\n> #take\n> quoted", (CLOSE,), ""),
        ("Thanks.\n#close\n\nOn 3 Mar 2026, Bob wrote:\n> it burns", (CLOSE,), "Thanks."),
        ("See above.\n\n> #note from your mail\n\nBye.", (), "See above.\n\nBye."),
        ("#close\n-- \nAnn", (CLOSE,), ""),
        ("Ticket #42 and #A1 are one.", (), "Ticket #42 and #A1 are one."),
        ("#42 is the same.", (), "#42 is the same."),
        ("# Heading\ntext", (), "# Heading\ntext"),
        ("C#\ncode", (), "C#\ncode"),
        ("Run this:\n#!/bin/sh\n#include <stdio.h>", (), "Run this:\n#!/bin/sh\n#include <stdio.h>"),
        ("Please say #close when done.", (), "Please say #close when done."),
        ("", (), ""),
    ],
)
def test_finds_commands_at_the_top_and_the_end_of_the_own_text(mail, commands, text):
    orders = read(mail)

    assert orders.problem == ""
    assert orders.commands == commands
    assert orders.text == text


@pytest.mark.parametrize(
    ("mail", "named"),
    [
        ("#clsoe\nThanks.", "Did you mean #close?"),
        ("#hashtag", "#hashtag"),
        ("Thanks.\n#noet he is a fool", "Did you mean #note?"),
        ("Thanks.\n#notes he is a fool", "Did you mean #note?"),
        ("Thanks.\n#note he is a fool\nBye.", "#note"),
        ("Thanks.\u2028#note he is a fool\nBye.", "#note"),
        ("#note-he is a fool", "#note"),
        ("＃note he is a fool", "#note"),
        ("> it burns\n\n#note he is a fool", "#note"),
        ("See below.\n\n> it burns\n\n#close", "#close"),
        ("Thanks.\n# note he is a fool", "#note"),
        ("Thanks.\n*#note* he is a fool", "#note"),
        ("- #note he is a fool", "#note"),
        ('"#note he is a fool"', "#note"),
        ("/note he is a fool", "#note"),
        ("Hi Leo, #note he is a fool", "#note"),
        ("Thanks.\n-----\n#note he is a fool", "#note"),
        ("Thanks.\nsomebody wrote:\n#note he is a fool", "#note"),
    ],
)
def test_what_only_looks_like_a_command_comes_back(mail, named):
    orders = read(mail)

    assert orders.commands == ()
    assert named in orders.problem


PROSE = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n"), max_size=200)


@given(PROSE.filter(lambda text: "#" not in text and "＃" not in text))
@settings(max_examples=200, deadline=None)
def test_text_without_commands_is_left_as_it_is(text):
    assert parse(text, text, COMMANDS) == Orders((), text.strip("\n"))


LINES = st.lists(st.sampled_from(["Hello", "", "> quoted", "#close", "On 3 Mar 2026, Bob wrote:", "-- ", "  x", "#1"]))
MARKS = st.sampled_from(
    ["#note", "#Note", " #note", "#note:", "#note\u00a0", "#note.", "#note,", "\ufeff#note", "#notes"]
)


@given(LINES, MARKS, LINES)
@settings(max_examples=300, deadline=None)
def test_a_note_anywhere_is_never_relayed(above, mark, below):
    """Either it is a command, or the mail comes back, or the line was part of a quote or a signature."""
    orders = read("\n".join([*above, f"{mark} SECRET", *below]))

    noted = any(word == "note" for word, _ in orders.commands)
    assert noted or orders.problem or "SECRET" not in orders.text


@given(PROSE, PROSE)
@settings(max_examples=200, deadline=None)
def test_any_text_at_all_has_orders(lead, rest):
    orders = parse(lead, lead + "\n" + rest, COMMANDS)

    assert set(dict(orders.commands)) <= set(COMMANDS)
