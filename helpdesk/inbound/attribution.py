"""The words above a quote that say who wrote it and when, as mail programs put them in the languages of the world.

Three things tell them from prose: an address in brackets, a date with its time, and a verb; two of them have to be there.
"""

from __future__ import annotations

import re

#: Verbs of attributions ("On ... Bob wrote:"), or as much of them as all their forms have in common.
_WROTE = (
    "wrote|writes|said|schrieb|schreibt|geschrieben|a écrit|écrit|a ecrit|escribió|escribio|escribiu|escreveu|ha scritto"
    "|scrive|schreef|geschreven|skrev|skrifaði|kirjoitti|kirjutas|napsa|napísa|napisa|pisze|píše|piše|писал|пишет|напис"
    "|пише|a scris|írta|yazdı|έγραψε|ha escrit|va escriure|rašė|parašė|rakstīja|idatzi|menulis|đã viết|sinulat|missatge de"
    "|さんは書きました|さんが書きました|のメール|写道|寫道|님이 작성|님의 말|작성|쓴 글|쓴 메시지|เขียน|כתב|كتب|نوشت"
)
_VERB = re.compile(_WROTE, re.I)
_IN_BRACKETS = r"<\s?[^<>\s]{1,64}@[^<>\s]{1,250}>|\(<?[^()<>\s]{1,64}@[^()<>\s]{1,250}>?\)"
_BRACKETS = re.compile(_IN_BRACKETS)
_END = re.compile(
    rf"(?:(?:{_WROTE})[\w/()-]{{0,10}}(?:\s(?:[^:：]|(?<=\d):(?=\d)){{0,80}})?|{_IN_BRACKETS})\s*[:：]\s*$", re.I
)
#: Tutanota names no verb and brackets nothing.
_DATE_BY_ADDRESS = re.compile(r"\d{1,4}[^\n@]{4,40}\d[:.]\d\d[^\n@]{0,20}\s[^\s<>@]{1,64}@[^\s<>@]{1,250}:", re.I)
#: Forms that end without a colon: Zoho's between dashes, and Zimbra's.
_BARE = re.compile(
    rf"-{{2,}} ?(?:on|am|le|el|il|em|op|den)\s[^\n]{{10,250}}\s(?:{_WROTE})[\w()]{{0,10}} ?-{{2,}}"
    rf"|(?:on|am|le|el)\s[^\n]{{10,200}}<[^<>\s]+@[^<>\s]+>\s(?:{_WROTE})",
    re.I,
)
#: Words that open an attribution; with a date and an ending above they make one even where no ``>`` follows.
_START = re.compile(
    r"\s*---+\s|\s*(?:-{2,} ?)?(?:on|am|le|el|il|em|op|den|dne|dnia|w dniu|il giorno|på|ke|a\(z\)|tarihinde|вторник"
    r"|вт|пн|ср|чт|пт|сб|вс|(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?|ma|ti|to|pe|la|su|\d{1,4}[-./年])\b"
    r"|\s*\d{1,4}\s?[-./年]",
    re.I,
)
DATED = re.compile(r"\b(?:19|20)\d\d\b|\b\d{1,2}[:.h]\d\d\b|年")
#: A day with its year, in the digits of any script, and a time.
_DAY = re.compile(r"(?<!\d)[12۱۲١٢]\d{3}(?!\d)|\d{1,4}[./-]\s?\d{1,2}[./-]\s?\d{2}")
_CLOCK = re.compile(r"(?<![\d.])\d{1,2}[:.h]\d\d(?![./-]?\d{2})|\d[:.]\d\d[:.]\d\d")


#: Programs write of others, and name them; whoever writes of himself or of "our customer" tells a story.
_STORY = re.compile(
    r"\b[Ii](?: have|['’]ve)? wrote\b|\b[Ww]e wrote\b|\bschrieb(?:en)? (?:ich|wir)\b|\b(?:[Ii]ch|[Ww]ir) (?:schrieb|habe)"
    r"|\b[Jj]['’]ai [ée]crit|\b[Nn]ous avons écrit"
    r"|\b[Hh]o scritto|\b[Ee]scribí\b|\b[Ee]screvi\b|\bschreef ik\b|\b[Ii]k schreef"
    r"|\bskrev jag\b|\b[Jj]ag skrev|\bskrev jeg\b|\b[Jj]eg skrev"
    r"|\b(?:the|our|my|your|unser(?:e|em)?|[Mm]ein(?:e|em)?|notre|votre|nuestr[oa]|nostr[oa]|onze|mijn) [^\W\d_]{2}"
)


def is_story(text: str) -> bool:
    """True for a sentence that a person has written, though it has all that an attribution has.

    >>> is_story("On 2 March 2026 our customer Bob <bob@globex.example> wrote:")
    True
    """
    return bool(_STORY.search(text))


def may_be(text: str) -> bool:
    """Whether the last line of an attribution may read like this, story or not: for where a doubt is enough."""
    # Asked of every line: what the last sign tells is asked first.
    if (text.rstrip().endswith((":", "：")) and _END.search(text)) or _BARE.fullmatch(text):
        return True
    return "@" in text and bool((DATED.search(text) or _DAY.search(text)) and _BRACKETS.search(text))


def ends(text: str) -> bool:
    """Whether an attribution may end with this text: a verb or an address, and a colon."""
    return text.rstrip().endswith((":", "：")) and bool(_END.search(text)) and not is_story(text)


def begins(text: str) -> bool:
    """Whether the text begins as attributions of many programs do."""
    return bool(_START.match(text))


def is_bare(text: str) -> bool:
    """True for the whole attributions that need no colon."""
    return bool(_BARE.fullmatch(text)) and not is_story(text)


def is_whole(text: str) -> bool:
    """True where the text has all that an attribution has, from the first word to the colon."""
    if not text.endswith((":", "：")) or is_story(text) or not (DATED.search(text) or _DAY.search(text)):
        return False
    if (begins(text) and ends(text)) or _DATE_BY_ADDRESS.fullmatch(text):
        return True
    return bool(_DAY.search(text) and _CLOCK.search(text) and (_BRACKETS.search(text) or _VERB.search(text)))


#: A name with its address, as the first words; each word of the name is written large.
_NAME_FIRST = re.compile(rf"[\"'„“«]?(?:[^\W\d_][\w.'’\"”»,-]{{0,40}}\s){{0,6}}(?:{_IN_BRACKETS})")
_DATE_FIRST = re.compile(rf"[^<>]{{0,30}}\d[^<>]{{0,120}}(?:{_IN_BRACKETS})[^<>]{{0,40}}[:：]")


def names_writer(text: str) -> bool:
    """True where date and address stand as in the attribution of a program, so that no mark of a quote is needed."""
    if is_story(text) or not (
        _DAY.search(text) and (begins(text) or _CLOCK.search(text)) and (ends(text) or _VERB.search(text))
    ):
        return False
    name = _NAME_FIRST.match(text)
    if name:
        return not any(word[0].islower() for word in _BRACKETS.split(name[0])[0].split())
    return bool(begins(text) and _BRACKETS.search(text)) or bool(_DATE_FIRST.fullmatch(text))


_BEFORE_VERB = re.compile(
    rf"((?:[^\W\d_][\w.'’\"”»&-]{{0,40}}\s){{0,6}}?)(?:{_IN_BRACKETS})?\s?(?:{_WROTE})[^\n]{{0,60}}[:：]", re.I
)


def may_stand_above(text: str) -> bool:
    """True for what may stand right above a quote: some date or, without any, a name, an address, a verb and nothing else.

    >>> may_stand_above("Acme Support <support@acme.example> wrote:"), may_stand_above("Please pay Ann <ann@acme.example>:")
    (True, False)
    """
    if not ends(text):
        return False
    if _DAY.search(text) or (begins(text) and any(map(str.isdigit, text))):
        return True
    found = _BEFORE_VERB.fullmatch(text.lstrip("\"'„“«"))
    words = found[1].split() if found else []
    # "You" and "he" are small, but alone.
    return bool(found) and (len(words) < 2 or not any(word[0].islower() for word in words))


_VERB_AND_FORM = re.compile(rf"(?:{_WROTE})[\w/()-]{{0,10}}", re.I)


def names_somebody(text: str) -> bool:
    """True where the word beside the verb may be a name; "the customer wrote" is prose, and so is "wrote this"."""
    if text[:1].islower():
        return False
    verbs = list(_VERB_AND_FORM.finditer(text))
    if not verbs:
        return "@" in text
    behind = text[verbs[-1].end() :].strip(" :：()")
    if behind:
        return not behind[0].islower()
    before = re.split(r"[,،，]", text[: verbs[-1].start()])[-1].split()
    # People have small names too, but articles and pronouns are none.
    return bool(before) and (not before[-1][0].islower() or (len(before) == 1 and len(before[0]) > 4))
