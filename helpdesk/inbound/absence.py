"""How the subjects of automatic replies are worded, in the languages that mail programs speak.

Every subject here is one line in lower case.
"""

from __future__ import annotations

import re

#: How mail programs begin the subject of an automatic reply; enough alone where the subject answered follows.
_AUTOMATIC_REPLY = (
    r"auto(?:mat(?:ic|ed))?[ -]?(?:reply|response|answer)",
    r"vacation (?:auto[ -]?)?(?:reply|response|message|notice|responder)",
    r"out[ -]of[ -](?:the[ -])?office (?:auto[ -]?reply|reply|response|notification|message)",
    r"auto(?:matische(?:s)?)?[ -]?antwort(?:mail)?",
    r"automatische abwesenheit\w{0,20}",
    r"abwesenheits(?:notiz|meldung|nachricht|assistent|info|hinweis|benachrichtigung)",
    r"automatisch antwoord",
    r"afwezigheids(?:bericht|assistent|melding)",
    r"automatiskt? svar",
    r"autosvar",
    r"frånvaro(?:meddelande|assistent)",
    r"fraværs(?:besked|melding|assistent)",
    r"automaattinen (?:poissaolo)?vastaus",
    r"poissaoloviesti",
    r"sjálfvirkt svar",
    r"r[ée]ponse automatique(?: d['’]absence)?(?: du bureau)?",
    r"(?:message|notification|avis) d['’]absence(?: du bureau)?",
    r"resp(?:uesta|osta) autom[áa]tica",
    r"resposta automàtica",
    r"erantzun automatikoa",
    r"risposta automatica",
    r"automatyczna odpowied[źz]",
    r"odpowied[źz] automatyczna",
    r"automatick[áa] odpov[ěe][ďd]",
    r"automatická odpoveď",
    r"automatikus válasz",
    r"samodejni odgovor",
    r"automatski odgovor",
    r"аутоматски одговор",
    r"automaatvastus",
    r"automātisk[āa] atbilde",
    r"automatinis atsakymas",
    r"otomatik (?:yanıt|cevap)",
    r"r[ăa]spuns automat",
    r"автоответ(?:чик)?",
    r"автоматический ответ",
    r"автоматична відповідь",
    r"автоматичен отговор",
    r"αυτόματη απάντηση",
    r"תשובה אוטומטית",
    r"מענה אוטומטי",
    r"رد تلقائي",
    r"ตอบกลับอัตโนมัติ|การตอบกลับอัตโนมัติ",
    r"(?:thư )?trả lời tự động",
    r"balasan (?:otomatis|automatik)",
    r"자동 ?(?:회신|응답|답장)",
    r"부재 ?중 자동 ?응답",
)
#: What people write, too: enough where the subject answered follows.
_AWAY = (
    r"out[ -]of[ -](?:the[ -])?office",
    r"ikke til stede",
    r"absence du bureau",
    r"absent du bureau",
    r"fuera de (?:la )?oficina",
    r"ausência tempor[áa]ria",
    r"fora do escrit[óo]rio",
    r"aus[êe]ncia do escrit[óo]rio",
    r"fuori (?:sede|ufficio)",
    r"assenza dall['’]ufficio",
    r"poza biurem",
    r"mimo kancelář",
    r"házon kívül",
    r"нет на рабочем месте",
)
#: Where words are written without a space.
_AUTOMATIC_REPLY_CJK = r"自動(?:応答|返信|回覆)|自动(?:答复|回复)|不在(?:通知|応答|連絡)|外出自动答复"
_BEGINS = re.compile(
    rf"[\[(【*]{{0,3}}(?:\[[^\[\]]{{1,60}}\] )?"
    rf"(?:(?:{'|'.join(_AUTOMATIC_REPLY)})(?=\s*[!.]?$|[\])*!]{{0,3}}\s*[:：]|\s*re[:：]|[\])*])"
    rf"|(?P<away>{'|'.join(_AWAY)})(?=[\])]?\s*[:：]|\s*re[:：]|[\])])"
    rf"|(?P<cjk>{_AUTOMATIC_REPLY_CJK})(?:メール|邮件|郵件)?(?=\s|$|[:：】\])）(（-]))"
)

#: What people write of the thing itself, rather than the subject that a machine answers.
_ABOUT_IT = re.compile(
    r"(?:do(?:es)?|did|is|are|was|has|can(?:not|'t)?|won't|will|how|why|what|when|where|who|not"
    r"|wie|warum|wann|wo|kann|lässt|funktioniert|geht|wird|ist|nicht|kein\w?"
    r"|comment|pourquoi|ne|n'est|est|cómo|por qué|no|como|não|come|perché|non|hoe|waarom|niet)\b|.*[?？]\s*$"
)
_ANSWERED = re.compile(r"[\s:：]*(?:re|aw|sv|antw|fwd?|wg|tr|odp|vs|ynt)\s*[:：]")

#: Words of absence that people use too: they count only in a mail that a machine has marked.
_ABSENCE = (
    "out of office",
    "out of the office",
    "out-of-office",
    "on vacation",
    "on holiday",
    "on leave",
    "away from",
    "vacation",
    "abwesen",
    "nicht im büro",
    "außer haus",
    "urlaub",
    "absence",
    "absent",
    "en congé",
    "en vacances",
    "ausente",
    "ausencia",
    "ausência",
    "fuera de la oficina",
    "fuera de oficina",
    "vacaciones",
    "férias",
    "fuori sede",
    "fuori ufficio",
    "assenza",
    "assente",
    "afwezig",
    "vakantie",
    "frånvar",
    "semester",
    "ferie",
    "fravær",
    "poissa",
    "lomalla",
    "nieobecn",
    "urlop",
    "nepřítomn",
    "neprítomn",
    "dovolen",
    "szabadság",
    "izinde",
    "concediu",
    "отсутств",
    "отпуск",
    "відпуст",
    "不在",
    "休假",
    "부재",
)
#: Followed by the subject that is answered.
_ABSENT_FROM = re.compile(
    rf"(?:away from [^:：]{{1,30}}|(?:{'|'.join(map(re.escape, _ABSENCE))})\w{{0,20}}"
    r"(?:[ (\[–-]{1,4}(?:until|till|to|from|bis|vom|von|ab|jusqu|du|au|hasta|del|fino|dal|tot|van|t\.o\.m|do|od|до|с|\d)"
    r"[^:：]{0,30})?)\s*[:：]"
)
#: Lotus writes of the absent in the third person.
_NAMED = re.compile(
    r"(?:auto: )?(.{1,80}?) (?:is out of the office|is on (?:vacation|leave|holiday)|ist außer haus|ist abwesend"
    r"|ist nicht im büro|est absent|est en congé|está ausente|está fuera|è fuori (?:sede|ufficio)|è assente|is afwezig"
    r"|is niet aanwezig)"
    r"(?=\s*(?:$|[.!,;:(\[/–-]|\d|(?:until|till|from|today|this|next|and|for|since|bis|vom|von|ab|und|heute|jusqu|du|et"
    r"|hasta|del|desde|y|fino|dal|e|tot|van|en|re)\b))"
)


def says_automatic(subject: str, *, marked: bool = True) -> bool:
    """True where a subject begins as mail programs begin that of an automatic reply.

    Where nothing else has ``marked`` the mail as an answer or a machine's, a person may write of such replies.

    >>> says_automatic("automatic reply: printer"), says_automatic("automatic reply does not work")
    (True, False)
    """
    subject = subject[:200]
    begin = _BEGINS.match(subject)
    if begin is None:
        return False
    behind = subject[begin.end() :]
    if marked or subject.startswith(("[", "(", "【", "*")) or _ANSWERED.match(behind):
        return True
    return not (begin["away"] or (begin["cjk"] and behind[:1].isspace()) or _ABOUT_IT.match(behind.lstrip(" :：!.")))


def says_away(subject: str, name: str, *, answers: bool) -> bool:
    """True where a subject says of its sender, called ``name``, that he is away, or puts that before what it answers.

    >>> says_away("bob miller is out of the office.", "Bob Miller", answers=False)
    True
    """
    if answers and _ABSENT_FROM.match(subject[:200]):
        return True
    found = _NAMED.match(subject[:200])
    if found is None:
        return False
    called, known = set(found[1].partition("/")[0].split()), set(name.lower().split())
    return subject.startswith("auto: ") or (bool(known) and (known <= called or called <= known))


def speaks_of_it(subject: str) -> bool:
    """True where a subject holds a word of absence, which says something in a machine's mail alone."""
    return any(word in subject for word in _ABSENCE)
