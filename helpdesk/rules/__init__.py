"""Facts -> Verdict: one rule per file, named after what it enforces; order and options stand in the desk's policy.

A rule module has ``check(facts)`` or, with a frozen ``Options`` dataclass, ``check(facts, options)``. Its docstring is
its line in the documentation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import Any

from helpdesk.domain.errors import ConfigError
from helpdesk.domain.facts import Trigger
from helpdesk.rules import (
    acknowledge,
    add_to_ticket,
    answer_no_machine,
    ask_unknown_sender,
    assign_agent,
    brake_rapid,
    brake_repeats,
    clear_address,
    drop_own_mail,
    file_report,
    hear_agent,
    hear_confirmation,
    hear_operator,
    join_ticket,
    mark_address,
    notify_agent,
    open_ticket,
    ration_automatic_mail,
    release_renewed,
    remind_agent,
    require_contract,
    set_aside_spam,
    set_aside_unreadable,
    stop_first_response,
    take_forward,
    tell_lead,
    tell_undeliverable,
)
from helpdesk.rules.engine import Rule

RULES: Mapping[Trigger, tuple[ModuleType, ...]] = {
    Trigger.MAIL: (
        drop_own_mail,
        set_aside_unreadable,
        hear_operator,
        hear_confirmation,
        answer_no_machine,
        ration_automatic_mail,
        brake_rapid,
        clear_address,
        join_ticket,
        set_aside_spam,
        file_report,
        brake_repeats,
        take_forward,
        hear_agent,
        add_to_ticket,
        open_ticket,
        assign_agent,
        ask_unknown_sender,
        require_contract,
        acknowledge,
        notify_agent,
    ),
    Trigger.TIMER: (remind_agent, tell_lead),
    Trigger.CHANGE: (release_renewed,),
    Trigger.DELIVERY: (stop_first_response, tell_undeliverable, mark_address),
}


def named(trigger: Trigger) -> dict[str, ModuleType]:
    """The rules that may stand under ``[[on_<trigger>]]``, by name."""
    return {module.__name__.rpartition(".")[2]: module for module in RULES[trigger]}


def bind(trigger: Trigger, lines: Sequence[tuple[str, Mapping[str, Any]]], file: str) -> tuple[Rule, ...]:
    """Policy lines (name, options) -> rules; raises ConfigError naming file, key path and what would be legal."""
    names = [name for name, _ in lines]
    for number, (_, options) in enumerate(lines):
        if options.get("confirming_reply") and "hear_confirmation" not in names[:number]:
            key = f"on_{trigger}.{number + 1}.confirming_reply"
            raise ConfigError(file, key, "nobody would hear the reply", "with the rule hear_confirmation above it")
    return tuple(
        _bind_one(trigger, name, options, file, f"on_{trigger}.{number}")
        for number, (name, options) in enumerate(lines, start=1)
    )


def _bind_one(trigger: Trigger, name: str, options: Mapping[str, Any], file: str, key: str) -> Rule:
    known = named(trigger)
    if name not in known:
        raise ConfigError(file, f"{key}.rule", f"there is no rule '{name}' for {trigger}", ", ".join(known))
    module = known[name]
    kind = getattr(module, "Options", None)
    legal = {field.name: field for field in dataclasses.fields(kind)} if kind else {}
    for option, value in options.items():
        if option not in legal:
            raise ConfigError(file, f"{key}.{option}", f"{name} has no such option", ", ".join(legal) or "none")
        wanted = type(legal[option].default)
        if type(value) is not wanted:
            raise ConfigError(file, f"{key}.{option}", f"{value!r} does not fit", f"a value of type {wanted.__name__}")
    return Rule(name, partial(module.check, options=kind(**options)) if kind else module.check)
