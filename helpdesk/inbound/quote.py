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
    "|kirjoitti|писал|пишет|написал|написала|писал\\(а\\)|пише|a scris|írta|yazdı|έγραψε"
    "|さんは書きました|さんが書きました|のメール"
    "|写道|寫道|님이 작성|님의 말"
)
_ATTRIBUTION_END = re.compile(
    rf"(?:(?:{_WROTE})(?:\s[^:：]{{0,80}})?|<\s?[^<>\s]+@[^<>\s]+>|\([^()\s]+@[^()\s]+\))\s*[:：]\s*$", re.I
)
#: Forms that end without a colon: Zoho's between dashes, and Zimbra's.
_BARE_ATTRIBUTION = re.compile(
    rf"-{{2,}} ?on\s[^\n]{{10,250}}\s(?:{_WROTE}) ?-{{2,}}"
    rf"|(?:on|am|le|el)\s[^\n]{{10,200}}<[^<>\s]+@[^<>\s]+>\s(?:{_WROTE})",
    re.I,
)
#: Old Gmail names no verb at all: a date, a zone and a name, alone between empty lines.
_DATE_AND_NAME = re.compile(r"\d{4}-\d\d-\d\d \d{1,2}:\d\d GMT[+-]\d\d:\d\d(?: [^\W\d_a-zà-ÿа-я][\w.'’-]{0,30}){1,4}")
#: A date and an address at the end: an attribution only where a quote follows at once.
_DATE_AND_ADDRESS = re.compile(r"\d{4}[-./]\d{1,2}[-./]\d{1,2}\s[^\n]{1,200}<[^<>\s]+@[^<>\s]+>", re.I)
_MAILTO = re.compile(r"\s?<mailto:[^<>\n]{0,300}>", re.I)
#: Words that open an attribution; with a date and an ending above they make one even where no ``>`` follows.
_ATTRIBUTION_START = re.compile(
    r"\s*(?:-{2,} ?)?(?:on|am|le|el|il|em|op|den|dne|dnia|w dniu|il giorno|på|ke|a\(z\)|tarihinde|вторник|вт|пн|ср|чт|пт"
    r"|сб|вс|(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?|ma|ti|to|pe|la|su|\d{1,4}[-./年])\b"
    r"|\s*\d{1,4}\s?[-./年]",
    re.I,
)
_DATED = re.compile(r"\b(?:19|20)\d\d\b|\b\d{1,2}[:.h]\d\d\b|年")
_SEPARATOR = re.compile(
    r"[\s*_]*[-_=]{2,}\s*(?:original message|original appointment|reply message|ursprüngliche nachricht"
    r"|originalnachricht|original-nachricht|ursprungliche nachricht|message d[’']origine|message original"
    r"|mensaje original"
    r"|mensagem original"
    r"|messaggio originale|oorspronkelijk bericht|ursprungligt meddelande|originalmeddelande"
    r"|oprindelig meddelelse"
    r"|opprinnelig melding|alkuperäinen viesti|původní zpráva|wiadomość oryginalna|исходное сообщение"
    r"|元のメッセージ|original メッセージ|原始邮件|原始郵件|원본 메시지|antwort nachricht|reply)\s*[-_=]{2,}[\s*_]*",
    re.I,
)
_FORWARDED = re.compile(
    r"[\s*_>]*(?:-{2,}|begin)\s*(?:forwarded|weitergeleitete|transféré|reenviad|doorgestuurd|inoltrat|vidarebefordrat)",
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


#: Outlook's link in an attribution, spread over lines of its own whose last looks like a quote.
_SPREAD_LINK = re.compile(
    r"\n{1,2}[ \t]*<[ \t]*\n[ \t]*(mailto:[^\n<>]{1,200}(?:<[^\n<>]{1,200}>)?)[ \t]*\n[ \t]*>[ \t]*"
)


def divide(text: str, parents: Sequence[str] = ()) -> tuple[str, str]:
    """The new text, and the part of it that stands above anything that may be the beginning of a quote.

    The second is the only place for commands, so there the doubt counts the other way: a line that only looks like
    the beginning of a quote ends it.
    """
    if "mailto:" in text:
        text = _SPREAD_LINK.sub(r" <mailto:> ", text)
    lines = text.split("\n")
    dropped = [_is_quoted(line) for line in lines]
    _drop_attributions(lines, dropped)
    _drop_sent_lines(lines, dropped, parents)
    cut = _cut(lines, dropped)
    if cut is not None:
        answers = _answers_below(lines[cut:], parents)
        dropped[cut:] = [i not in answers for i in range(len(lines) - cut)]
    _drop_signature(lines, dropped)
    lead = next((i for i, line in enumerate(lines) if dropped[i] or _may_begin_quote(lines, i)), len(lines))
    return _joined(lines, dropped), "\n".join(line.rstrip() for line in lines[:lead]).strip("\n")


def _is_quoted(line: str) -> bool:
    """True for a line that begins with ``>``, but not for one that is set between arrows."""
    bare = line.strip()
    return bare.startswith(">") and not (bare.startswith(">>") and bare.endswith("<<"))


_QUOTE_LIKE = re.compile(r"\s*(?:[>|»│┃]|-- ?$|[-_=*~#]{3,}|begin forwarded message|anfang der weitergeleiteten)", re.I)


def _may_begin_quote(lines: Sequence[str], i: int) -> bool:
    """True for every line that some mail program puts above or before a quote."""
    line = lines[i]
    if _QUOTE_LIKE.match(line):
        return True
    if _role(line) and i + 1 < len(lines) and _role(lines[i + 1]):
        return True
    return line.rstrip().endswith((":", "：")) and bool(_ATTRIBUTION_END.search(line[-_MAX_LINE:]))


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
    if len(lines[last]) > _MAX_LINE:
        return None
    bare = lines[last].strip()
    if _BARE_ATTRIBUTION.fullmatch(bare) or _DATE_AND_ADDRESS.fullmatch(bare):
        return last
    if not bare.endswith((":", "：")):
        return None
    found = None
    joined = ""
    for begin in range(last, max(last - 4, -1), -1):
        line = lines[begin]
        if dropped[begin] or not line.strip() or len(line) > _MAX_LINE:
            break
        joined = _MAILTO.sub("", f"{line.strip()} {joined}".strip())
        if not _ATTRIBUTION_END.search(joined[-_MAX_LINE:]):
            continue
        if _ATTRIBUTION_START.match(joined) and _DATED.search(joined):
            return begin
        if begin == last:
            found = begin
    return found


_MARKER_BEGINS = frozenset("*_-=>bB")


def _cut(lines: Sequence[str], dropped: Sequence[bool]) -> int | None:
    """The first line of an unmarked quote that goes on to the end: a separator, a header block, a whole attribution.

    Below the words that begin a forward nothing is a quote: it is what the writer wants to be read.
    """
    for i, line in enumerate(lines):
        bare = line.strip()
        if dropped[i] or not bare or len(line) > _MAX_LINE:
            continue
        # Of most lines the first character tells that they are no marker.
        marked = bare[0] in _MARKER_BEGINS
        if marked and _FORWARDED.match(line):
            return None
        if (marked and _SEPARATOR.fullmatch(line)) or _is_header_block(lines, i):
            return _above(lines, dropped, i)
        bare_form = _BARE_ATTRIBUTION.fullmatch(bare) or (_stands_alone(lines, i) and _DATE_AND_NAME.fullmatch(bare))
        if bare_form and any(text.strip() for text in lines[i + 1 : i + 50]):
            return i
        begins = _ATTRIBUTION_START.match(line) and any(
            text.strip() and not gone
            for text, gone in zip(lines[max(i - 200, 0) : i], dropped[max(i - 200, 0) : i], strict=True)
        )
        if begins and _whole_attribution(lines, i) and any(text.strip() for text in lines[i + 1 : i + 50]):
            return i
    return None


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
    if _RULE.fullmatch(lines[previous]):
        return previous
    attribution = _attribution(lines, previous, dropped)
    return first if attribution is None else attribution


def _whole_attribution(lines: Sequence[str], begin: int) -> bool:
    """True where an attribution with date, verb and address stands from line ``begin``, over at most four lines.

    In the midst of a paragraph it must end within its own line, and name the address as programs do: in angle brackets.
    """
    alone = not begin or not lines[begin - 1].strip()
    if not alone and "<" not in lines[begin]:
        return False
    joined = ""
    for line in lines[begin : begin + (4 if alone else 1)]:
        if not line.strip() or len(line) > _MAX_LINE:
            return False
        joined = _MAILTO.sub("", f"{joined} {line.strip()}")
        if line.rstrip().endswith((":", "：")):
            dates = len(_DATED.findall(joined))
            named = "@" in joined or (alone and dates > 1)
            return bool(named and dates and _ATTRIBUTION_END.search(joined[-_MAX_LINE:]))
    return False


_CLOCK = re.compile(r"\d{1,2}[:.h]\d\d")


def _is_header_block(lines: Sequence[str], begin: int) -> bool:
    """True where header lines follow each other as mail programs quote them, the first of them From or Date.

    Three make a block, or two that stand apart, of which one names an address and the other a date with its time.
    """
    start = _role(lines[begin])
    if start not in ("from", "sent"):
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
    known = roles.keys() & {"from", "sent", "to", "cc", "subject"}
    if len(known) >= 3:
        return "from" in roles or any("@" in line for line in roles.values())
    people = any("@" in line for role, line in roles.items() if role in ("from", "to"))
    apart = not begin or not lines[begin - 1].strip() or bool(_RULE.fullmatch(lines[begin - 1]))
    return apart and people and bool(_CLOCK.search(roles.get("sent", "")))


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
    word = name.strip(" \t*_\xa0").lower()
    return _ROLE.get(word, "") or _ROLE.get(word.removesuffix(" le").removesuffix(" am"), "") if colon else ""


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


_BRAND = (
    r"(?:iphone|ipad|ipod|android|samsung|galaxy|blackberry|windows|outlook|yahoo|sparrow|airmail|mailbox|spark|htc|alcatel"
    r"|huawei|xiaomi|nokia|pixel|k-9|proton ?mail|mail for|ti-\d|mobile device|mobile phone|cell|handy$|smartphone|tablet"
    r"|mobilgerät|mobiltelefon|telefon$|appareil|phone\W*$|mobile\W*$|mail\W*$|\[mail\]|телефон|планшет)"
)
#: What telephones and programs write below a mail of their own accord: sent, from, and a device right behind it.
_DEVICE = re.compile(
    r"\W*(?:sent|envoyé|enviado|inviato|verzonden|verstuurd|sendt|skickat|lähetetty|wysłane|odesláno|odoslané|gesendet"
    r"|отправлено|надіслано|poslano|trimis|gönderildi)\s"
    r"(?:from|via|with|using|depuis|desde|de|da|do|met|van|fra|från|mit|von|z|ze|из|с)\s"
    rf"(?:(?:my|a|mon|ma|mi|meu|minha|mijn|min|mitt|meinem|mojego|mého|моего)\s)?(?:[\w'’-]+\s){{0,2}}?{_BRAND}[^\n]{{0,80}}"
    r"|\W*sent by (?:galaxy|iphone|ipad|android|blackberry|outlook)\W*"
    rf"|\W*from my (?:[\w'’-]+\s){{0,2}}?{_BRAND}[^\n]{{0,20}}"
    r"|(?:von|diese nachricht wurde von) mein[^\n]{0,80}gesendet\W*|從我的[^\n]{0,40}傳送|从我的[^\n]{0,40}发送"
    r"|iPhone ?から送信|get (?:\[)?outlook for [^\n]{0,120}",
    re.I,
)
#: Below two dashes so many lines are a signature. Where there are more, people write their greeting there, and only
#: what follows a ruler (a disclaimer, as a rule) is taken for one; beyond the last figure it is all text.
_SIGNATURE_LINES, _LONGEST_SIGNATURE = 10, 80


#: Below dashes that somebody drew by hand, whoever asks for something still writes.
_REQUEST = re.compile(
    r"[?？]|\b(?:please|bitte|svp|s['’]il vous|merci de|por favor|per favore|alstublieft|graag|prosím|proszę|пожалуйста)\b",
    re.I,
)


def _drop_signature(lines: Sequence[str], dropped: list[bool]) -> None:
    """Mark the signature at the very end (RFC 3676 section 4.3; many programs lose the space behind its dashes).

    One above a quote stays: what stands there is part of what was written over it, as far as anybody can tell.
    """
    last = _last(lines, len(lines) - 1)
    if last < 0 or dropped[last]:
        return
    begin, ruler, size = last, 0, 0
    while begin >= 0 and not dropped[begin] and size <= _LONGEST_SIGNATURE and not _is_dashes(lines, begin):
        ruler = begin if _RULE.fullmatch(lines[begin]) else ruler
        size += bool(lines[begin].strip())
        begin -= 1
    if begin > 0 and _is_dashes(lines, begin) and not dropped[begin] and _any_left(lines, dropped, begin):
        sure = lines[begin] == "-- " or not _REQUEST.search("\n".join(lines[begin : last + 1]))
        first = ruler or last + 1 if size > _SIGNATURE_LINES else begin if sure else last + 1
        dropped[first : last + 1] = [True] * (last + 1 - first)
        last = first - 1
    while last > 0 and not dropped[last] and (not lines[last].strip() or _is_devices(lines[last])):
        dropped[last] = bool(lines[last].strip())
        last -= 1


def _is_dashes(lines: Sequence[str], i: int) -> bool:
    """Two dashes and a space; without the space only where nothing is written right above them."""
    if lines[i] == "-- ":
        return True
    # One character is no word: some programs leave a mark of theirs there.
    return lines[i].rstrip() == "--" and i > 0 and (len(lines[i - 1].strip()) <= 1 or not _WORD.search(lines[i - 1]))


def _last(lines: Sequence[str], last: int) -> int:
    while last >= 0 and not lines[last].strip():
        last -= 1
    return last


def _any_left(lines: Sequence[str], dropped: Sequence[bool], end: int) -> bool:
    return any(text.strip() and not gone for text, gone in zip(lines[:end], dropped[:end], strict=True))


def _is_devices(line: str) -> bool:
    return len(line) <= 160 and bool(_DEVICE.fullmatch(line.strip()))


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
