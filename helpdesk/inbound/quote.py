"""What a reply adds: the writer's own words above, below or between the quotes.

Line by line and linear. In doubt a line stays: a quote shown is a nuisance, a customer's sentence lost is a fault.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

#: Verbs that end an attribution ("On ... Bob wrote:").
_WROTE = (
    "wrote|writes|said|schrieb|schreibt|geschrieben|a écrit|écrit|a ecrit|escribió|escribio|escreveu|ha scritto"
    "|scrive|schreef|geschreven|skrev|skrev följande|kirjoitti|napsal|napsala|napsal\\(a\\)|napísal|napisał|napisała"
    "|napisał\\(a\\)"
    "|писал|пишет|написал|написала|писал\\(а\\)|пише|a scris|írta|yazdı|έγραψε"
    "|さんは書きました|さんが書きました|のメール"
    "|写道|寫道|님이 작성|님의 말"
)
_ATTRIBUTION_END = re.compile(
    rf"(?:(?:{_WROTE})(?:\s[^:：]{{0,60}})?|<[^<>\s]+@[^<>\s]+>|\([^()\s]+@[^()\s]+\))\s*[:：]\s*$", re.I
)
#: Words that open an attribution; with a date and an ending above they make one even where no ``>`` follows.
_ATTRIBUTION_START = re.compile(
    r"\s*(?:on|am|le|el|il|em|op|den|dne|dnia|w dniu|il giorno|på|ke|a\(z\)|tarihinde|вторник|вт|пн|ср|чт|пт|сб|вс"
    r"|mon|tue|wed|thu|fri|sat|sun|\d{1,4}[-./年])\b|\s*\d{1,4}\s?[-./年]",
    re.I,
)
_DATED = re.compile(r"\b(?:19|20)\d\d\b|\b\d{1,2}[:.h]\d\d\b|年")
_SEPARATOR = re.compile(
    r"\s*[-_=]{2,}\s*(?:original message|original appointment|reply message|ursprüngliche nachricht"
    r"|originalnachricht|original-nachricht|ursprungliche nachricht|message d[’']origine|message original"
    r"|mensaje original"
    r"|mensagem original"
    r"|messaggio originale|oorspronkelijk bericht|ursprungligt meddelande|originalmeddelande"
    r"|oprindelig meddelelse"
    r"|opprinnelig melding|alkuperäinen viesti|původní zpráva|wiadomość oryginalna|исходное сообщение"
    r"|元のメッセージ|original メッセージ|原始邮件|原始郵件|원본 메시지)\s*[-_=]{2,}\s*",
    re.I,
)
_HEADER_WORDS = {
    "from": "from von de da van från fra od от 差出人 发件人 寄件者 보낸사람 lähettäjä feladó kimden",
    "sent": "sent date gesendet datum envoyé enviado inviato data verzonden skickat sendt odesláno wysłano отправлено"
    " дата 送信日時 日付 发送时间 寄件日期 보낸날짜 lähetetty elküldve tarih",
    "to": "to an à para a aan till til komu do кому 宛先 收件人 收件者 받는사람 vastaanottaja címzett kime",
    "cc": "cc kopie kopia копия 抄送 副本 bcc",
    "subject": "subject betreff objet asunto assunto oggetto onderwerp ämne emne předmět temat тема 件名 主题 主旨"
    " 제목 aihe tárgy konu",
    "reply": "reply-to antwort",
}
_ROLE = {word: role for role, words in _HEADER_WORDS.items() for word in words.split()}
_MAX_LINE = 400
_RULE = re.compile(r"\s*_{10,}\s*")


def new_text(text: str, parents: Sequence[str] = ()) -> str:
    """What the writer added to the texts quoted in ``text``; "" where nothing is left.

    ``parents`` are texts that we sent: their lines are quotes even where nothing marks them.
    """
    return divide(text, parents)[0]


def divide(text: str, parents: Sequence[str] = ()) -> tuple[str, str]:
    """The new text, and the part of it that stands above anything that may be the beginning of a quote.

    The second is the only place for commands, so there the doubt counts the other way: a line that only looks like
    the beginning of a quote ends it.
    """
    lines = text.split("\n")
    dropped = [line.lstrip().startswith(">") for line in lines]
    _drop_attributions(lines, dropped)
    _drop_sent_lines(lines, dropped, parents)
    cut = _cut(lines, dropped)
    if cut is not None:
        answers = _answers_below(lines[cut:], parents)
        dropped[cut:] = [i not in answers for i in range(len(lines) - cut)]
    _drop_signature(lines, dropped)
    lead = next((i for i, line in enumerate(lines) if dropped[i] or _may_begin_quote(lines, i)), len(lines))
    return _joined(lines, dropped), "\n".join(line.rstrip() for line in lines[:lead]).strip("\n")


_QUOTE_LIKE = re.compile(r"\s*(?:[>|»│┃]|-- ?$|[-_=*~#]{3,}|begin forwarded message|anfang der weitergeleiteten)", re.I)


def _may_begin_quote(lines: Sequence[str], i: int) -> bool:
    """True for every line that some mail program puts above or before a quote."""
    line = lines[i]
    if _QUOTE_LIKE.match(line):
        return True
    if _role(line) and i + 1 < len(lines) and _role(lines[i + 1]):
        return True
    return bool(_ATTRIBUTION_END.search(line[-_MAX_LINE:]))


def _drop_attributions(lines: Sequence[str], dropped: list[bool]) -> None:
    """Mark the line or lines above each quoted block that say who wrote it."""
    for i in range(1, len(lines)):
        if not dropped[i] or dropped[i - 1]:
            continue
        last = i - 1
        if not lines[last].strip() and last and not dropped[last - 1]:
            last -= 1
        begin = _attribution(lines, last, dropped)
        if begin is not None:
            dropped[begin:i] = [True] * (i - begin)


def _attribution(lines: Sequence[str], last: int, dropped: Sequence[bool]) -> int | None:
    """Where the attribution that ends with line ``last`` begins: it may be folded over up to four lines."""
    if len(lines[last]) > _MAX_LINE or not lines[last].rstrip().endswith((":", "：")):
        return None
    found = None
    joined = ""
    for begin in range(last, max(last - 4, -1), -1):
        line = lines[begin]
        if dropped[begin] or not line.strip() or len(line) > _MAX_LINE:
            break
        joined = f"{line.strip()} {joined}".strip()
        if not _ATTRIBUTION_END.search(joined[-_MAX_LINE:]):
            continue
        if _ATTRIBUTION_START.match(joined) and _DATED.search(joined):
            return begin
        if begin == last:
            found = begin
    return found


def _cut(lines: Sequence[str], dropped: Sequence[bool]) -> int | None:
    """The first line of an unmarked quote that goes on to the end: a separator, a header block, a whole attribution."""
    for i, line in enumerate(lines):
        if dropped[i] or len(line) > _MAX_LINE:
            continue
        if _SEPARATOR.fullmatch(line) or _is_header_block(lines, i):
            previous = i - 1
            while previous >= 0 and not lines[previous].strip():
                previous -= 1
            return previous if previous >= 0 and _RULE.fullmatch(lines[previous]) else i
        begins = _ATTRIBUTION_START.match(line) and any(
            text.strip() and not gone
            for text, gone in zip(lines[max(i - 200, 0) : i], dropped[max(i - 200, 0) : i], strict=True)
        )
        if begins and _whole_attribution(lines, i) and any(text.strip() for text in lines[i + 1 : i + 50]):
            return i
    return None


def _whole_attribution(lines: Sequence[str], begin: int) -> bool:
    """True where an attribution with date and verb stands alone from line ``begin``, over at most four lines."""
    if begin and lines[begin - 1].strip():
        return False
    joined = ""
    for line in lines[begin : begin + 4]:
        if not line.strip() or len(line) > _MAX_LINE:
            return False
        joined = f"{joined} {line.strip()}"
        if line.rstrip().endswith((":", "：")):
            named = "@" in joined or len(_DATED.findall(joined)) > 1
            return bool(named and _ATTRIBUTION_END.search(joined[-_MAX_LINE:]) and _DATED.search(joined))
    return False


def _is_header_block(lines: Sequence[str], begin: int) -> bool:
    """True where at least three header lines follow each other, the first of them From (as Outlook quotes)."""
    if _role(lines[begin]) != "from":
        return False
    roles = {"from"}
    gaps = 0
    for line in lines[begin + 1 : begin + 12]:
        role = _role(line)
        if role:
            roles.add(role)
        elif not line.strip() and gaps < len(roles):
            gaps += 1
        elif not line.startswith((" ", "\t")):
            break
    return len(roles & {"from", "sent", "to", "cc", "subject"}) >= 3


def _role(line: str) -> str:
    """Which header an Outlook line quotes, "" where it is none: ``From:``, ``*Von:*``, ``De :``."""
    if len(line) > _MAX_LINE:
        return ""
    name = line.replace("：", ":").partition(":")
    return _ROLE.get(name[0].strip(" \t*\xa0").lower(), "") if name[1] else ""


def _squeezed(line: str) -> str:
    return "".join(line.lstrip("> \t").split()).casefold()


def _drop_sent_lines(lines: Sequence[str], dropped: list[bool], parents: Sequence[str]) -> None:
    """Mark lines that stand in a parent: long ones, and short ones between them."""
    sent = {_squeezed(line) for parent in parents for line in parent.split("\n")} - {""}
    if not sent:
        return
    long_match = [
        not gone and len(_squeezed(line)) >= 25 and _squeezed(line) in sent
        for line, gone in zip(lines, dropped, strict=True)
    ]
    known = [not line.strip() or _squeezed(line) in sent for line in lines]
    for i, matched in enumerate(long_match):
        if not matched:
            continue
        dropped[i] = True
        for step in (1, -1):
            j = i + step
            while 0 <= j < len(lines) and known[j] and not dropped[j] and not long_match[j]:
                dropped[j] = True
                j += step


_WORD = re.compile(r"\w+")


def _answers_below(lines: Sequence[str], parents: Sequence[str]) -> set[int]:
    """Which lines of an unmarked quote are answers written into it: known only where the quoted text is ours.

    A line is ours when most of its word pairs are, so refolded lines are recognised. Where less than four fifths of
    the lines are ours, the quote is of something else and nothing can be told.
    """
    words = [_WORD.findall(parent.casefold()) for parent in parents]
    ours = {pair for parent in words for pair in pairwise(parent)}
    single = {word for parent in words for word in parent}
    answers: set[int] = set()
    counted = 0
    in_header = True
    for i, line in enumerate(lines):
        said = _WORD.findall(line.casefold())
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


def _drop_signature(lines: Sequence[str], dropped: list[bool]) -> None:
    """Mark what follows ``-- `` in the last stretch of new text (RFC 3676 section 4.3)."""
    last = len(lines) - 1
    while last >= 0 and (dropped[last] or not lines[last].strip()):
        last -= 1
    for i in range(last, -1, -1):
        if dropped[i]:
            return
        if lines[i] == "-- ":
            dropped[i : last + 1] = [True] * (last + 1 - i)
            return


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
