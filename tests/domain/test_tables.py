"""Contact and contract files: what is read, and that every mistake is named where it is."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpdesk.domain.proof import Role
from helpdesk.domain.public_domains import PUBLIC_MAIL_DOMAINS
from helpdesk.domain.tables import (
    ContactRow,
    ContractRow,
    address_problem,
    decode,
    domain_problem,
    read_contacts,
    read_contracts,
)

CONTACTS = "organisation,domain,name,address,role,language,zone\n"
CONTRACTS = "organisation,kind,number,products,start,end,manager\n"
GOOD_CONTRACT = "Acme,contract,C-1,Press|Mill,2026-01-01,2026-12-31,mia@desk.example\n"


def contact(**cells: str) -> str:
    row = {
        "organisation": "Acme",
        "domain": "",
        "name": "Bob",
        "address": "bob@acme.example",
        "role": "",
        "language": "",
    }
    return CONTACTS + ",".join((row | {"zone": ""} | cells).values()) + "\n"


def contract(**cells: str) -> str:
    names = CONTRACTS.strip().split(",")
    row = dict(zip(names, GOOD_CONTRACT.strip().split(","), strict=True))
    return CONTRACTS + ",".join((row | cells).values()) + "\n"


def words(parsed) -> list[str]:
    return [str(problem) for problem in parsed.problems]


def test_reads_contacts():
    parsed = read_contacts(
        CONTACTS
        + "Acme,acme.example,Bob Smith,Bob@acme.example,administrator,de,Europe/Berlin\n"
        + "Acme,,Ann,ann@acme.example,,,\n",
        "contacts.csv",
    )

    assert parsed.problems == ()
    assert parsed.rows == (
        ContactRow(
            2, "Acme", "acme.example", "Bob Smith", "Bob@acme.example", Role.ADMINISTRATOR, "de", "Europe/Berlin"
        ),
        ContactRow(3, "Acme", "", "Ann", "ann@acme.example", Role.CONTACT, "", ""),
    )


def test_reads_contracts():
    parsed = read_contracts(
        CONTRACTS + GOOD_CONTRACT + "Acme,Subscription,S-1,,2026-01-01,2026-01-01,\n", "contracts.csv"
    )

    assert parsed.problems == ()
    assert parsed.rows == (
        ContractRow(
            2, "Acme", "contract", "C-1", ("Press", "Mill"), date(2026, 1, 1), date(2026, 12, 31), "mia@desk.example"
        ),
        ContractRow(3, "Acme", "subscription", "S-1", (), date(2026, 1, 1), date(2026, 1, 1), ""),
    )


@pytest.mark.parametrize(
    "text",
    [
        "\ufefforganisation;name;address\r\nAcme;Bob;bob@acme.example\r\n",
        "Address , ORGANISATION,name\nbob@acme.example, Acme ,  Bob\n",
        '\n\n"organisation","name","address"\n\n"Acme","Bob","bob@acme.example"\n,,\n',
        "organisation;name;address\rAcme;Bob;bob@acme.example",
    ],
)
def test_spreadsheets_differ_in_marks_delimiters_case_and_order(text):
    parsed = read_contacts(text, "contacts.csv")

    assert parsed.problems == ()
    assert [(row.organisation, row.name, row.address) for row in parsed.rows] == [("Acme", "Bob", "bob@acme.example")]


def test_delimiter_of_the_first_line_counts():
    parsed = read_contacts('organisation;name;address\n"Acme; Sons";Smith, Bob;bob@acme.example\n', "contacts.csv")

    assert [(row.organisation, row.name) for row in parsed.rows] == [("Acme; Sons", "Smith, Bob")]


def test_lines_are_counted_over_quoted_line_breaks():
    text = CONTACTS + '"Acme\nSons",,"Bob ""the"" Smith",bob@acme.example,,,\r\n\r\nAcme,,Ann,nobody,,,\n'

    parsed = read_contacts(text, "contacts.csv")

    assert (parsed.rows[0].organisation, parsed.rows[0].name, parsed.rows[0].line) == (
        "Acme Sons",
        'Bob "the" Smith',
        2,
    )
    assert words(parsed) == [
        "contacts.csv line 5, column address: 'nobody' is not a mail address; legal: name@example.com"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            contact(domain="gmail.com"),
            "column domain: 'gmail.com' is a public mail domain; legal: the organisation's own",
        ),
        (contact(domain="GMX.DE"), "column domain: 'GMX.DE' is a public mail domain"),
        (contact(domain="bob@acme.example"), "column domain: 'bob@acme.example' is not a domain"),
        (contact(domain="acme"), "column domain: 'acme' is not a domain"),
        (contact(address="bob"), "column address: 'bob' is not a mail address"),
        (contact(address="Bob <bob@acme.example>"), "column address: 'Bob <bob@acme.example>' is not a mail address"),
        (contact(address=""), "column address: is empty"),
        (contact(name=" "), "column name: is empty"),
        (contact(organisation=""), "column organisation: is empty"),
        (contact(role="boss"), "column role: 'boss' is not known; legal: contact, administrator, partner"),
        (contact(role="agent"), "column role: 'agent' is not known"),
        (contact(language="german"), "column language: 'german' is not a language; legal: en, de, pt-BR"),
        (contact(zone="Berlin"), "column zone: 'Berlin' is not a time zone; legal: a name of the IANA database"),
        (contact(zone="Europe"), "column zone: 'Europe' is not a time zone"),
        (contact(name="Bob\0"), "column name: 'Bob\\x00' holds characters that cannot be printed"),
        (contact(name="Bob\u202egpj"), "column name: 'Bob\\u202egpj' holds characters that cannot be printed"),
        (contact(name="B\ufffdb"), "column name: 'B\ufffdb' holds characters that cannot be printed"),
        (contact(name="\ud800"), "column name: '\\ud800' holds characters that cannot be printed"),
        (contact(name="B" * 301), "column name: 'BBB"),
        (contact(name="B" * 200_000), "cannot be read (field larger than field limit"),
        (contact(zone="UTC,more"), "has 8 cells; legal: 7, as the first line has"),
        (CONTACTS + "Acme,\n", "has 2 cells; legal: 7"),
    ],
)
def test_names_what_is_wrong_with_a_contact(text, problem):
    parsed = read_contacts(text, "contacts.csv")

    assert parsed.rows == ()
    assert len(parsed.problems) == 1
    assert words(parsed)[0].startswith("contacts.csv line 2")
    assert problem in words(parsed)[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            contract(end="31.12.2026"),
            "contracts.csv line 2, column end: '31.12.2026' is not a date; legal: YYYY-MM-DD (DD.MM.YYYY is not taken)",
        ),
        (contract(start="2026-02-30"), "column start: '2026-02-30' is not a date"),
        (contract(start="20260101"), "column start: '20260101' is not a date"),
        (contract(start="٢٠٢٦-٠١-٠١"), "is not a date"),
        (contract(start="2027-01-01"), "column end: '2026-12-31' is before the start, 2027-01-01"),
        (contract(end=""), "column end: is empty"),
        (contract(number=""), "column number: is empty"),
        (contract(kind="licence"), "column kind: 'licence' is not known; legal: contract, subscription"),
        (contract(manager="Mia"), "column manager: 'Mia' is not a mail address"),
    ],
)
def test_names_what_is_wrong_with_a_contract(text, problem):
    parsed = read_contracts(text, "contracts.csv")

    assert parsed.rows == ()
    assert len(parsed.problems) == 1
    assert problem in words(parsed)[0]


def test_an_address_belongs_to_one_organisation():
    text = CONTACTS + "".join(
        f"{organisation},,Bob,{address},,,\n"
        for organisation, address in [
            ("Acme", "bob@acme.example"),
            ("ACME", "Bob@Acme.example"),
            ("Umbrella", "BOB@acme.example"),
        ]
    )

    assert words(read_contacts(text, "contacts.csv")) == [
        "contacts.csv line 4, column address: 'BOB@acme.example' belongs to 'Acme' in line 2; "
        "legal: one organisation for each"
    ]


def test_a_contract_number_belongs_to_one_organisation_and_may_be_renewed():
    text = CONTRACTS + GOOD_CONTRACT + GOOD_CONTRACT.replace("2026", "2027") + GOOD_CONTRACT.replace("Acme", "Umbrella")

    assert [(problem.line, problem.column) for problem in read_contracts(text, "contracts.csv").problems] == [
        (4, "number")
    ]


def test_lists_all_problems_of_a_file_in_order():
    text = CONTRACTS + contract(end="soon", kind="x", number="").split("\n")[1] + "\n" + GOOD_CONTRACT + "Acme\n"

    parsed = read_contracts(text, "contracts.csv")

    assert [(problem.line, problem.column) for problem in parsed.problems] == [
        (2, "number"), (2, "end"), (2, "kind"), (4, ""),
    ]  # fmt: skip
    assert len(parsed.rows) == 1


@pytest.mark.parametrize(
    ("header", "problems"),
    [
        (
            "organisation,name",
            ["column address: is missing; legal: organisation, name, address, domain, role, language, zone"],
        ),
        ("organisation,name,address,phone", ["column phone: is not known; legal: organisation, name, address"]),
        ("organisation,name,address,", ["column number 4: is not known"]),
        ("organisation,name,address,name", ["column name: is there twice"]),
        (
            "company,name,mail",
            ["column company", "column mail", "column organisation: is missing", "column address: is missing"],
        ),
        ("", ["there is no line of column names"]),
    ],
)
def test_names_wrong_columns(header, problems):
    found = words(read_contacts(header, "contacts.csv"))

    assert len(found) == len(problems)
    for line, problem in zip(found, problems, strict=True):
        assert line.startswith("contacts.csv line 1")
        assert problem in line


def test_lines_below_a_wrong_header_are_checked_too():
    found = words(read_contacts("organisation,phone,address\nAcme,1,nobody\n", "contacts.csv"))

    assert [line.partition(": ")[0] for line in found] == [
        "contacts.csv line 1, column phone",
        "contacts.csv line 1, column name",
        "contacts.csv line 2, column address",
    ]


@pytest.mark.parametrize(
    "text",
    [CONTACTS + 'Acme,,"Bob,bob@acme.example,,,\n', CONTACTS + 'Acme,,"Bob"x,bob@acme.example,,,\n', '"organisation'],
)
def test_broken_quotes_are_problems(text):
    parsed = read_contacts(text, "contacts.csv")

    assert parsed.rows == ()
    assert "cannot be read" in words(parsed)[0]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("\ufeffMüller".encode(), "Müller"),
        ("Müller".encode(), "Müller"),
        ("Müller €".encode("cp1252"), "Müller €"),
        (b"M\x81ller\xff", "M\ufffdllerÿ"),
        (b"", ""),
    ],
)
def test_decodes_what_spreadsheets_write(data, text):
    assert decode(data) == text


@pytest.mark.parametrize(
    "address",
    ["bob@acme.example", "b.o'b+x@a-b.acme.example", "bob@müller.example", "bob@xn--mller-kva.example", "x@1.example"],
)
def test_addresses_that_can_be_written_to(address):
    assert address_problem(address) is None


@pytest.mark.parametrize(
    "address",
    [
        "", "@", "bob@", "@acme.example", "bob@acme", "bob@@acme.example", "b ob@acme.example", "bob.@acme.example",
        ".bob@acme.example", "b..b@acme.example", '"bob"@acme.example', "bob@[192.0.2.1]", "bob@192.0.2.1",
        "bob@-a.example", "bob@a-.example", "bob@acme..example", "bob@acme.example.", "bob@ac_me.example",
        "bob@acme.example\n", "böb@acme.example", "bob@corp．example", "bob@ａcme.example", "bob,ann@acme.example",
        "a" * 65 + "@acme.example", "bob@" + "a" * 64 + ".example", "bob@" + "ä" * 60 + ".example",
        "bob@" + "a.example" * 40, "bob@\u202eacme.example",
    ],
)  # fmt: skip
def test_addresses_that_cannot_be_written_to(address):
    assert address_problem(address) is not None


def test_public_domains_are_written_well():
    assert len(PUBLIC_MAIL_DOMAINS) > 120
    assert [name for name in PUBLIC_MAIL_DOMAINS if name != name.lower() or domain_problem(name)] == []


LINES = st.lists(
    st.lists(
        st.sampled_from(
            ["Acme", "bob@acme.example", "2026-01-01", "contract", '"', "", "\0", "\ud800", "=1+1", "ü" * 400]
        )
        | st.text(max_size=12),
        max_size=9,
    ).map(",".join),
    max_size=6,
)


@given(
    st.text(max_size=200)
    | st.builds(lambda header, lines: header + "\n".join(lines), st.sampled_from([CONTACTS, CONTRACTS]), LINES)
)
@settings(max_examples=400, deadline=None)
def test_any_text_is_read_without_raising(text):
    for parsed in (read_contacts(text, "f.csv"), read_contracts(text, "f.csv")):
        assert all(str(problem).startswith("f.csv line ") for problem in parsed.problems)
        assert all(a.line < b.line for a, b in pairwise(parsed.rows))
        assert all(a.line <= b.line for a, b in pairwise(parsed.problems))


@given(st.binary(max_size=200))
@settings(max_examples=100)
def test_any_octets_are_decoded_and_read(data):
    read_contacts(CONTACTS + decode(data), "f.csv")
