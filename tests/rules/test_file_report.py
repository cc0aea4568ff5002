from __future__ import annotations

import pytest

from helpdesk.domain.decision import PassReport
from helpdesk.domain.reading import Kind
from helpdesk.rules.file_report import check
from tests.rules.facts import kinds, mail, reading, returned, ticket

REPORTS = [Kind.BOUNCE, Kind.DELAYED, Kind.RECEIPT]
FILED = ["AddEntry report"]


def report(kind, **more):
    return mail(reading=reading(kind=kind, sender=None), **more)


@pytest.mark.parametrize(
    ("kind", "about", "effects"),
    [
        (Kind.BOUNCE, returned(), [*FILED, "PassReport"]),
        (Kind.BOUNCE, returned(action=""), [*FILED, "PassReport"]),
        (Kind.BOUNCE, returned(known=True), FILED),
        (Kind.BOUNCE, returned("delayed", "4.2.0"), FILED),
        (Kind.BOUNCE, returned("delivered", "2.0.0"), FILED),
        (Kind.DELAYED, returned("delayed", "4.2.0"), FILED),
        (Kind.RECEIPT, returned("delivered", "2.0.0"), [*FILED, "ClearAddress"]),
        (Kind.RECEIPT, None, FILED),
    ],
)
def test_files_a_report_with_the_ticket_of_our_mail(kind, about, effects):
    verdict = check(report(kind, ticket=ticket(), returned=about))

    assert kinds(verdict.effects) == effects
    assert verdict.final


def test_says_which_mail_came_back_and_why():
    verdict = check(report(Kind.BOUNCE, ticket=ticket(), returned=returned()))

    assert verdict.effects[1] == PassReport(55, "5.1.1", "550 5.1.1 no such user")


@pytest.mark.parametrize("kind", REPORTS)
def test_a_report_never_opens_a_ticket(kind):
    verdict = check(report(kind))

    assert kinds(verdict.effects) == ["Drop"]
    assert verdict.final


@pytest.mark.parametrize("kind", [Kind.BOUNCE, Kind.DELAYED])
def test_a_report_about_no_mail_of_ours_is_dropped_though_it_names_a_ticket(kind):
    assert kinds(check(report(kind, ticket=ticket())).effects) == ["Drop"]


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in REPORTS])
def test_leaves_other_mails(kind):
    assert check(mail(reading=reading(kind=kind), ticket=ticket())) is None


@pytest.mark.parametrize(
    ("kind", "dropped"),
    [(Kind.OUT_OF_OFFICE, True), (Kind.AUTO_REPLY, True), (Kind.HUMAN, False), (Kind.BULK, False)],
)
def test_a_machine_that_writes_to_a_return_path_of_nothing_opens_no_ticket(kind, dropped):
    facts = mail(reading=reading(kind=kind), to_return_path=True)

    assert (check(facts) is not None) is dropped
    assert check(mail(reading=reading(kind=kind), to_return_path=True, ticket=ticket())) is None
