"""Contact and contract files (CSV): rows that can be imported, and every problem found on the way.

Any text at all gives a ``Parsed``. Where it has problems nothing should be imported; they are all listed, so that a
person mends the file once.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Generic, TypeVar

from helpdesk.domain.address import fold, fold_domain
from helpdesk.domain.calendar import known_zone
from helpdesk.domain.proof import Role
from helpdesk.domain.public_domains import PUBLIC_MAIL_DOMAINS

T = TypeVar("T")

CONTRACT_KINDS = ("contract", "subscription")
CONTACT_ROLES = (Role.CONTACT, Role.ADMINISTRATOR, Role.PARTNER)

_CELL_LIMIT = 300
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"  # RFC 5322 section 3.2.3
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Z][a-z]{3})?(?:-[A-Z]{2})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# Signs that turn the writing direction make a name read as another one.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend: its line (from 1), column ("" for the whole line), what was found and what would be legal."""

    file: str
    line: int
    column: str
    found: str
    problem: str
    legal: str = ""

    def __str__(self) -> str:
        where = f"{self.file} line {self.line}" + (f", column {self.column}" if self.column else "")
        found = f"{_short(self.found)!r} " if self.found else ""
        return f"{where}: {found}{self.problem}" + (f"; legal: {self.legal}" if self.legal else "")


@dataclass(frozen=True, slots=True)
class Parsed(Generic[T]):
    """The rows without a problem in order, and the problems in order of their lines."""

    rows: tuple[T, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class ContactRow:
    """A person of an organisation. ``line`` is where the row starts; domain, language and zone may be ""."""

    line: int
    organisation: str
    domain: str
    name: str
    address: str
    role: Role
    language: str
    zone: str


@dataclass(frozen=True, slots=True)
class ContractRow:
    """An agreement with its dates, both inclusive; ``manager`` is the customer manager's address or ""."""

    line: int
    organisation: str
    kind: str
    number: str
    products: tuple[str, ...]
    start: date
    end: date
    manager: str


def decode(data: bytes) -> str:
    """The text of a file: UTF-8 with or without a mark, else Windows-1252, where an impossible octet becomes U+FFFD."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def read_contacts(text: str, file: str) -> Parsed[ContactRow]:
    """The rows of a contacts file (comma or semicolon, first line names the columns); ``file`` is named in problems."""
    sheet = _Sheet(file, required=("organisation", "name", "address"), optional=("domain", "role", "language", "zone"))
    rows: list[ContactRow] = []
    organisations: dict[str, tuple[str, int]] = {}
    for record in sheet.read(text):
        organisation = record.text("organisation")
        address = record.checked("address", address_problem)
        if organisation and address:
            record.belongs_to_one("address", fold(address), organisation, organisations)
        row = ContactRow(
            line=record.line,
            organisation=organisation,
            domain=fold_domain(record.checked("domain", _organisation_domain_problem)),
            name=record.text("name"),
            address=address,
            role=Role(record.choice("role", CONTACT_ROLES) or Role.CONTACT),
            language=record.checked("language", _language_problem),
            zone=record.checked("zone", _zone_problem),
        )
        if record.good:
            rows.append(row)
    return Parsed(tuple(rows), tuple(sheet.problems))


def read_contracts(text: str, file: str) -> Parsed[ContractRow]:
    """The rows of a contracts file, read as ``read_contacts`` does."""
    sheet = _Sheet(file, required=("organisation", "kind", "number", "start", "end"), optional=("products", "manager"))
    rows: list[ContractRow] = []
    numbers: dict[str, tuple[str, int]] = {}
    for record in sheet.read(text):
        organisation, number = record.text("organisation"), record.text("number")
        if organisation and number:
            record.belongs_to_one("number", number.casefold(), organisation, numbers)
        start, end = record.date("start"), record.date("end")
        if start and end and end < start:
            record.report("end", end.isoformat(), f"is before the start, {start}", "the last day of the contract")
        row = ContractRow(
            line=record.line,
            organisation=organisation,
            kind=record.choice("kind", CONTRACT_KINDS),
            number=number,
            products=_products(record.text("products")),
            start=start or date.min,
            end=end or date.max,
            manager=record.checked("manager", address_problem),
        )
        if record.good:
            rows.append(row)
    return Parsed(tuple(rows), tuple(sheet.problems))


def address_problem(address: str) -> tuple[str, str] | None:
    """What is wrong with an address and what would be legal, None when it can be written to.

    Stricter than RFC 5321: no quoted or non-ASCII local parts, no address literals, at least two labels.
    """
    local, _, domain = address.rpartition("@")
    if not _LOCAL.fullmatch(local) or len(local) > 64 or len(address) > 254 or domain_problem(domain):
        return "is not a mail address", "name@example.com"
    return None


def domain_problem(domain: str) -> tuple[str, str] | None:
    """What is wrong with a domain name and what would be legal, None when it is written well (RFC 1123)."""
    wrong = "is not a domain", "a name such as acme.example, without @"
    if any(not _label_written_well(label) for label in domain.split(".")):
        return wrong
    folded = fold_domain(domain)
    labels = folded.split(".")
    well_formed = len(labels) > 1 and len(folded) <= 253 and all(_LABEL.fullmatch(label) for label in labels)
    return None if well_formed and not labels[-1].isdigit() else wrong


@dataclass(slots=True)
class _Record:
    """One line of a file while it is read; problems go to the list of its sheet."""

    sheet: _Sheet
    line: int
    cells: dict[str, str]
    good: bool = True

    def report(self, column: str, found: str, problem: str, legal: str = "") -> None:
        self.good = False
        self.sheet.report(self.line, column, found, problem, legal)

    def text(self, column: str) -> str:
        """A cell on one line without outer space; "" where it has a problem or the file has no such column."""
        if column not in self.cells:
            return ""
        raw = self.cells[column]
        found = " ".join(raw.split())
        if not found and column in self.sheet.required:
            self.report(column, "", "is empty", "a text")
        elif len(raw) > _CELL_LIMIT:
            self.report(column, raw, f"is {len(raw)} characters long", f"at most {_CELL_LIMIT} characters")
        elif not _printable(raw):
            self.report(column, raw, "holds characters that cannot be printed", "plain text in UTF-8")
        else:
            return found
        return ""

    def checked(self, column: str, check: Callable[[str], tuple[str, str] | None]) -> str:
        """A cell that passes a check, else ""."""
        found = self.text(column)
        wrong = check(found) if found else None
        if wrong:
            self.report(column, found, *wrong)
            return ""
        return found

    def choice(self, column: str, legal: tuple[str, ...]) -> str:
        """One of the legal words, in any case; "" where it is none of them."""
        return self.checked(
            column, lambda found: None if found.lower() in legal else ("is not known", ", ".join(legal))
        ).lower()

    def date(self, column: str) -> date | None:
        found = self.checked(column, _date_problem)
        return date.fromisoformat(found) if found else None

    def belongs_to_one(self, column: str, key: str, organisation: str, seen: dict[str, tuple[str, int]]) -> None:
        """Report a value that an earlier line gave to another organisation."""
        other, line = seen.setdefault(key, (organisation, self.line))
        if other.casefold() != organisation.casefold():
            self.report(column, self.text(column), f"belongs to {other!r} in line {line}", "one organisation for each")


@dataclass(slots=True)
class _Sheet:
    """A file with named columns and what is wrong with it."""

    file: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    problems: list[Problem] = field(default_factory=list)

    def report(self, line: int, column: str, found: str, problem: str, legal: str = "") -> None:
        self.problems.append(Problem(self.file, line, column, found, problem, legal))

    def read(self, text: str) -> Iterator[_Record]:
        """The records below the line of column names; empty lines are passed over."""
        columns: list[str] | None = None
        for line, cells in self._lines(text.removeprefix("\ufeff")):
            if columns is None:
                columns = self._columns(line, cells)
            elif len(cells) != len(columns):
                self.report(line, "", "", f"has {len(cells)} cells", f"{len(columns)}, as the first line has")
            else:
                yield _Record(self, line, dict(zip(columns, cells, strict=True)))
        if columns is None:
            self.report(1, "", "", "there is no line of column names", ", ".join(self.required + self.optional))

    def _lines(self, text: str) -> Iterator[tuple[int, list[str]]]:
        """Line number and cells; what the csv module refuses is reported and passed over."""
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                self.report(line, "", "", f"cannot be read ({error})", 'cells with quotes as "a ""quoted"" word"')
            else:
                if any(cell.strip() for cell in cells):
                    yield line, cells

    def _columns(self, line: int, cells: list[str]) -> list[str]:
        columns = [cell.strip().lower() for cell in cells]
        legal = ", ".join(self.required + self.optional)
        for position, column in enumerate(columns):
            if column not in self.required + self.optional:
                self.report(line, _short(column) or f"number {position + 1}", "", "is not known", legal)
            elif column in columns[:position]:
                self.report(line, column, "", "is there twice", legal)
        for column in self.required:
            if column not in columns:
                self.report(line, column, "", "is missing", legal)
        return columns


def _delimiter(text: str) -> str:
    names = next((line for line in text.splitlines() if line.strip()), "")
    return ";" if names.count(";") > names.count(",") else ","


def _printable(text: str) -> bool:
    """No control character but line break and tab, no lone surrogate, nothing undecodable or turning the line."""
    return not any(
        (unicodedata.category(sign) in ("Cc", "Cs") and sign not in "\r\n\t") or sign in _TURNING or sign == "\ufffd"
        for sign in text
    )


def _label_written_well(label: str) -> bool:
    """ASCII, or letters of one script's own form: a full-width ``ａ`` is not taken for an ``a``."""
    if label.isascii():
        return bool(_LABEL.fullmatch(label.lower()))
    letters = all(unicodedata.category(sign)[0] in "LMN" or sign == "-" for sign in label)
    return letters and unicodedata.is_normalized("NFKC", label)


def _organisation_domain_problem(domain: str) -> tuple[str, str] | None:
    if fold_domain(domain) in PUBLIC_MAIL_DOMAINS:
        return "is a public mail domain", "the organisation's own domain, or nothing"
    return domain_problem(domain)


def _language_problem(language: str) -> tuple[str, str] | None:
    return None if _LANGUAGE.fullmatch(language) else ("is not a language", "en, de, pt-BR and the like")


def _zone_problem(zone: str) -> tuple[str, str] | None:
    try:
        known_zone(zone)
    except ValueError:
        return "is not a time zone", "a name of the IANA database such as Europe/Berlin"
    return None


def _date_problem(text: str) -> tuple[str, str] | None:
    try:
        if _DATE.fullmatch(text) and date.fromisoformat(text):
            return None
    except ValueError:
        pass
    return "is not a date", "YYYY-MM-DD (DD.MM.YYYY is not taken)"


def _products(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(product.strip() for product in text.split("|") if product.strip()))


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
