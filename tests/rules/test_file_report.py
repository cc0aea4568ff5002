from __future__ import annotations

import pytest

from helpdesk.domain.reading import Kind
from helpdesk.rules.file_report import check
from tests.rules.facts import kinds, mail, reading, ticket

REPORTS = [Kind.BOUNCE, Kind.DELAYED, Kind.RECEIPT]


@pytest.mark.parametrize(
    ("kind", "effects"),
    [
        (Kind.BOUNCE, ["AddEntry third party entry", "Say agent customer_wrote"]),
        (Kind.DELAYED, ["AddEntry third party entry"]),
        (Kind.RECEIPT, ["AddEntry third party entry"]),
    ],
)
def test_files_a_report_with_its_ticket(kind, effects):
    verdict = check(mail(reading=reading(kind=kind, sender=None), ticket=ticket()))

    assert kinds(verdict.effects) == effects
    assert verdict.final


@pytest.mark.parametrize("kind", REPORTS)
def test_a_report_never_opens_a_ticket(kind):
    verdict = check(mail(reading=reading(kind=kind, sender=None)))

    assert kinds(verdict.effects) == ["Drop"]
    assert verdict.final


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in REPORTS])
def test_leaves_other_mails(kind):
    assert check(mail(reading=reading(kind=kind), ticket=ticket())) is None
