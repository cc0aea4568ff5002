"""What stands below a writer's last words and is none of them: signatures, and what telephones and programs add."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SENT = (
    "sent|envoyé|enviado|enviat|inviato|verzonden|verstuurd|sendt|skickat|skickades|lähetetty|wysłan[eo]|odesláno|odoslané"
    "|gesendet|отправлено|надіслано|изпратено|послато|poslano|trimis|gönderildi|elküldve|στάλθηκε|saadetud|išsiųsta|nosūtīts"
    "|dikirim|đã gửi|נשלח|أرسلت|أُرسلت"
)
_FROM = (
    "from|via|with|using|depuis|à partir de|de pe|des del|desde|de|dal|da|do|met|vanaf|vanuit|van|fra|från|mit|von|z|ze|iz|s"
    "|из|от|са|с|з|az|από το|dari|từ|من|iš|no|minu"
)
_BRAND = (
    r"(?:i-?phon|ipad|ipod|android|samsung|galaxy|blackberry|windows|outlook|yahoo|sparrow|airmail|mailbox|spark|htc|alcatel"
    r"|huawei|xiaomi|nokia|pixel|k-9|proton ?mail|mail for|ti-\d|t-mobile|verizon|at&t|mobile device|mobile phone|cell|handy$"
    r"|smartphone|tablet|mobilgerät|mobiltelefon|telefon$|appareil|phone\W*$|mobile\W*$|mail\W*$|mail\.ru"
    r"|телефон|планшет|яндекс|gmx|web\.de|telekom|tuta|zoho|superhuman|mailspring|mailbird|bluemail|typeapp|aqua mail"
    r"|fastmail|thunderbird|em client|(?:nine|hey|front|newton|edison|canary|orange)\W*$)"
)
#: Sent, from, and a device right behind it; or the device first, where the language puts the verb last.
_DEVICE = re.compile(
    rf"\W*(?:{_SENT})\s(?:(?:{_FROM})\s)?(?:(?:my|a|mon|ma|mi|meu|minha|mijn|min|mitt|meinem|mojego|mého|моего)\s)?"
    rf"(?:[\w'’-]+\s){{0,2}}?(?:\w{{1,2}}-)?{_BRAND}[^\n]{{0,80}}"
    r"|\W*sent by (?:galaxy|iphone|ipad|android|blackberry|outlook)\W*"
    r"|\W*wysłane z aplikacji [^\n]{0,30}windows\W*"
    rf"|\W*from my (?:[\w'’-]+\s){{0,2}}?{_BRAND}[^\n]{{0,20}}"
    rf"|von (?:[\w.]+\s)?{_BRAND}[^\n]{{0,40}}gesendet\W*|von unterwegs gesendet\W*"
    rf"|(?:von|diese nachricht wurde von) mein\w{{0,2}}\s(?:[\w-]+\s){{0,2}}?(?:\w{{1,15}}-)?(?:{_BRAND}|handy|telefon)"
    r"[^\n]{0,60}gesendet\W*|[從从]我的[^\n]{0,40}(?:傳送|发送)|发自我的[^\n]{1,30}"
    rf"|\w{{0,3}}\s?{_BRAND}[^\n]{{0,10}}(?:から送信|에서 보냄)\W*"
    rf"|{_BRAND}[^\n]{{0,40}}(?:[dt][ae]n gönderildi|[bt][óo]l küldve)\W*|ส่งจาก\s?{_BRAND}[^\n]{{0,20}}",
    re.I,
)
#: No program says so, however the line begins: a clause behind a comma, a verb, a question.
_PROSE = re.compile(
    r",\s(?!an? |(?:please )?excuse)[a-zß-ÿ]|[?？]|\bon my\b"
    r"|\b(?:but|and|never|not|came|arrived|did|aber|und|nicht|wird|kam|mais|pero|maar|niet)\b"
)
#: Programs that ask their reader to get them too; an answer that only names the program is none of those.
_OFFER = re.compile(
    r"(?=[^\n]*outlook)(?=[^\n]*(?:ios|android))(?:[^\n]*\s)?(?:get|holen sie sich|beziehen|obtenir|télécharger|obtener|obtén"
    r"|obter|obtenha|scarica|ottieni|downloaden|download|hämta|hent|få|hanki|pobierz|získejte|получить|скачать|λήψη του"
    r"|letöltése|获取|取得|を入手|다운로드|edinin)(?:\s[^\n]*)?"
    r"|yahoo mail\s?[:：]\s?\w+, \w+,? \w+\W*"
    r"|[^\n.]{3,25}\.\s?(?:www\.)?avast\.(?:com|ru)\W*"
    r"|(?:this e-?mail has been checked for viruses by|diese e-mail wurde von) (?:avast|avg)[^\n]{0,60}",
    re.I,
)
_LINK = re.compile(r"\]\([^()\s]{1,300}\)|\s?<(?:https?:|www\.)[^<>\s]{1,300}>|[\[\]]", re.I)
_URL = re.compile(r"\W*(?:https?://|www\.)\S+\W*", re.I)
#: Below two dashes so many lines are a signature. Where there are more, people write their greeting there, and only
#: what follows a ruler (a disclaimer, as a rule) is taken for one; beyond the last figure it is all text.
_SIGNATURE_LINES, _LONGEST_SIGNATURE = 10, 80
_RULE = re.compile(r"\s*_{10,}\s*")
_WORD = re.compile(r"\w+")
#: Whoever asks for something, or has a postscript, still writes.
_REQUEST = re.compile(
    r"[?？]|^\W{0,3}p\.?\s?s\b"
    r"|\b(?:please|bitte|svp|s['’]il vous|merci de|por favor|per favore|alstublieft|graag|prosím|proszę|пожалуйста)\b",
    re.I | re.M,
)
#: What lawyers and friends of the trees ask for.
_BOILERPLATE = re.compile(
    r"\b(?:(?:consider|of|about) the environment|l['’]environnement|medio ambiente|umwelt|before (?:you )?print"
    r"|confidential|intended|privileged|notify the sender|vertraulich|confidentiel|confidencial|riservat)",
    re.I,
)
#: Jokes and wisdom, which stand in signatures, are of others.
_OWN = re.compile(
    r"\b(?:I|my|me|we|our|ich|mein\w{0,2}|wir|unser\w{0,2}|je|j['’]ai|mon|ma|nous|yo|mi|ik|mijn|io|mio|eu|jag|jeg)\b",
    re.I,
)


def drop_signature(lines: Sequence[str], dropped: list[bool]) -> None:
    """Mark the signature at the very end (RFC 3676 section 4.3; many programs lose the space behind its dashes).

    One above a quote stays: what stands there is part of what was written over it, as far as anybody can tell.
    """
    last = _last(lines, _drop_list_footer(lines, dropped))
    if last >= 0 and not dropped[last]:
        _drop_devices(lines, dropped, _drop_below_dashes(lines, dropped, last))


_LIST_RULE = re.compile(r"\s*(?:_{30,}|-{30,}|(?:-=){5,}-?)\s*")
_LIST_WORDS = re.compile(r"mailing ?list|listinfo|unsubscribe|abmelden|désabonner|darse de baja", re.I)
_LIST_LINE = re.compile(r"\W*(?:to |um |pour |para |http|unsubscribe\s?:)", re.I)
_LIST_LINES = 10


def _drop_list_footer(lines: Sequence[str], dropped: list[bool]) -> int:
    """Mark what a mailing list adds below a ruler at the very end; returns the last line that is left."""
    last = _last(lines, len(lines) - 1)
    if last >= 0 and not dropped[last] and _LIST_RULE.fullmatch(lines[last]):
        last -= 1
    begin = last
    while begin > 0 and last - begin < _LIST_LINES and not dropped[begin] and not _LIST_RULE.fullmatch(lines[begin]):
        begin -= 1
    footer = "\n".join(lines[begin : last + 1])
    addressed = "://" in footer or "@" in footer
    if begin <= 0 or not (_LIST_RULE.fullmatch(lines[begin]) and addressed and _LIST_WORDS.search(footer)):
        return len(lines) - 1
    # One line alone may be the writer's complaint.
    if last - begin < 2 and not _LIST_LINE.match(lines[last]):
        return len(lines) - 1
    if _REQUEST.search(footer) or not _any_left(lines, dropped, begin):
        return len(lines) - 1
    dropped[begin:] = [True] * (len(lines) - begin)
    return begin - 1


def _drop_below_dashes(lines: Sequence[str], dropped: list[bool], last: int) -> int:
    """Mark what two dashes set off at the end; returns the last line that is left."""
    begin, ruler, size = last, 0, 0
    while begin >= 0 and not dropped[begin] and size <= _LONGEST_SIGNATURE and not _is_dashes(lines, begin):
        ruler = begin if _RULE.fullmatch(lines[begin]) else ruler
        size += bool(lines[begin].strip())
        begin -= 1
    if begin > 0 and _is_dashes(lines, begin) and not dropped[begin] and _any_left(lines, dropped, begin):
        below = [line for line in lines[begin + 1 : last + 1] if not _BOILERPLATE.search(line)]
        apart = bool(below) and not below[0].strip() and any(map(_is_sentence, below[:2]))
        drawn = lines[begin] != "-- "
        # Below a program's dashes stands the signature first, and words only behind an empty line.
        words = below if drawn else below[below.index("") :] if "" in below else []
        own = any(_is_sentence(line) and _OWN.search(line) and line.rstrip()[-1:] in ".!" for line in words)
        told = own or (drawn and apart)
        sure = not told and not _REQUEST.search("\n".join(below))
        first = ruler or last + 1 if size > _SIGNATURE_LINES else begin if sure else last + 1
        dropped[first : last + 1] = [True] * (last + 1 - first)
        last = first - 1
    return last


def _is_sentence(line: str) -> bool:
    """True for five words or more that are not all written large, as names and offices are."""
    words = _WORD.findall(line)
    return len(words) >= 5 and sum(word[0].islower() for word in words) > 2


def _drop_devices(lines: Sequence[str], dropped: list[bool], last: int) -> None:
    """Mark the lines that a device has added, from line ``last`` upwards; a link of its own may stand below one."""
    while last > 0 and not dropped[last]:
        linked = bool(_URL.fullmatch(lines[last][:200])) and is_devices(lines[last - 1])
        if lines[last].strip() and not (linked or is_devices(lines[last])):
            return
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


def is_devices(line: str) -> bool:
    """True for a line that a telephone or program adds of its own accord.

    >>> is_devices("Sent from my iPhone"), is_devices("Outlook für iOS beziehen"), is_devices("Outlook for iOS")
    (True, True, False)
    """
    if len(line) > 400:
        return False
    bare = _LINK.sub("", line.strip()).strip()
    return len(bare) <= 160 and not _PROSE.search(bare) and bool(_DEVICE.fullmatch(bare) or _OFFER.fullmatch(bare))
