"""Templates become the subject, the text and the HTML of a mail, and never stop it.

    template + values --Jinja2--> Markdown --tokens--> text and HTML --> values and verbatim words put in

A template is ``<folder>/<language>/<audience>/<event>.md``: a ``Subject:`` line, an empty line, Markdown. Only a small
part of Jinja2 is allowed in it: ``if``, ``for``, comparisons and the filters below. Without calls, assignments and
arithmetic the work of a template is bounded by its own size and that of its values, so the known bombs (huge ranges,
repeated strings, padded formats) cannot be written at all. Values are plain data and never Markdown: placeholders stand
for them until both forms are made, which also lets all mails of one shape share their tokens.

A file is used once it has rendered every sample without complaint. If it fails all the same, or takes too long, the
next best version is used, at last a text built in here.
"""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jinja2
from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime, format_time, get_timezone_location
from jinja2 import meta, nodes
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment
from markdown_it.token import Token

from helpdesk.outbound import markdown
from helpdesk.outbound.layout import Layout
from helpdesk.outbound.template_variables import (
    AUDIENCES,
    FRAME,
    FRAME_EVENT,
    PERSONAL,
    VARIABLES,
    Variable,
    Words,
    declared,
)

__all__ = ["Problem", "Rendered", "Templates", "Words", "shipped_folder"]

#: Processor seconds of the calling thread, so that a busy machine does not make a good template fail.
SECONDS = 0.05
#: The time is looked at after so many pieces of text, of which each is bounded.
PIECES = 32
LONGEST_RENDERING = 500_000
LONGEST_VALUE = 2000
#: Tokens and HTML of so many shapes of mails are kept.
SHAPES = 500
DEEPEST_LOOPS = 2

# Stand for verbatim words until both forms are rendered; taken out of every other value.
_OPEN, _CLOSE = "\ue000", "\ue001"
_SLOT = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
_SLOT_PARAGRAPH = re.compile(f"<p[^>]*>{_OPEN}(\\d+){_CLOSE}</p>")
_NOT_IN_VALUES = re.compile(f"[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff{_OPEN}{_CLOSE}{markdown.OPEN}{markdown.CLOSE}]")
_NOT_IN_WORDS = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")

_ALLOWED_NODES = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.Getattr,
    nodes.Getitem,
    nodes.If,
    nodes.For,
    nodes.CondExpr,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Compare,
    nodes.Operand,
    nodes.Filter,
    nodes.Test,
    nodes.Concat,
    nodes.List,
    nodes.Tuple,
)
_KEPT_FILTERS = (
    "default",
    "first",
    "join",
    "last",
    "length",
    "lower",
    "title",
    "trim",
    "truncate",
    "upper",
    "urlencode",
)
_KEPT_TESTS = ("defined", "none", "in", "eq", "ne", "==", "!=")
_PATTERNS = {
    "en": ("EEEE, d MMMM y, HH:mm", "d MMMM y", "EEEE d MMMM, HH:mm", "{0} ({1} time)"),
    "de": ("EEEE, d. MMMM y, HH:mm 'Uhr'", "d. MMMM y", "EEEE, d. MMMM, HH:mm 'Uhr'", "{0} (Ortszeit {1})"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a template, for the person who mends it; ``line`` is 0 where it is about the whole file."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}: line {self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A mail's words; ``problem`` is empty, or says to the operator which template failed and why."""

    subject: str
    text: str
    html: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Template:
    """One file, compiled; ``source`` is its text, so that an unchanged file is not examined again."""

    file: Path
    language: str
    audience: str
    event: str
    source: str
    subject: jinja2.Template | None
    body: jinja2.Template


@dataclass(slots=True)
class _Mail:
    """What is collected while one mail is rendered: words, values, complaints."""

    slots: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    written: int = 0
    problems: list[str] = field(default_factory=list)


class _Markdown(str):
    """Markdown that is inserted as it is."""

    __slots__ = ()


class _Fault(Exception):
    """Why a template cannot be used, and in which line of its file."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


def shipped_folder() -> Path:
    """Where our own templates are: in the installed package, else beside it in the source tree."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "templates"
    return installed if installed.is_dir() else package.parent / "templates"


class Templates:
    """All templates of the folders, those of an earlier folder before those of a later one.

    The shipped folder is always the last. May be used from several threads.
    """

    def __init__(self, folders: Sequence[Path] = (), fallback_language: str = "en") -> None:
        shipped = shipped_folder()
        self._folders = (*(folder for folder in folders if folder.resolve() != shipped.resolve()), shipped)
        self._fallback = fallback_language
        self._layout = Layout(shipped / "layout.html")
        self._good: dict[Path, _Template] = {}
        self._versions: dict[tuple[str, str, str], tuple[_Template, ...]] = {}
        self._shapes: dict[str, tuple[Sequence[Token], str]] = {}
        #: What is wrong with the files as they were last read.
        self.problems: list[Problem] = []
        self.reload()

    def reload(self) -> list[Problem]:
        """Take up what has changed on the disk; a file that does not check keeps its last good version."""
        found, problems = self._survey()
        good: dict[Path, _Template] = {}
        versions: dict[tuple[str, str, str], tuple[_Template, ...]] = {}
        for path, template in found:
            chosen = template or self._good.get(path)
            if chosen is not None:
                good[path] = chosen
                key = (chosen.language, chosen.audience, chosen.event)
                versions[key] = (*versions.get(key, ()), chosen)
        self._good, self._versions, self.problems = good, versions, problems
        return problems

    def check(self) -> list[Problem]:
        """Everything that is wrong with the files as they are now; changes nothing."""
        return self._survey()[1]

    def variables(self, audience: str, event: str) -> tuple[Variable, ...]:
        """The names that this template may use."""
        return declared(_folder_of(audience), event)

    def compose_text(
        self,
        language: str,
        audience: str,
        blocks: Sequence[tuple[str, Mapping[str, object]]],
        frame: Mapping[str, object],
    ) -> Rendered:
        """One mail of all that was said: the subject of the first block, every block's text, the audience's frame.

        ``frame`` holds what belongs to the mail (name, desk, desk_address, zone, reference, subject) and is seen by
        every block too, whose own values come first. Raises nothing.
        """
        folder, mail = _folder_of(audience), _Mail()
        subject, bodies = "", []
        for event, values in blocks:
            one_subject, body = self._render(mail, language, folder, event, {**frame, **values})
            subject = subject or one_subject
            bodies.append(body)
        said = _Markdown("\n\n" + "\n\n".join(bodies) + "\n\n")
        personal = any(event in PERSONAL for event, _ in blocks)
        wrapped = {**frame, "blocks": said, "personal": personal}
        _, source = self._render(mail, language, folder, FRAME_EVENT, wrapped)
        tokens, html = self._shape(source)
        text = _SLOT.sub(lambda slot: _slot(mail, slot), markdown.render_text(tokens, mail.values))
        body = _SLOT_PARAGRAPH.sub(
            lambda slot: self._layout.verbatim(_slot(mail, slot)), markdown.fill_html(html, mail.values)
        )
        page = self._layout.page(language, subject, body)
        return Rendered(subject, text, page, "; ".join(dict.fromkeys(mail.problems)))

    def _shape(self, source: str) -> tuple[Sequence[Token], str]:
        """Tokens and HTML of this Markdown, placeholders and all."""
        found = self._shapes.get(source)
        if found is None:
            tokens = markdown.parse(source)
            found = tokens, markdown.render_html(tokens, self._layout.styles)
            if len(self._shapes) >= SHAPES:
                self._shapes.clear()
            self._shapes[source] = found
        return found

    def _render(
        self, mail: _Mail, language: str, audience: str, event: str, given: Mapping[str, object]
    ) -> tuple[str, str]:
        """Subject and Markdown of the best version that works."""
        known = declared(audience, event)
        names = {variable.name for variable in known}
        if unknown := sorted(set(given) - names - {variable.name for variable in FRAME}):
            mail.problems.append(f"{audience}/{event} is given {', '.join(unknown)}, which no template can use")
        before = len(mail.slots)
        try:
            values = _prepared(known, given, mail)
        except (TypeError, ValueError) as error:
            mail.problems.append(f"{audience}/{event}: {error}")
            return _built_in(audience, event, given, mail)
        for template in self._candidates(language, audience, event):
            try:
                return _run(template, values, mail)
            except _Fault as fault:
                mail.problems.append(str(Problem(str(template.file), fault.line, str(fault))))
        if not self._candidates(language, audience, event):
            mail.problems.append(f"there is no template {audience}/{event}")
        del mail.slots[before:]
        return _built_in(audience, event, given, mail)

    def _candidates(self, language: str, audience: str, event: str) -> tuple[_Template, ...]:
        """The versions for a reader of this language, the best first."""
        versions = self._versions
        return tuple(
            found
            for one in _alternatives(language, self._fallback)
            for found in versions.get((one, audience, event), ())
        )

    def _survey(self) -> tuple[list[tuple[Path, _Template | None]], list[Problem]]:
        found: list[tuple[Path, _Template | None]] = []
        problems: list[Problem] = []
        there = set()
        for folder in self._folders:
            for path in sorted(folder.glob("*/*/*.md")):
                there.add((path.parts[-3], path.parts[-2], path.stem))
                template, wrong = self._examine(path)
                found.append((path, template))
                problems += wrong
        for audience, event in (*VARIABLES, *((audience, FRAME_EVENT) for audience in AUDIENCES)):
            if not {("en", audience, event), (self._fallback, audience, event)} & there:
                problems.append(Problem(f"{self._folders[-1]}/en/{audience}/{event}.md", 0, "is missing"))
        return found, problems

    def _examine(self, path: Path) -> tuple[_Template | None, list[Problem]]:
        try:
            source = path.read_text(encoding="utf-8").replace("\r\n", "\n")
        except (OSError, UnicodeDecodeError) as error:
            return None, [Problem(str(path), 0, f"cannot be read: {error}")]
        last = self._good.get(path)
        if last is not None and last.source == source:
            return last, []
        try:
            template = _compile(path, source)
            _try_samples(template)
        except _Fault as fault:
            return None, [Problem(str(path), fault.line, str(fault))]
        return template, []


@lru_cache(maxsize=256)
def _alternatives(language: str, fallback: str) -> tuple[str, ...]:
    short = re.split("[-_]", language)[0]
    return tuple(dict.fromkeys((language.replace("-", "_"), short, fallback, "en")))


def _folder_of(audience: str) -> str:
    """An agent who is told what became of his own mail reads the same texts as the one who is assigned."""
    return "agent" if audience == "actor" else audience


# --- values -----------------------------------------------------------------------------------------------------------


def _prepared(known: Sequence[Variable], given: Mapping[str, object], mail: _Mail) -> dict[str, object]:
    """The values as a template sees them: all declared names, plain data only. TypeError, ValueError for other data."""
    values: dict[str, object] = {}
    for variable in known:
        value = given.get(variable.name)
        if value is None:
            value = variable.empty
        elif variable.type == "words" and isinstance(value, str) and not isinstance(value, _Markdown):
            value = Words(value)
        values[variable.name] = _plain(variable.name, value, mail)
    return values


def _plain(name: str, value: object, mail: _Mail) -> object:
    match value:
        case None | bool() | int() | float() | _Markdown():
            return value
        case str():
            # One line: a line break in a value must not begin a list or a heading.
            text = " ".join(_NOT_IN_VALUES.sub("", value[: 2 * LONGEST_VALUE]).split())
            return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
        case Words(text=text):
            return _slotted(text, mail)
        case datetime():
            if value.tzinfo is None:
                raise ValueError(f"{name} is a time without a zone")
            return value
        case date():
            return value
        case Mapping():
            return {str(key): _plain(f"{name}.{key}", item, mail) for key, item in value.items()}
        case list() | tuple():
            return tuple(_plain(name, item, mail) for item in value)
        case _:
            raise TypeError(f"{name} is a {type(value).__name__}, but templates are given plain data only")


def _slotted(text: str, mail: _Mail) -> _Markdown:
    text = _NOT_IN_WORDS.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip("\n")
    if not text.strip():
        return _Markdown("")
    mail.slots.append(text)
    return _Markdown(f"\n\n{_OPEN}{len(mail.slots) - 1}{_CLOSE}\n\n")


def _slot(mail: _Mail, found: re.Match[str]) -> str:
    number = int(found[1])
    return mail.slots[number] if number < len(mail.slots) else ""


# --- Jinja2 -----------------------------------------------------------------------------------------------------------


@jinja2.pass_context
def _to_markdown(context: Context, value: object) -> str:
    if isinstance(value, _Markdown):
        return value
    words = _to_words(value)
    if not words:
        return ""
    mail: _Mail = context["_mail"]
    mail.values.append(words)
    mail.written += len(words)
    return markdown.placeholder(len(mail.values) - 1)


def _to_words(value: object) -> str:
    """How a value is written; text that is to be Markdown has no place in a subject."""
    match value:
        case None:
            return ""
        case _Markdown():
            raise TypeError("a person's words cannot stand in a subject")
        case str():
            return value
        case bool():
            raise TypeError("a yes-or-no value cannot be written; use it in {% if %}")
        case int() | float():
            return str(value)
        case jinja2.Undefined():
            return str(value)
        case date():
            raise TypeError("write a time with | local_time, a day with | local_date")
        case _:
            raise TypeError(f"a {type(value).__name__} cannot be written as it is")


@jinja2.pass_context
def _local_time(context: Context, value: datetime | None) -> str:
    """Day and time in the reader's zone, with the zone in words."""
    return _written(context, value, 0, with_place=True)


@jinja2.pass_context
def _local_date(context: Context, value: date | None) -> str:
    """The day; of a time, the day in the reader's zone."""
    if value is None:
        return ""
    language = _language(context)
    if isinstance(value, datetime):
        value = value.astimezone(_zone(context)).date()
    patterns = _PATTERNS.get(_locale(language).language)
    return str(format_date(value, patterns[1] if patterns else "long", locale=_locale(language)))


@jinja2.pass_context
def _short_time(context: Context, value: datetime | None) -> str:
    """Day and time in the reader's zone, short enough for a first line."""
    return _written(context, value, 2, with_place=False)


def _written(context: Context, value: datetime | None, pattern: int, with_place: bool) -> str:
    if value is None:
        return ""
    locale, zone = _locale(_language(context)), _zone(context)
    if patterns := _PATTERNS.get(locale.language):
        text = str(format_datetime(value, patterns[pattern], tzinfo=zone, locale=locale))
        return patterns[3].format(text, _place(zone.key, str(locale))) if with_place else text
    day = format_date(value.astimezone(zone), "full", locale=locale)
    text = f"{day}, {format_time(value, 'short', tzinfo=zone, locale=locale)}"
    return f"{text} ({_place(zone.key, str(locale))})" if with_place else text


def _language(context: Context) -> str:
    return str(context.get("_language"))


@lru_cache(maxsize=64)
def _locale(language: str) -> Locale:
    return Locale.parse(language.replace("-", "_"))


def _zone(context: Context) -> ZoneInfo:
    return _zone_named(str(context.get("zone")))


@lru_cache(maxsize=256)
def _zone_named(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return ZoneInfo("UTC")


@lru_cache(maxsize=1024)
def _place(zone: str, language: str) -> str:
    if "/" not in zone or zone.startswith("Etc/"):
        return zone
    return str(get_timezone_location(ZoneInfo(zone), locale=language, return_city=True))


def _environment(finalize: Any) -> SandboxedEnvironment:
    environment = SandboxedEnvironment(
        undefined=jinja2.StrictUndefined, finalize=finalize, trim_blocks=True, lstrip_blocks=True, cache_size=0
    )
    environment.globals = {}
    environment.filters = {name: environment.filters[name] for name in _KEPT_FILTERS}
    environment.filters |= {"local_time": _local_time, "local_date": _local_date, "short_time": _short_time}
    environment.tests = {name: environment.tests[name] for name in _KEPT_TESTS}
    return environment


_BODIES = _environment(_to_markdown)
_SUBJECTS = _environment(_to_words)


def _compile(path: Path, source: str) -> _Template:
    language, audience, event = path.parts[-3], path.parts[-2], path.stem
    try:
        _locale(language)
    except (UnknownLocaleError, ValueError) as error:
        raise _Fault(f"the folder {language!r} is no language") from error
    if audience not in AUDIENCES:
        raise _Fault(f"there is no audience {audience!r}{_hint(audience, AUDIENCES)}")
    events = (*(event for one, event in VARIABLES if one == audience), FRAME_EVENT)
    if event not in events:
        raise _Fault(f"nothing is ever said to {audience} as {event!r}{_hint(event, events)}")
    names = {variable.name for variable in declared(audience, event)}
    subject, body = None, source
    if event != FRAME_EVENT:
        first, _, rest = source.partition("\n")
        if not first.startswith("Subject:") or not first.removeprefix("Subject:").strip():
            raise _Fault('the first line must be "Subject: ..."', 1)
        if rest.partition("\n")[0].strip():
            raise _Fault("the second line must be empty", 2)
        subject = _compiled(_SUBJECTS, path, first.removeprefix("Subject:").strip(), names)
        # Keeps the line numbers of the file; Markdown does not see empty lines at the top.
        body = "\n" + rest
    return _Template(path, language, audience, event, source, subject, _compiled(_BODIES, path, body, names))


def _compiled(environment: SandboxedEnvironment, path: Path, source: str, names: set[str]) -> jinja2.Template:
    for number, line in enumerate(source.split("\n"), start=1):
        if re.search(r"`[^`]*\{\{", line):
            raise _Fault("a value cannot stand in backticks, where Markdown knows no escapes", number)
    source = _with_line_ends(source)
    try:
        tree = environment.parse(source, path.stem, str(path))
        _only_allowed(tree)
        for unknown in sorted(meta.find_undeclared_variables(tree) - names):
            where = next(node.lineno for node in tree.find_all(nodes.Name) if node.name == unknown)
            raise _Fault(f"nobody knows {unknown!r} here{_hint(unknown, names)}", where)
        code = environment.compile(tree, path.stem, str(path))
    except jinja2.TemplateSyntaxError as error:
        raise _Fault(error.message or "is no template", error.lineno) from error
    except RecursionError as error:
        raise _Fault("is nested too deeply") from error
    except (TypeError, ValueError, jinja2.TemplateError) as error:
        raise _Fault(str(error)) from error
    return environment.template_class.from_code(environment, code, {})


def _with_line_ends(source: str) -> str:
    """A line that holds nothing but tags vanishes; one that ends with a tag keeps its line break."""
    lines = source.split("\n")
    for number, line in enumerate(lines):
        if line.rstrip().endswith("%}") and re.sub("{%.*?%}", "", line).strip():
            lines[number] = line.rstrip() + '{{ "" }}'
    return "\n".join(lines)


def _only_allowed(tree: nodes.Template) -> None:
    for node, loops in _walk(tree, 0):
        if isinstance(node, nodes.Filter) and node.name not in _BODIES.filters:
            raise _Fault(f"there is no filter {node.name!r}{_hint(node.name, _BODIES.filters)}", node.lineno)
        allowed = isinstance(node, (*_ALLOWED_NODES, nodes.Keyword))
        if not allowed or (isinstance(node, nodes.For) and (node.recursive or loops > DEEPEST_LOOPS)):
            what = "loops nested so deeply" if allowed else f"{type(node).__name__.lower()} in templates"
            raise _Fault(f"there is no {what}: only if, for, comparisons and filters", getattr(node, "lineno", 0))
        if isinstance(node, (nodes.Getattr, nodes.Name)) and _attribute(node).startswith("_"):
            raise _Fault(f"names that begin with _ are not for templates: {_attribute(node)!r}", node.lineno)


def _walk(node: nodes.Node, loops: int) -> Iterator[tuple[nodes.Node, int]]:
    loops += isinstance(node, nodes.For)
    yield node, loops
    for child in node.iter_child_nodes():
        yield from _walk(child, loops)


def _attribute(node: nodes.Getattr | nodes.Name) -> str:
    return node.attr if isinstance(node, nodes.Getattr) else node.name


def _run(template: _Template, values: Mapping[str, object], mail: _Mail) -> tuple[str, str]:
    """Subject and Markdown; raises _Fault for whatever goes wrong in the template."""
    context = {**values, "_language": template.language, "_mail": mail}
    subject = _run_part(template.subject, context) if template.subject is not None else ""
    return " ".join(subject.split()), _run_part(template.body, context)


def _run_part(part: jinja2.Template, values: dict[str, object]) -> str:
    pieces, size, start = [], 0, time.thread_time()
    mail: Any = values["_mail"]
    try:
        for piece in part.root_render_func(part.new_context(values)):
            pieces.append(piece)
            size += len(piece)
            if size + mail.written > LONGEST_RENDERING:
                raise _Fault("writes more than any mail should hold")
            # Asking for the time costs as much as a piece of text.
            if len(pieces) % PIECES == 0 and time.thread_time() - start > SECONDS:
                raise _Fault(f"takes more than {SECONDS * 1000:.0f} ms")
    except _Fault:
        raise
    except Exception as error:
        raise _Fault(f"{error}{_missing_hint(error, values)}", _line_of(error, part)) from error
    return "".join(pieces)


def _line_of(error: Exception, part: jinja2.Template) -> int:
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == part.filename:
            line = part.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return line


def _missing_hint(error: Exception, values: Mapping[str, object]) -> str:
    found = re.search(r"has no attribute '([^']+)'", str(error))
    if found is None:
        return ""
    inner = [item for value in values.values() for item in (value if isinstance(value, tuple) else (value,))]
    return _hint(found[1], {str(key) for item in inner if isinstance(item, dict) for key in item})


def _hint(wrong: str, legal: Iterable[str]) -> str:
    close = difflib.get_close_matches(wrong, sorted(legal), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


# --- samples ----------------------------------------------------------------------------------------------------------


def _try_samples(template: _Template) -> None:
    """Render as for ordinary readers and odd ones; raises _Fault for the first complaint."""
    known = declared(template.audience, template.event)
    for sample in samples(known):
        mail = _Mail()
        subject, body = _twice(lambda sample=sample, mail=mail: _run(template, _prepared(known, sample, mail), mail))  # type: ignore[misc]
        if template.subject is not None and not subject:
            raise _Fault("the subject may become empty", 1)
        if not body.strip():
            raise _Fault("the text may become empty")
        if "****" in body:
            raise _Fault("** stands around a value that may be empty; use {% if %}")
        if template.event == FRAME_EVENT and not _SLOT.search(body):
            raise _Fault("a frame must hold {{ blocks }}")


def _twice(render: Callable[[], tuple[str, str]]) -> tuple[str, str]:
    """Render once more where the first time failed: what it had to load (a locale, a zone) is no fault of the template."""
    try:
        return render()
    except _Fault:
        return render()


def samples(known: Sequence[Variable]) -> Iterator[dict[str, object]]:
    """Values for a try: ordinary ones, nothing at all, very long ones, right-to-left ones, hostile ones."""
    ordinary = {variable.name: variable.sample for variable in known}
    kept = {"zone": "Australia/Sydney", "blocks": Words("...")}
    yield ordinary
    yield {variable.name: kept.get(variable.name, variable.empty) for variable in known}
    for text in ("x" * 200, "شركة الدعم الفني", "**{{ 7*7 }}** <b>\n# x"):
        yield {name: kept.get(name) or _with_text(value, text) for name, value in ordinary.items()}


def _with_text(value: object, text: str) -> object:
    match value:
        case str():
            return text
        case Words():
            return Words(text)
        case Mapping():
            return {key: _with_text(item, text) for key, item in value.items()}
        case tuple():
            return tuple(_with_text(item, text) for item in value)
        case _:
            return value


# --- the last resort --------------------------------------------------------------------------------------------------


def _built_in(audience: str, event: str, given: Mapping[str, object], mail: _Mail) -> tuple[str, str]:
    """Plain but complete: staff see every value, customers what a person wrote to them or that we have news."""
    if event == FRAME_EVENT:
        return "", f"{given.get('blocks', '')}\n\n{markdown.escape(str(given.get('desk') or ''))}"
    reference = str(given.get("reference") or "")
    words = given.get("words")
    lines = (
        [_slotted(words.text if isinstance(words, Words) else words, mail)] if isinstance(words, (Words, str)) else []
    )
    if audience == "customer":
        subject = f"[{reference}] Your request" if reference else "Your request"
        lines = lines or [_Markdown("This is about your request. If you need anything, please reply to this mail.")]
    else:
        subject = f"[{reference}] {event.replace('_', ' ')}" if reference else event.replace("_", " ")
        told = {name: value for name, value in given.items() if name != "words" and value}
        lines += [
            _Markdown("- " + markdown.escape(" ".join(f"{name}: {value}".split()))) for name, value in told.items()
        ]
    return subject, "\n".join(lines)
