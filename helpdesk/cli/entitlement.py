"""``helpdesk entitlement``: is this person covered, by what, and why."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from helpdesk.cli.opened import clock, database
from helpdesk.cli.terminal import Stopped, one_line, say, show_json
from helpdesk.domain.address import fold

if TYPE_CHECKING:
    import sqlalchemy as sa

    from helpdesk.settings import Settings


@click.command()
@click.argument("address")
@click.option("--on", "day", metavar="DATE", type=click.DateTime(["%Y-%m-%d"]), help="Judge on this day, not today.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, one object for each desk.")
@click.pass_obj
def entitlement(folder: Path, address: str, day: datetime | None, as_json: bool) -> int:
    """Say whether the person with this ADDRESS is covered at each desk; ends with 0 if at one, else 1."""
    from helpdesk.settings import load
    from helpdesk.store.engine import reading

    if not fold(address):
        raise Stopped(f"{address} is not a mail address; legal: name@domain", os.EX_DATAERR)
    settings = load(folder)
    with database(settings) as engine, reading(engine).begin() as connection:
        answers = [_answer(connection, settings, key, address, day) for key in settings.desks]
    if as_json:
        show_json(answers)
    else:
        for position, answer in enumerate(answers):
            say(("\n" if position else "") + _in_words(answer))
    sys.stdout.flush()
    return 0 if any(answer["covered"] for answer in answers) else 1


def _answer(
    connection: sa.Connection, settings: Settings, key: str, address: str, day: datetime | None
) -> dict[str, Any]:
    """The answer of one desk; its calendar's zone says which day it is."""
    from helpdesk.domain.contract import entitlement as judge
    from helpdesk.store import people

    desk = settings.desks[key]
    zone = ZoneInfo(settings.calendars[desk.calendar].zone)
    on = day.date() if day else clock(settings)().astimezone(zone).date()
    person = people.by_address(connection, desk.tenant, address, on)
    group = person.organisation if person else people.by_domain(connection, desk.tenant, address)
    contracts = people.contracts_of(connection, group.id) if group else ()
    found = judge(contracts, on, _grace_days(settings, key))
    return {
        "desk": key,
        "address": fold(address),
        "person": person.called if person else None,
        "organisation": group.name if group else None,
        "by_domain": bool(group and not person),
        "on": on.isoformat(),
        "covered": found.covered,
        "cover": found.cover.value,
        "why": found.why() if group else "nobody we know: he would be asked for company and contract number",
        "contracts": [
            {
                "kind": one.kind,
                "number": one.number,
                "starts": one.starts.isoformat(),
                "ends": one.ends.isoformat(),
                "products": list(one.products),
                "manager": one.manager,
            }
            for one in sorted(contracts, key=lambda one: (one.starts, one.number))
        ],
    }


def _grace_days(settings: Settings, key: str) -> int:
    from helpdesk.settings import policy_lines

    _, lines = policy_lines(settings, key, settings.desks[key], "mail")
    return next((int(options.get("grace_days", 0)) for rule, options in lines if rule == "require_contract"), 0)


def _in_words(answer: dict[str, Any]) -> str:
    who = answer["person"] or answer["address"]
    whose = f" of {answer['organisation']}" if answer["organisation"] else ""
    how = " (by the domain, once he is proven)" if answer["by_domain"] else ""
    lines = [
        f"{who}{whose}{how}, desk {answer['desk']}, on {answer['on']}:",
        f"  {'covered' if answer['covered'] else 'not covered'}: {answer['why']}",
    ]
    for one in answer["contracts"]:
        products = f"  ({', '.join(one['products'])})" if one["products"] else ""
        lines.append(f"  {one['kind']} {one['number']}: {one['starts']} to {one['ends']}{products}")
    return "\n".join(one_line(line) for line in lines)
