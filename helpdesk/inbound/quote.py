"""What a reply adds: the writer's own words above, below or between the quotes.

Line by line and linear. In doubt a line stays: a quote shown is a nuisance, a customer's sentence lost is a fault.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from helpdesk.inbound import attribution
from helpdesk.inbound.header_names import INVISIBLE, role_of
from helpdesk.inbound.sent import Sent, squeezed
from helpdesk.inbound.signature import drop_signature

#: Old Gmail names no verb at all: a date, a zone and a name, alone between empty lines.
_DATE_AND_NAME = re.compile(r"\d{4}-\d\d-\d\d \d{1,2}:\d\d GMT[+-]\d\d:\d\d(?: [^\W\d_a-zà-ÿа-я][\w.'’-]{0,30}){1,4}")
#: A date and an address at the end: an attribution only where a quote follows at once.
_DATE_AND_ADDRESS = re.compile(r"\d{4}[-./]\d{1,2}[-./]\d{1,2}\s[^\n]{1,200}<[^<>\s]+@[^<>\s]+>", re.I)
_MAILTO = re.compile(r"\s?<mailto:[^<>\n]{0,300}>", re.I)
#: What stands between the dashes above a quote.
_ORIGINAL = (
    "original message|original mail|original email|original e-mail|original appointment|reply message"
    "|ursprüngliche nachricht|ursprungliche nachricht|antwort nachricht|originalnachricht"
    "|original-nachricht|message d'origine|message d’origine|message original|mensaje original"
    "|missatge original|mensaxe orixinal|mensagem original|messaggio originale|oorspronkelijk bericht"
    "|ursprungligt meddelande|originalmeddelande|oprindelig meddelelse|opprinnelig melding"
    "|upprunaleg skilaboð|alkuperäinen viesti|algne kiri|algne sõnum|původní zpráva|původní e-mail"
    "|pôvodná správa|wiadomość oryginalna|oryginalna wiadomość|eredeti üzenet|mesaj original"
    "|mesajul original|izvirno sporočilo|izvorno sporočilo|izvorna poruka|originalna poruka"
    "|originalus laiškas|sākotnējais ziņojums|jatorrizko mezua|αρχικό μήνυμα|özgün i̇leti|özgün ileti"
    "|orijinal mesaj|исходное сообщение|оригинално съобщение|оригінальне повідомлення|вихідне повідомлення"
    "|הודעה מקורית|الرسالة الأصلية|ข้อความต้นฉบับ|thư gốc|tin nhắn gốc|pesan asli|mesej asal|元のメッセージ"
    "|original メッセージ|原始邮件|原始郵件|原邮件|邮件原件|郵件原件|원본 메시지|원본 이메일|원본 메일"
)
_SEPARATOR = re.compile(rf"[\s*]*+[-_=‐]{{2,}}+\s*+(?:{_ORIGINAL})\s*+[-_=‐]{{2,}}+[\s*_]*+", re.I)
_FORWARDED = re.compile(
    r"[\s*_>]*(?:-{2,}|begin)\s*(?:forwarded|weitergeleitete|transféré|reenviad|doorgestuurd|inoltrat|vidarebefordrat)",
    re.I,
)
#: Words between dashes: with header lines right below them a separator in whatever language.
_SEPARATOR_FORM = re.compile(r"\s*[-_=‐]{2,}\s*[^-_=‐\s][^\n]{1,60}?\s*[-_=‐]{2,}\s*")
#: BlackBerry 10 draws no dashes.
_SEPARATOR_BARE = re.compile(rf"\s*(?=\S+ \S)(?:{_ORIGINAL})\s*:?\s*", re.I)
#: Helpdesks ask for answers above a line of theirs.
_REPLY_ABOVE = re.compile(
    r"[\s*]*##-(?=[^\n]{0,150}(?:repl|respon|respue|respos|rispo|répon|answer|above|antwor?o?[rt]|svar|odpow|odpov|ответ|vasta"
    r"|válasz|yanıt|返信|回[复覆復]|답))[^\n]{5,150}-##[\s*]*"
    r"|[\s*]*[-_=#*]{2,}\s*(?:please )?(?:(?:type|write|enter) )?(?:your )?(?:reply|response|answer|respond) above this line"
    r"[^\n]{0,80}",
    re.I,
)
#: Yahoo's telephones set attribution and quote on one line.
_RUN_ON = re.compile(r"(<[^<>\s]{1,64}@[^<>\s]{1,250}>[^\n:：<>]{0,30}[:：])\s{2,}\S")
#: GroupWise sets writer and time between arrows; what follows is the quote.
_GROUPWISE = re.compile(r">{2,3} [^\n]{0,200}(?:@|\d[:.]\d\d)[^\n]{0,100} ?>{2,3}")
_MAX_LINE = 400
_MAX_NAME = 40
_RULE = re.compile(r"\s*(?:_{10,}|-{20,}|(?:\* ){2,}\*)\s*")


def new_text(text: str, parents: Sequence[str] = ()) -> str:
    """What the writer added to the texts quoted in ``text``; "" where nothing is left.

    ``parents`` are texts that we sent: their lines are quotes even where nothing marks them.
    """
    return divide(text, parents)[0]


#: Outlook's link in an attribution, spread over lines of its own whose last looks like a quote.
_SPREAD_LINK = re.compile(
    r"\n{1,2}[ \t]*<[ \t]*\n[ \t]*(mailto:[^\n<>]{1,200}(?:<[^\n<>]{1,200}>)?)[ \t]*\n[ \t]*>[ \t]*"
)


def divide(text: str, parents: Sequence[str] = (), *, secret: bool = False) -> tuple[str, str]:
    """The new text, and the part of it that stands above anything that may be the beginning of a quote.

    The second is the only place for commands, so there the doubt counts the other way: a line that only looks like
    the beginning of a quote ends it. ``secret`` says that what we sent was for our own people, whose answers go on to
    customers: then every line of a quote is one, and answers within it are heard only where no mark stands before them.
    """
    if "mailto:" in text:
        text = _SPREAD_LINK.sub(r" <mailto:> ", text)
    written = text.split("\n")
    lines = written if text.isascii() else text.translate(INVISIBLE).split("\n")
    sent = Sent(parents)
    trusted = Sent(()) if secret else sent
    dropped = _quoted(lines, trusted)
    quoted = list(dropped)
    _drop_attributions(lines, dropped)
    _drop_sent_lines(lines, dropped, sent, secret=secret)
    cut = _cut(lines, dropped)
    if cut is not None and (not trusted or sent.within([_RUN_ON.split(lines[cut])[-1], *lines[cut + 1 :]])):
        dropped[cut:] = quoted[cut:] = [True] * (len(lines) - cut)
    answers = _answers(lines, quoted, sent) if trusted else set()
    if secret and cut is not None:
        answers = {cut + i for i in _few_answers(lines[cut:], parents)}
    for i in answers:
        dropped[i] = False
    drop_signature(lines, dropped)
    doubtful = (i for i, line in enumerate(lines) if dropped[i] or i == cut or _may_begin_quote(lines, i))
    lead = next(doubtful, len(lines))
    new = [_MARK.sub("", line, count=1) if i in answers else line for i, line in enumerate(written)]
    return _joined(new, dropped), "\n".join(line.rstrip() for line in written[:lead]).strip("\n")


_MARK = re.compile(r"^\s*>\s?")


def _quoted(lines: Sequence[str], sent: Sent) -> list[bool]:
    """Which lines are marked as quotes; the prompts of a program and the output of diff are no such marks.

    Where what we sent is known, a block needs something of it, or words that say who wrote it.
    """
    marked = [_is_quoted(line) for line in lines]
    begin = 0
    while begin < len(marked):
        if not marked[begin]:
            begin += 1
            continue
        end = next((j for j in range(begin, len(lines)) if not marked[j]), len(lines))
        block = lines[begin:end]
        above = lines[begin - 1] if begin else ""
        compared = begin > 1 and above.strip() == "---" and lines[begin - 2].startswith("< ")
        prompts = all(line.startswith(">>> ") for line in block) and not above.rstrip().endswith((":", "："))
        ours = not sent or any(sent.knows(line) or sent.answered(line) for line in block if _WORD.search(line))
        head = [line.lstrip("> \t") for line in block[:12]]
        if compared or prompts or not (ours or _says_who(lines[max(0, begin - 8) : begin], head)):
            marked[begin:end] = [False] * (end - begin)
        begin = end
    return marked


def _says_who(above: Sequence[str], block: Sequence[str]) -> bool:
    """True where an attribution, a separator or a header block stands right above a quote, or in its first lines.

    There those stand that a program has marked in HTML.
    """
    last = len(above) - 1
    while last > 0 and not above[last].strip():
        last -= 1
    none = [False] * max(len(above), len(block))
    if above and (_attribution(above, last, none) is not None or _SEPARATOR.fullmatch(above[last][:_MAX_LINE])):
        return True
    if any(_is_header_block(above, i) for i in range(last)):
        return True
    return any(_is_header_block(block, i) or _attribution(block, i, none) is not None for i in range(len(block)))


_WORD = re.compile(r"\w")


def _is_quoted(line: str) -> bool:
    """True for a line that begins with ``>``, but not for one that is set between arrows."""
    bare = line.strip()
    return bare.startswith(">") and not (bare.startswith(">>") and bare.endswith("<<"))


_QUOTE_LIKE = re.compile(r"\s*(?:[>|»│┃]|-- ?$|[-_=*~#]{3,}|begin forwarded message|anfang der weitergeleiteten)", re.I)


def _may_begin_quote(lines: Sequence[str], i: int) -> bool:
    """True for every line that some mail program puts above or before a quote."""
    line = lines[i]
    if _QUOTE_LIKE.match(line) or _SEPARATOR_FORM.fullmatch(line[:_MAX_LINE]):
        return True
    if _role(line) and i + 1 < len(lines) and _role(lines[i + 1]):
        return True
    return attribution.may_be(line[-_MAX_LINE:].strip(_EMPHASIS))


def _drop_attributions(lines: Sequence[str], dropped: list[bool]) -> None:
    """Mark the line or lines above each quoted block that say who wrote it."""
    _drop_other_marks(lines, dropped)
    for i in range(1, len(lines)):
        if not dropped[i] or dropped[i - 1]:
            continue
        last = i - 1
        if not lines[last].strip() and last and not dropped[last - 1]:
            last -= 1
        begin = _attribution(lines, last, dropped)
        if begin is not None:
            dropped[begin:i] = [True] * (i - begin)


#: Marks of quotes that mean other things as well: initials before an arrow, bars, a colon.
_OTHER_MARK = re.compile(r"\s{0,8}([A-Za-z]{1,6}>|[|:│┃»])(?:\s|$)")


def _drop_other_marks(lines: Sequence[str], dropped: list[bool]) -> None:
    """Mark lines that bear another sign than ``>``, only right below a whole attribution."""
    i = 1
    while i < len(lines):
        match = None if dropped[i] else _OTHER_MARK.match(lines[i])
        above = i - 1 if lines[i - 1].strip() else i - 2
        i += 1
        if not match or above < 0 or not lines[above].rstrip().endswith((":", "：")):
            continue
        if (dropped[above] and lines[above].lstrip().startswith(">>>>> ")) or _dated_attribution(lines, above, dropped):
            j = i - 1
            while j < len(lines) and (lines[j].lstrip().startswith(match[1]) or not lines[j].strip()):
                dropped[j] = bool(lines[j].strip())
                j += 1
            i = j + 1


def _dated_attribution(lines: Sequence[str], last: int, dropped: Sequence[bool]) -> bool:
    begin = _attribution(lines, last, dropped)
    return begin is not None and attribution.is_whole(" ".join(line.strip() for line in lines[begin : last + 1]))


_EMPHASIS = " \t\r\xa0\u202f*_[]"


def _attribution(lines: Sequence[str], last: int, dropped: Sequence[bool]) -> int | None:
    """Where the attribution that ends with line ``last`` begins: it may be folded over up to four lines."""
    if len(lines[last]) > _MAX_LINE:
        return None
    bare = lines[last].strip(_EMPHASIS)
    if attribution.is_bare(bare) or _DATE_AND_ADDRESS.fullmatch(bare):
        return last
    if not bare.endswith((":", "：")):
        return None
    found = None
    joined = ""
    for begin in range(last, max(last - 4, -1), -1):
        line = lines[begin]
        if dropped[begin] or not line.strip() or len(line) > _MAX_LINE:
            break
        joined = _MAILTO.sub("", f"{line.strip(_EMPHASIS)} {joined}".strip())[-_MAX_LINE:]
        if attribution.is_whole(joined):
            found = begin
            # A name may have been folded away from its address.
            if not joined.startswith(("<", "(")):
                return begin
        elif begin == last and attribution.may_stand_above(joined):
            found = begin
    return found


_MARKER_BEGINS = frozenset("*_-=>#bB‐")


def _cut(lines: Sequence[str], dropped: list[bool]) -> int | None:
    """The first line of an unmarked quote that goes on to the end: a separator, a header block, a whole attribution.

    Below the words that begin a forward nothing is a quote: it is what the writer wants to be read. A separator above
    a quote whose lines are marked goes alone, for there answers may follow.
    """
    said = False
    for i, line in enumerate(lines):
        bare = line.strip()
        if not bare or len(line) > _MAX_LINE:
            said = said or bool(bare)
            continue
        # Of most lines the first character tells that they are no marker.
        marked = bare[0] in _MARKER_BEGINS
        if marked and said and _GROUPWISE.fullmatch(bare):
            return i
        if dropped[i]:
            continue
        if marked and _FORWARDED.match(line):
            return None
        separator = marked and bool(_SEPARATOR.fullmatch(line) or (said and _REPLY_ABOVE.fullmatch(line)))
        if separator and (below := _next(lines, i + 1)) < len(lines) and dropped[below]:
            dropped[i] = True
            continue
        if separator or _is_header_block(lines, i):
            return _above(lines, dropped, i)
        bare_form = _is_bare_attribution(lines, i) or (_stands_alone(lines, i) and _DATE_AND_NAME.fullmatch(bare))
        begins = bare_form or (said and (_whole_attribution(lines, i, dropped) or _is_spread_header(lines, i)))
        if said and (run_on := _RUN_ON.search(line)) and attribution.is_whole(line[: run_on.end(1)].strip()):
            return i
        if begins and any(text.strip() for text in lines[i + 1 : i + 50]):
            return i
        said = True
    return None


def _next(lines: Sequence[str], begin: int) -> int:
    """The first line with text from ``begin`` on, over a few empty ones."""
    return next((i for i in range(begin, min(begin + 3, len(lines))) if lines[i].strip()), len(lines))


def _is_bare_attribution(lines: Sequence[str], i: int) -> bool:
    """True for an attribution without a colon; a sentence goes on in small letters."""
    below = lines[i + 1].strip() if i + 1 < len(lines) else ""
    return attribution.is_bare(lines[i].strip()) and not below[:1].islower()


def _stands_alone(lines: Sequence[str], i: int) -> bool:
    """True for a line with nothing written right above it, nor right below."""
    return not (i and lines[i - 1].strip()) and not (i + 1 < len(lines) and lines[i + 1].strip())


def _above(lines: Sequence[str], dropped: Sequence[bool], first: int) -> int:
    """Where the quote that is cut at ``first`` really begins: a ruler or an attribution may stand above."""
    previous = first - 1
    while previous >= 0 and not lines[previous].strip():
        previous -= 1
    if previous < 0:
        return first
    above = lines[previous][:_MAX_LINE]
    if _RULE.fullmatch(above) or _SEPARATOR_FORM.fullmatch(above) or _SEPARATOR_BARE.fullmatch(above):
        return previous
    begin = _attribution(lines, previous, dropped)
    return first if begin is None else begin


def _whole_attribution(lines: Sequence[str], begin: int, dropped: Sequence[bool]) -> bool:
    """True where an attribution with date, verb and address stands from line ``begin``, over at most four lines.

    In the midst of a paragraph it must end within its own line, and name the address as programs do: in angle brackets.
    """
    alone = not begin or not lines[begin - 1].strip()
    if not alone and not ("<" in lines[begin] and attribution.begins(lines[begin])):
        return False
    joined = ""
    for last in range(begin, min(begin + (4 if alone else 1), len(lines))):
        line = lines[last]
        if not line.strip() or len(line) > _MAX_LINE:
            return False
        joined = _MAILTO.sub("", f"{joined} {line.strip()}").strip()
        if line.rstrip().endswith((":", "：")):
            dates = len(attribution.DATED.findall(joined))
            named = "@" in joined or (alone and dates > 1 and attribution.names_somebody(joined))
            usual = attribution.begins(joined) and attribution.ends(joined[-_MAX_LINE:]) and named and dates
            whole = usual or (alone and attribution.names_writer(joined))
            # What stands above the line in which it begins is not part of it.
            return bool(whole) and (line.strip() == ">:" or _attribution(lines, last, dropped) == begin)
    return False


def _is_spread_header(lines: Sequence[str], begin: int) -> bool:
    """True for the table of Lotus Notes: a name with its address, a date below, then To and Subject without colons."""
    if "@" not in lines[begin] or not any(_CLOCK.search(line[:40]) for line in lines[begin + 1 : begin + 3]):
        return False
    names = {role_of(line) for line in lines[begin + 2 : begin + 14] if len(line) <= _MAX_NAME}
    return {"to", "subject"} <= names


_CLOCK = re.compile(r"\d{1,2}[:.h]\d\d")


def _is_header_block(lines: Sequence[str], begin: int) -> bool:
    """True where header lines follow each other as mail programs quote them, the first of them From or Date.

    Three make a block where one names an address, or where the date stands as programs put it; or two that stand apart,
    of which one names an address and the other a date with its time.
    """
    start = _role(lines[begin])
    if start not in ("from", "date"):
        return False
    if start == "from" and "@" in lines[begin] and _DATE_WITHIN.search(lines[begin]):
        return True
    roles = {start: lines[begin]}
    gaps = 0
    for line in lines[begin + 1 : begin + 12]:
        role = _role(line)
        if role:
            roles.setdefault(role, line)
        elif not line.strip() and gaps < len(roles):
            gaps += 1
        elif not (line.startswith((" ", "\t")) or _ADDRESS_ALONE.fullmatch(line)):
            break
    known = roles.keys() & {"from", "date", "to", "cc", "subject"}
    addressed = any("@" in line for line in roles.values())
    first = list(roles)[:3]
    dated = {*first[:2]} == {"from", "date"} or bool(_CLOCK.search(roles.get("date", "")))
    named = dated and ({"from", "subject"} <= known or first == ["from", "date", "to"])
    if len(known) >= 3 and (addressed or named):
        return not _is_pasted(lines, begin)
    people = any("@" in line for role, line in roles.items() if role in ("from", "to"))
    apart = not begin or not lines[begin - 1].strip() or bool(_RULE.fullmatch(lines[begin - 1]))
    return apart and people and bool(_CLOCK.search(roles.get("date", ""))) and not _is_pasted(lines, begin)


#: Whoever pastes the header of a mail pastes more than a program quotes.
_TECHNICAL = re.compile(
    r"(?:received|return-path|message-id|mime-version|dkim-signature|authentication-results|delivered-to|content-type"
    r"|x-[a-z-]{1,40})\s?:|from \S{1,80} (?:mon|tue|wed|thu|fri|sat|sun)\b",
    re.I,
)


def _is_pasted(lines: Sequence[str], i: int) -> bool:
    """True where the lines around ``i``, up to an empty one, hold what no program quotes."""
    for step in (-1, 1):
        for j in range(i, i + 12 * step, step):
            if not 0 <= j < len(lines) or not lines[j].strip():
                break
            if _TECHNICAL.match(lines[j]):
                return True
    return False


#: A whole block that HTML set on one line.
_DATE_WITHIN = re.compile(
    r"\s(?:date|sent|gesendet|datum|envoyé|enviado|inviato|data)\s?:\s[^\n]{0,40}\d{1,2}:\d\d", re.I
)
#: The address of a From line that was folded.
_ADDRESS_ALONE = re.compile(r"\s*<[^<>\s]+@[^<>\s]+>\s*")


def _role(line: str) -> str:
    """Which header an Outlook line quotes, "" where it is none: ``From:``, ``*Von:*``, ``De :``."""
    if len(line) > _MAX_LINE:
        return ""
    name, colon, _ = line[:80].replace("：", ":").partition(":")
    if not colon or len(name) > _MAX_NAME or (name.strip(" *_").lower() == "no" and "@" not in line):
        # Latvian for From; in other languages it is the number of something.
        return ""
    return role_of(name)


def _drop_sent_lines(lines: Sequence[str], dropped: list[bool], sent: Sent, *, secret: bool) -> None:
    """Mark lines that stand in our text: long ones, and short ones that stand next to them there too.

    What is ``secret`` goes wherever it stands there.
    """
    if not sent:
        return
    long_match = [
        not gone and len(squeezed(line)) >= 25 and sent.holds(line) for line, gone in zip(lines, dropped, strict=True)
    ]
    for i, matched in enumerate(long_match):
        if not matched:
            continue
        dropped[i] = True
        for step in (1, -1):
            last, j = i, i + step
            while 0 <= j < len(lines) and not dropped[j] and not long_match[j]:
                if lines[j].strip():
                    if not (sent.holds(lines[j]) if secret else sent.follows(*(lines[at] for at in sorted((last, j))))):
                        break
                    dropped[j] = True
                    last = j
                j += step
            broken = (
                not secret and step == 1 and last != i and not (j < len(lines) and sent.follows(lines[last], lines[j]))
            )
            if broken and not sent.is_last(lines[last]):
                # One of several words of ours, and none of them below: it may be the choice.
                dropped[last] = False


def _answers(lines: Sequence[str], quoted: Sequence[bool], sent: Sent) -> set[int]:
    """Which lines of quotes are answers written into them: known only where the quoted text is ours.

    Between the first and the last line of ours every other line is an answer, and so is what goes on behind a line of
    ours. Outside, where programs add lines too, only a few without a mark are.
    """
    between: set[int] = set()
    outside: set[int] = set()
    waiting: list[int] = []
    before = ""
    ours = 0
    bare = [line.lstrip("> \t") for line in lines]
    for i, line in enumerate(lines):
        if not quoted[i] or not bare[i] or _depth(line) > 1:
            continue
        head = _role(bare[i]) or _SEPARATOR.fullmatch(bare[i][:_MAX_LINE]) or _RULE.fullmatch(bare[i][:_MAX_LINE])
        if head and _begins_older(bare, i):
            # Below it stands another mail, answered long ago.
            if ours:
                break
            continue
        if not ours and (head or line.startswith((" ", "\t"))):
            continue
        if not ours and (attribution.is_bare(bare[i].strip()) or attribution.ends(bare[i][-_MAX_LINE:])):
            waiting = []
            continue
        answered = sent.answered(line)
        if not answered and not sent.knows(line, before):
            waiting.append(i)
            continue
        between |= {i, *waiting} if answered and ours else {i} if answered else set(waiting) if ours else set()
        outside |= set() if ours else set(waiting)
        waiting = []
        before = sent.last_word(line)
        ours += 1
    outside = {i for i in (*outside, *waiting) if not lines[i].lstrip().startswith(">") and "://" not in lines[i]}
    few = ours and len(outside) * 5 <= ours + len(outside)
    return between | (outside if few else set())


_WORDS = re.compile(r"\w+")


def _few_answers(lines: Sequence[str], parents: Sequence[str]) -> set[int]:
    """Which lines of an unmarked quote are answers written into it, where nothing else of it may be taken for one.

    A line is ours when most of its word pairs are, so refolded lines are recognised. Where less than four fifths of
    the lines are ours, the quote is of something else and nothing can be told.
    """
    words = [_WORDS.findall(parent.casefold()) for parent in parents]
    ours = {pair for parent in words for pair in pairwise(parent)}
    single = {word for parent in words for word in parent}
    answers: set[int] = set()
    counted = 0
    in_header = True
    for i, line in enumerate(lines):
        said = _WORDS.findall(line.casefold())
        if not said:
            in_header = in_header and not answers and counted == 0
            continue
        if in_header and (
            _role(line) or _SEPARATOR.fullmatch(line) or _RULE.fullmatch(line) or line.startswith((" ", "\t"))
        ):
            continue
        in_header = False
        counted += 1
        pairs = list(pairwise(said))
        known = sum(pair in ours for pair in pairs) * 2 >= len(pairs) if pairs else said[0] in single
        if not known and "://" not in line and not line.lstrip().startswith(">"):
            answers.add(i)
    return answers if ours and len(answers) * 5 <= counted else set()


def _depth(line: str) -> int:
    """How many marks of a quote a line begins with."""
    marks = line[: len(line) - len(line.lstrip("> \t"))]
    return marks.count(">")


def _begins_older(lines: Sequence[str], i: int) -> bool:
    return bool(_SEPARATOR.fullmatch(lines[i][:_MAX_LINE])) or _is_header_block(lines, i)


def _joined(lines: Sequence[str], dropped: Sequence[bool]) -> str:
    """The lines that are left; where a quote was taken out stays one empty line."""
    out: list[str] = []
    behind_quote = False
    for line, gone in zip(lines, dropped, strict=True):
        if gone or (behind_quote and not line.strip()):
            behind_quote = True
            continue
        if behind_quote and out and out[-1]:
            out.append("")
        behind_quote = False
        out.append(line.rstrip())
    return "\n".join(out).strip("\n")
