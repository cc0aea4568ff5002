"""What is said becomes a mail, whatever is in the values and whatever is wrong with a template."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpdesk.outbound import markdown
from helpdesk.outbound.template_variables import AUDIENCES, FRAME, VARIABLES
from helpdesk.outbound.templates import Templates, Words, samples, shipped_folder

DUE = datetime(2026, 11, 23, 22, 30, tzinfo=UTC)
FRAMED = {
    "name": "Bob",
    "desk": "Acme Support",
    "zone": "Australia/Sydney",
    "reference": "AC-1042",
    "subject": "Printer",
}
OPENED = {"proven": True, "answer_due": DUE, "contract": {"number": "C-77", "ends": date(2027, 6, 30)}}


@pytest.fixture(scope="module")
def shipped() -> Templates:
    return Templates()


def override(tmp_path: Path, text: str, name: str = "en/customer/opened.md") -> Path:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return tmp_path


def test_shipped_templates_check(shipped):
    assert shipped.check() == []


@pytest.mark.parametrize("language", ["en", "de"])
def test_every_event_is_shipped_in_both_languages(language):
    there = {(file.parent.name, file.stem) for file in (shipped_folder() / language).glob("*/*.md")}

    assert there == {*VARIABLES, *((audience, "_frame") for audience in AUDIENCES)}


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize(("audience", "event"), VARIABLES)
def test_every_template_takes_every_sample(shipped, language, audience, event):
    known = shipped.variables(audience, event)
    for sample in samples(known):
        frame = {variable.name: sample[variable.name] for variable in FRAME}

        rendered = shipped.compose_text(language, audience, [(event, sample)], frame)

        assert rendered.problem == ""
        assert rendered.subject
        assert "{{ 7*7 }}" in rendered.text + rendered.subject or "49" not in rendered.text
        assert "\ue000" not in rendered.text + rendered.html


def test_acknowledgement_says_what_by_when(shipped):
    rendered = shipped.compose_text("en", "customer", [("opened", OPENED)], FRAMED)

    assert rendered.subject == "[AC-1042] Printer"
    assert rendered.text == (
        "Hello Bob,\n\n"
        "Your request has arrived. Its reference is AC-1042. It is covered by\n"
        "contract C-77, which runs until 30 June 2027.\n\n"
        "You will hear from one of us by Tuesday, 24 November 2026, 09:30 (Sydney\n"
        "time).\n\n"
        "If you want to add anything, just reply to this mail.\n\n"
        "Kind regards,\nAcme Support\n"
    )


def test_unproven_sender_reads_none_of_his_words(shipped):
    """Nobody gives a template his name or subject; what is left is our own text."""
    values = {**OPENED, "proven": False}

    rendered = shipped.compose_text("en", "customer", [("opened", values)], {**FRAMED, "name": "", "subject": ""})

    assert rendered.subject == "[AC-1042] Your request to Acme Support"
    assert rendered.text.startswith("Hello,\n\nYour request has arrived.")
    assert "could not confirm" in rendered.text


def test_german_uses_german_days_and_zone_words(shipped):
    rendered = shipped.compose_text("de", "customer", [("opened", OPENED)], {**FRAMED, "zone": "Europe/Vienna"})

    assert "Montag, 23. November 2026, 23:30 Uhr (Ortszeit Wien)" in " ".join(rendered.text.split())
    assert '<html lang="de" dir="ltr"' in rendered.html


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ("Europe/Berlin", "Monday, 23 November 2026, 23:30 (Berlin time)"),
        ("UTC", "Monday, 23 November 2026, 22:30 (UTC time)"),
        ("No/Where", "Monday, 23 November 2026, 22:30 (UTC time)"),
    ],
)
def test_times_are_in_the_readers_zone(shipped, zone, words):
    rendered = shipped.compose_text("en", "customer", [("opened", OPENED)], {**FRAMED, "zone": zone})

    assert words in " ".join(rendered.text.split())


def test_unknown_language_falls_back_to_english_per_file(tmp_path):
    folder = override(tmp_path, "Subject: Demande\n\nBonjour.\n", "fr/customer/opened.md")
    templates = Templates([folder])

    assert "Bonjour." in templates.compose_text("fr-CA", "customer", [("opened", {})], FRAMED).text
    assert "Kind regards" in templates.compose_text("fr-CA", "customer", [("opened", {})], FRAMED).text


def test_notice_begins_with_who_contract_and_due(shipped):
    values = {"who": "Bob Miller", "organisation": "ACME", "contract": OPENED["contract"], "due": DUE, "words": "Help!"}

    rendered = shipped.compose_text("en", "agent", [("new_ticket", values)], FRAMED)

    first = rendered.text.split("\n")[0]
    assert first == "Bob Miller (ACME, contract C-77 until 30 June 2027): answer due Tuesday 24 November, 09:30"


def test_several_blocks_become_one_mail_with_the_first_subject(shipped):
    blocks = [("released", {"answer_due": DUE}), ("closed", {"agent": "Ann"})]

    rendered = shipped.compose_text("en", "customer", blocks, FRAMED)

    assert rendered.subject == shipped.compose_text("en", "customer", blocks[:1], FRAMED).subject
    assert rendered.text.count("Hello Bob") == 1
    assert "no longer waiting" in rendered.text
    assert "Ann has finished" in rendered.text


def test_actor_reads_the_texts_of_agents(shipped):
    rendered = shipped.compose_text("en", "actor", [("done", {"lines": ("Ticket closed.",)})], FRAMED)

    assert rendered.problem == ""
    assert "- Ticket closed." in rendered.text


# --- a person's words -------------------------------------------------------------------------------------------------

VERBATIM = "Hi *Bob*,\n\n    $ rm -rf <x> & {{ 7*7 }}\n- a\n\n\n# \ue0000\ue001 end  of  line \\"


def test_words_stand_in_the_text_exactly_as_written(shipped):
    rendered = shipped.compose_text("en", "customer", [("answer", {"words": Words(VERBATIM)})], FRAMED)

    assert VERBATIM in rendered.text
    assert "Hello" not in rendered.text


def test_words_stand_in_the_html_escaped_with_their_spaces(shipped):
    rendered = shipped.compose_text("en", "customer", [("answer", {"words": VERBATIM})], FRAMED)

    assert "\u00a0\u00a0\u00a0\u00a0$ rm -rf &lt;x&gt; &amp; {{ 7*7 }}<br>\n- a</p>" in rendered.html
    assert "<em>" not in rendered.html


@given(st.text(max_size=200))
@settings(max_examples=150, deadline=None)
def test_words_survive_any_text(words):
    clean = "".join(one for one in words if one.isprintable() or one == "\n").strip("\n")
    rendered = SHIPPED.compose_text("en", "customer", [("answer", {"words": Words(clean)})], FRAMED)

    assert rendered.problem == ""
    assert not clean.strip() or clean in rendered.text


SHIPPED = Templates()


@given(st.text(max_size=80))
@settings(max_examples=200, deadline=None)
def test_a_value_is_always_only_text(value):
    """Whatever a value holds, the mail has the same elements, and the value reads as it was given."""
    tokens = markdown.parse(f"before {markdown.escape(' '.join(value.split()))} after")

    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert {token.type for token in tokens[1].children or ()} == {"text"}


@pytest.mark.parametrize(
    "value",
    ["{{7*7}}", "{% for x in y %}", "# x", "- x", "> x", "<b>x</b>", "&amp;", "[x](http://evil.example)", "1. x"],
)
def test_markup_in_a_value_stays_literal(shipped, value):
    rendered = shipped.compose_text("en", "customer", [("held_contract", {"how_to_renew": value})], FRAMED)

    assert f"\n{value}\n" in rendered.text
    assert "evil.example" not in rendered.html or "<a " not in rendered.html


def test_value_with_line_breaks_stays_one_paragraph(shipped):
    values = {"how_to_renew": "a\n\n# b\n- c"}

    assert "\na # b - c\n" in shipped.compose_text("en", "customer", [("held_contract", values)], FRAMED).text


# --- text form --------------------------------------------------------------------------------------------------------


def test_text_form_of_every_kind_of_block():
    source = (
        "# A **long** heading that is never wrapped because the first line of a notice has to stay one single line\n\n"
        "Plain *words* with `code` and a [link](https://acme.example/x).\nSame paragraph, " + "word " * 12 + "\n\n"
        "- one\n- two\n  with more\n  - inner\n\n3. three\n4. four\n\n> quoted\n> on\n\n```\n  as is\n```\n\nend\\\nhere"
    )

    assert markdown.render_text(markdown.parse(source)).split("\n") == [
        "A long heading that is never wrapped because the first line of a notice has to stay one single line",
        "",
        "Plain words with code and a link <https://acme.example/x>. Same",
        "paragraph, word word word word word word word word word word word word",
        "",
        "- one",
        "- two with more",
        "  - inner",
        "",
        "3. three",
        "4. four",
        "",
        "> quoted on",
        "",
        "  as is",
        "",
        "end",
        "here",
        "",
    ]


# --- broken templates -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("Hello\n", 1, 'the first line must be "Subject: ..."'),
        ("Subject: x\nHello\n", 2, "the second line must be empty"),
        ("Subject: x\n\nHello\n{{ refrence }}\n", 4, "nobody knows 'refrence' here; did you mean 'reference'?"),
        ("Subject: {{ nmae }}\n\nHello\n", 1, "nobody knows 'nmae' here; did you mean 'name'?"),
        (
            "Subject: x\n\nHello\n\n{% if contract %}{{ contract.nubmer }}{% endif %}\n",
            5,
            "'dict object' has no attribute 'nubmer'; did you mean 'number'?",
        ),
        (
            "Subject: x\n\n{{ answer_due | localtime }}\n",
            3,
            "there is no filter 'localtime'; did you mean 'local_time'?",
        ),
        ("Subject: x\n\nHello {{ answer_due }}\n", 3, "write a time with | local_time, a day with | local_date"),
        ("Subject: x\n\n{% if name %}\n", 3, "Unexpected end of template."),
        ("Subject: x\n\nHello **{{ name }}**\n", 0, "** stands around a value that may be empty; use {% if %}"),
        ("Subject: x\n\nHello `{{ name }}`\n", 3, "a value cannot stand in backticks, where Markdown knows no escapes"),
        ("Subject: {{ name }}\n\nHello\n", 1, "the subject may become empty"),
    ],
)
def test_check_names_file_line_and_what_was_meant(tmp_path, text, line, message):
    templates = Templates([override(tmp_path, text)])

    (problem,) = templates.check()

    assert problem.file == str(tmp_path / "en/customer/opened.md")
    assert problem.line in (line, 0) if "end of template" in message else problem.line == line
    assert message.rstrip(".") in problem.message
    assert "Its reference is AC-1042" in templates.compose_text("en", "customer", [("opened", OPENED)], FRAMED).text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("en/customer/opend.md", "nothing is ever said to customer as 'opend'; did you mean 'opened'?"),
        ("en/costumer/opened.md", "there is no audience 'costumer'; did you mean 'customer'?"),
        ("klingon!/customer/opened.md", "the folder 'klingon!' is no language"),
        ("en/customer/_frame.md", "a frame must hold {{ blocks }}"),
    ],
)
def test_check_names_a_file_in_the_wrong_place(tmp_path, name, message):
    templates = Templates([override(tmp_path, "Subject: x\n\nHello\n", name)])

    assert [problem.message for problem in templates.check()] == [message]


@pytest.mark.parametrize(
    "bomb",
    [
        "{{ 'a' * 10**9 }}",
        "{% for x in range(10**9) %}x{% endfor %}",
        "{{ lipsum(n=100000) }}",
        "{{ 'a'.center(10**9) }}",
        "{{ '%0999999999d' | format(1) }}",
        "{{ 'x' | center(10**9) }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ name.__class__ }}",
        "{% set a = 'xxxxxxxxxx' %}{% set a = a ~ a %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% include 'opened.md' %}",
        "{% for a in commands %}{% for b in commands %}{% for c in commands %}x{% endfor %}{% endfor %}{% endfor %}",
        "{{ name | replace('', 'xxxxxxxxxxxx') }}",
        "{{ (1).__add__ }}",
        "{{ name | indent(10**9) }}",
        "{{ 10**10**10 }}",
        "{{ ('" + "(" * 500 + "') }}{% if " + "(" * 2000 + "1" + ")" * 2000 + " %}{% endif %}",
    ],
)
def test_bombs_are_refused_before_they_are_used(tmp_path, bomb):
    start = time.monotonic()
    templates = Templates([override(tmp_path, f"Subject: x\n\nHello {bomb}\n", "en/agent/new_ticket.md")])

    assert len(templates.check()) == 1
    assert time.monotonic() - start < 5


def test_template_that_is_slow_in_earnest_gives_way_to_the_shipped_one(tmp_path):
    """Two nested loops over a short sample are quick, over long values they are not."""
    text = "Subject: x\n\nHello\n{% for a in lines %}{% for b in lines %}{% if a == b %}x{% endif %}{% endfor %}{% endfor %}"
    templates = Templates([override(tmp_path, text, "en/agent/done.md")])
    many = tuple(f"line {number}" for number in range(3000))

    rendered = templates.compose_text("en", "agent", [("done", {"lines": many})], FRAMED)

    assert templates.check() == []
    assert "Your mail was understood" in rendered.text
    assert "takes more than 50 ms" in rendered.problem or "more than any mail" in rendered.problem
    assert str(tmp_path) in rendered.problem


def test_values_that_are_no_plain_data_end_in_the_built_in_text(shipped):
    rendered = shipped.compose_text("en", "agent", [("returned", {"reason": object(), "words": "my words"})], FRAMED)

    assert "reason is a object, but templates are given plain data only" in rendered.problem
    assert "my words" in rendered.text


def test_naive_times_are_refused(shipped):
    rendered = shipped.compose_text("en", "customer", [("opened", {"answer_due": datetime(2026, 1, 1)})], FRAMED)

    assert "answer_due is a time without a zone" in rendered.problem
    assert "[AC-1042] Your request" in rendered.subject


def test_nothing_raises_for_an_event_that_nobody_knows(shipped):
    rendered = shipped.compose_text("xx", "customer", [("sung", {"words": "la"})], FRAMED)

    assert "there is no template customer/sung" in rendered.problem
    assert "la" in rendered.text


def test_values_that_no_template_can_use_are_reported(shipped):
    rendered = shipped.compose_text("en", "customer", [("opened", {"ticket": {"reference": "AC-1"}})], FRAMED)

    assert rendered.problem == "customer/opened is given ticket, which no template can use"


def test_reload_takes_a_better_file_and_keeps_the_last_good_one(tmp_path):
    folder = override(tmp_path, "Subject: one\n\nHello one.\n")
    templates = Templates([folder])

    def subject() -> str:
        return templates.compose_text("en", "customer", [("opened", OPENED)], FRAMED).subject

    assert subject() == "one"
    override(tmp_path, "Subject: two\n\n{{ broken\n")
    assert subject() == "one"
    assert len(templates.reload()) == 1
    assert subject() == "one"
    override(tmp_path, "Subject: three\n\nHello three.\n")
    assert templates.reload() == []
    assert subject() == "three"
    (tmp_path / "en/customer/opened.md").unlink()
    assert templates.reload() == []
    assert subject() == "[AC-1042] Printer"


def test_unreadable_bytes_are_a_problem_not_a_crash(tmp_path):
    folder = override(tmp_path, "x")
    (folder / "en/customer/opened.md").write_bytes(b"Subject: \xff\xfe\n\nx\n")

    (problem,) = Templates([folder]).check()

    assert "cannot be read" in problem.message


def test_conditions_keep_the_paragraphs_that_one_sees_in_the_file(tmp_path):
    text = "Subject: x\n\nOne{% if name %} two{% endif %}\n\nThree.\n{% if name %}\nFour.\n{% endif %}\n"
    templates = Templates([override(tmp_path, text)])

    rendered = templates.compose_text("en", "customer", [("opened", {})], FRAMED)

    assert "One two\n\nThree. Four.\n" in rendered.text


def test_every_variable_is_used_by_a_shipped_template():
    """A declared name that no text needs would be a promise nobody keeps."""
    for (audience, event), variables in VARIABLES.items():
        text = (shipped_folder() / "en" / audience / f"{event}.md").read_text(encoding="utf-8")
        assert [one.name for one in variables if one.name not in text] == []


def test_frame_values_are_declared_for_every_event():
    assert {variable.name for variable in FRAME} == {"name", "desk", "desk_address", "zone", "reference", "subject"}
