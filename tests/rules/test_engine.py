"""The engine and the binding of a policy's lines to rules."""

from __future__ import annotations

import pytest

from helpdesk.domain.decision import Audience, Drop, Step, Suppress, Verdict
from helpdesk.domain.errors import ConfigError
from helpdesk.domain.facts import Facts, Trigger
from helpdesk.rules import bind
from helpdesk.rules.engine import Rule, decide
from tests.rules.facts import mail, opened

FILE = "desks/acme.toml"


def test_later_rules_see_what_earlier_ones_did():
    seen: list[tuple[Audience, ...]] = []

    def look(facts: Facts) -> None:
        seen.append(facts.suppressed)

    quiet = Verdict((Suppress(Audience.CUSTOMER),), "quiet")
    decide(mail(), [Rule("first", look), Rule("quiet", lambda facts: quiet), Rule("last", look)])

    assert seen == [(), (Audience.CUSTOMER,)]


def test_a_final_verdict_ends_the_list():
    end = Verdict((Drop("enough"),), "enough", final=True)
    never = Verdict((), "never asked")

    decision = decide(
        mail(), [Rule("a", lambda facts: None), Rule("b", lambda facts: end), Rule("c", lambda facts: never)]
    )

    assert decision.steps == (Step("b", "enough", (Drop("enough"),), True),)


def test_no_rules_decide_nothing():
    assert decide(mail(), []).effects == ()


def test_options_of_the_policy_reach_the_rule():
    (rule,) = bind(Trigger.MAIL, [("drop_own_mail", {"max_hops": 0})], FILE)
    (patient,) = bind(Trigger.MAIL, [("require_contract", {"grace_days": 14})], FILE)

    assert rule.name == "drop_own_mail"
    assert rule.check(mail()) is None
    assert patient.check(opened(contracts=())).final


@pytest.mark.parametrize(
    ("trigger", "line", "key", "legal"),
    [
        (Trigger.MAIL, ("no_such_rule", {}), "on_mail.2.rule", "drop_own_mail"),
        (Trigger.TIMER, ("drop_own_mail", {}), "on_timer.2.rule", "remind_agent, tell_lead"),
        (Trigger.MAIL, ("require_contract", {"grace": 1}), "on_mail.2.grace", "grace_days"),
        (Trigger.MAIL, ("open_ticket", {"grace_days": 1}), "on_mail.2.grace_days", "none"),
        (Trigger.MAIL, ("require_contract", {"grace_days": "14"}), "on_mail.2.grace_days", "a value of type int"),
        (Trigger.MAIL, ("require_contract", {"grace_days": True}), "on_mail.2.grace_days", "a value of type int"),
    ],
    ids=["unknown rule", "rule of another kind", "unknown option", "no options", "text", "true is no number"],
)
def test_a_wrong_line_names_file_key_and_what_is_legal(trigger, line, key, legal):
    first = {Trigger.MAIL: "open_ticket", Trigger.TIMER: "tell_lead"}[trigger]

    with pytest.raises(ConfigError) as caught:
        bind(trigger, [(first, {}), line], FILE)

    assert (caught.value.file, caught.value.key) == (FILE, key)
    assert legal in caught.value.legal


def test_an_answer_that_nobody_would_hear_is_not_asked_for():
    asking = ("hear_agent", {"confirming_reply": True})
    with pytest.raises(ConfigError, match=r"on_mail\.1\.confirming_reply.*hear_confirmation above it"):
        bind(Trigger.MAIL, [asking, ("hear_confirmation", {})], FILE)

    assert len(bind(Trigger.MAIL, [("hear_confirmation", {}), asking], FILE)) == 2
