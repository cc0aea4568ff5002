"""What kind of mail it is, told from headers and structure (RFC 3834, 3464, 8098).

The words of its body count in one case alone: where a mail system sent it, they tell a bounce.
"""

from __future__ import annotations

import re

from helpdesk.domain.mail import Mailbox
from helpdesk.domain.reading import Kind
from helpdesk.inbound import absence, bounce, bounce_prose, challenge, mime
from helpdesk.inbound.header import Fields, first, line

_BOUNCE_SUBJECT = re.compile(
    r"undeliver|delivery (?:status|failure|has failed|problem)|delivery notification|returned mail|mail delivery failed"
    r"|failure notice|could not be delivered|non remis|unzustellbar|zustellung|nicht zugestellt|no se puede entregar"
    r"|mancato recapito|onbestelbaar|mail system error|message not delivered|rejected|mail failed|returning to sender"
    r"|undelivered|nondeliverable|delivery report|delivery error|unable to deliver"
)
#: Nothing but a mail system begins a subject so.
_SURE_SUBJECT = re.compile(
    r"undeliver\w{0,6}(?:\s*:|\s*$|\s+(?:e-?mail|message)\b)|nondeliver|delivery status notification|returned mail"
    r"|mail delivery (?:failed|system)|failure notice"
    r"|unzustellbar"
)
_DELAY_SUBJECT = re.compile(
    r"delayed|\bdelay\b|warning: could not send|still being retried|verzögert|en attente|retard|retras|ritard|atras"
    r"|vertraagd|vertraging|försen|forsink|opóźni|opožd|задерж|затрим|遅延|延迟|延遲|지연"
)
#: What calls itself so in a field that names a program.
_RESPONDER = re.compile(r"\bauto-?responder\b|\bresponder for |^vacation[ /-]?v?\d", re.I)
#: An address may be of a person whose name or business it is.
_DELIVERED_TO_ONE = re.compile(r"responder for |(?:auto-?responder|vacation)\b[^@]*$", re.I)
_MACHINE_HEADERS = (
    "x-autoreply",
    "x-autorespond",
    "x-autoresponder",
    "x-auto-responder",
    "x-autoreply-from",
    "x-mail-autoreply",
    "x-autoreply-domain",
    "x-auto-reply",
    "x-vacation",
    "x-rocket-vacation",
    "x-auto-response",
    "x-cron-env",
    "x-fc-machinegenerated",
)
#: What a list sets on whatever passes it.
_OF_LISTS = (
    "list-id",
    "list-post",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "list-help",
    "list-owner",
    "list-archive",
    "list-subscribe",
    # Of list managers that set none of the fields above.
    "mailing-list",
    "x-mailing-list",
    "x-beenthere",
    "x-ml-name",
    "list-software",
)
_LIST_HEADERS = (
    *_OF_LISTS,
    # Set by senders of campaigns and by other helpdesks: a person may have written it, but nobody waits for our answer.
    "feedback-id",
    "x-loop",
    "x-otrs-loop",
    "x-rt-loop-prevention",
    "x-servicenow-generated",
    "x-campaign",
    "x-campaignid",
    "x-csa-complaints",
)


#: Providers that send complaints in no standard form, by their subject.
_COMPLAINT_SUBJECT = re.compile(r"(?:complaint about message from|email (?:feedback|abuse) report\b|abuse report)")
#: Prescribed by RFC 7489 section 7.2.1.1 and RFC 8460 section 5.3.
_DMARC_SUBJECT = re.compile(r"\s*report domain: .{1,300} submitter: ")


def kind(
    data: bytes, tree: mime.Tree, return_path: str | None, sender: Mailbox | None, text: str = ""
) -> tuple[Kind, str]:
    """The kind of a mail and why, in a few words for people.

    ``return_path`` is "" for the null reverse path, ``text`` the mail's own.
    """
    fields = tree.parts[0].fields
    subject = line(first(fields, "subject")).lower()
    return (
        _report(data, tree, return_path)
        or _mailer_daemon(tree, return_path, sender, subject, text)
        or _challenge(fields, return_path, subject, text)
        or _says_automatic(fields, subject, sender, return_path)
        or _bulk(fields)
        or _bulk(_filtered(data, tree))
        or _hints(fields, tree.parts[0].type, return_path)
        or (Kind.HUMAN, "no sign of a machine")
    )


def _report(data: bytes, tree: mime.Tree, return_path: str | None) -> tuple[Kind, str] | None:
    """Delivery status (RFC 3464), read receipt (RFC 8098) or complaint (RFC 5965), told from the parts."""
    subject = line(first(tree.parts[0].fields, "subject")).lower()
    person = return_path != "" and not _of_nobody(tree)

    def by_a_person(number: int) -> bool:
        return person and _follows_words(tree, number)

    for number, part in enumerate(tree.parts[:20]):
        if part.type in bounce.STATUS_TYPES:
            if number and tree.parts[part.parent].type != "multipart/report" and not _of_nobody(tree):
                continue
            if by_a_person(number):
                continue
            return _delivery_status(mime.decode_body(data[part.start : part.end], part.encoding))
        if part.type in bounce.RECEIPT_TYPES:
            if number and tree.parts[part.parent].type != "multipart/report" and _ANSWER.match(subject):
                continue
            if by_a_person(number):
                continue
            return Kind.RECEIPT, "is a read receipt"
        if part.type == "text/calendar" and part.params.get("method", "").lower() in ("reply", "counter"):
            if part.disposition[0] == "attachment" and by_a_person(number):
                continue
            return Kind.CALENDAR, "is an answer to an invitation"
        if part.type == "message/feedback-report" and not by_a_person(number):
            return Kind.COMPLAINT, "is a complaint report of a mail provider"
    root = tree.parts[0]
    returned = any(part.type in bounce.RETURNED_TYPES for part in tree.parts[1:20])
    if returned and _COMPLAINT_SUBJECT.match(subject.strip()):
        return Kind.COMPLAINT, "has the subject of a complaint, and the mail it is about"
    report = root.params.get("report-type", "").lower() if root.type == "multipart/report" else ""
    if report == "disposition-notification":
        return Kind.RECEIPT, "is a read receipt"
    if report == "delivery-status":
        return Kind.BOUNCE, "is a delivery status report"
    if report == "feedback-report":
        return Kind.COMPLAINT, "is a complaint report of a mail provider"
    return None


def _follows_words(tree: mime.Tree, number: int) -> bool:
    """True where a part is attached below words: people attach the reports of machines to mails of their own."""
    while (parent := tree.parts[number].parent) >= 0:
        if tree.parts[parent].type == "multipart/mixed":
            before = (one for one in tree.parts[parent + 1 : number] if one.parent == parent and one.end > one.start)
            if any(one.type.startswith("text/") or one.type == "multipart/alternative" for one in before):
                return True
        number = parent
    return False


def _delivery_status(body: bytes) -> tuple[Kind, str]:
    """Judged by the worst Action of all recipients."""
    actions = bounce.actions(body)
    if not actions or "failed" in actions:
        return Kind.BOUNCE, "is a delivery status report: failed"
    if "delayed" in actions:
        return Kind.DELAYED, "is a delivery status report: delayed"
    return Kind.RECEIPT, f"is a delivery status report: {', '.join(sorted(actions))[:60]}"


def _of_nobody(tree: mime.Tree) -> bool:
    """True where From is the null address, as some mail systems write it."""
    return first(tree.parts[0].fields, "from").strip() == "<>"


#: Who sends reports, whatever the address, and what their programs mark them with.
_DAEMON_NAME = re.compile(
    r"mailer-daemon(?![ .+-]?[^\W\d])|^[\s\"]*(?:mail delivery (?:sub)?system|courier mail server at)\b"
)
_REPORT_HEADERS = ("x-ms-exchange-message-is-ndr", "x-mddsn-message")
_DAEMONS = (
    "mailer-daemon",
    "postmaster",
    "post_master",
    "mailerdaemon",
    "mail-daemon",
    "mailer_daemon",
    "microsoftexchange",
    "mdaemon",
)


#: Postmasters are people, too: where a program for people wrote, or a mail is answered, their words tell no bounce.
_ANSWER = re.compile(r"\s*(?:re|aw|sv|antw|fwd?|wg|tr)\s*:")
_BY_A_PERSON = ("in-reply-to", "references", "user-agent", "x-mailer", "thread-topic")


def _mailer_daemon(
    tree: mime.Tree, return_path: str | None, sender: Mailbox | None, subject: str, text: str
) -> tuple[Kind, str] | None:
    """Bounces in no standard form: by the mail system and looking like one; the name alone is not enough."""
    fields = tree.parts[0].fields
    if "x-failed-recipients" in fields:
        late = _DELAY_SUBJECT.search(subject)
        return Kind.DELAYED if late else Kind.BOUNCE, "names failed recipients"
    raw = first(fields, "from").lower()
    local = sender.address.partition("@")[0].lower() if sender else ""
    daemon = _is_daemon(local) or bool(_DAEMON_NAME.search(raw)) or _of_nobody(tree)
    daemon = daemon or any(name in fields for name in _REPORT_HEADERS)
    if not daemon and return_path != "":
        return None
    looks = bool(_BOUNCE_SUBJECT.search(subject)) and (daemon or "auto-submitted" not in fields)
    if not daemon:
        if _SURE_SUBJECT.match(subject) or (looks and _speaks_of_failure(fields, text)):
            return Kind.BOUNCE, "has an empty return path and the subject of a bounce"
        answer = _ANSWER.match(subject) or absence.says_automatic(subject)
        if not answer and _speaks_of_failure(fields, text, surely=True):
            return Kind.BOUNCE, "has an empty return path and names a recipient and his status code"
        return None
    if _DELAY_SUBJECT.search(subject):
        return Kind.DELAYED, "is by the mail system and says delayed"
    returned = any(part.type in ("message/rfc822", "text/rfc822-headers") for part in tree.parts[1:20])
    person = local == "postmaster" and any(name in fields for name in _BY_A_PERSON)
    if local == "postmaster" and looks:
        looks = bool(_SURE_SUBJECT.match(subject)) or _speaks_of_failure(fields, text)
    if return_path == "" or returned or (looks and not (person and _ANSWER.match(subject))):
        return Kind.BOUNCE, "is by the mail system and looks like a bounce"
    if person:
        return None
    return (Kind.BOUNCE, "is by the mail system and speaks of a failure") if _speaks_of_failure(fields, text) else None


def _is_daemon(local: str) -> bool:
    """True for a mail system's name, also with a number or hash behind it; with letters alone it is a person's."""
    return local in _DAEMONS or (local.startswith(_DAEMONS) and any(map(str.isdigit, local)))


def _speaks_of_failure(fields: Fields, text: str, *, surely: bool = False) -> bool:
    """``surely``: a recipient and an enhanced status code stand there, in no quote."""
    if surely:
        text = "\n".join(one for one in text[: bounce_prose.PROSE].split("\n") if not one.lstrip().startswith(">"))
    said, _ = bounce_prose.read(text, first(fields, "from"), first(fields, "to"))
    if surely:
        return any(one.recipient and one.status.startswith("5.") and not one.status.endswith(".0.0") for one in said)
    return any(one.status or one.recipient for one in said)


def _challenge(fields: Fields, return_path: str | None, subject: str, text: str) -> tuple[Kind, str] | None:
    if absence.says_automatic(subject):
        return None
    one = challenge.is_one(fields, return_path, text, machine=bool(_machine_header(fields)))
    return (Kind.CHALLENGE, "holds a mail back until its sender proves to be a person") if one else None


def _says_automatic(
    fields: Fields, subject: str, sender: Mailbox | None, return_path: str | None
) -> tuple[Kind, str] | None:
    why = _machine_header(fields)
    answers = "in-reply-to" in fields or "references" in fields
    marked = bool(why) or answers or return_path == "" or "x-auto-response-suppress" in fields
    if absence.says_automatic(subject, marked=marked) or absence.says_away(
        subject, sender.name if sender else "", answers=answers
    ):
        return Kind.OUT_OF_OFFICE, why or "has the subject of an automatic reply"
    precedence = first(fields, "precedence").strip().lower()
    if not why and answers and precedence in ("bulk", "junk") and not any(name in fields for name in _LIST_HEADERS):
        why = f"says Precedence: {precedence}" if absence.speaks_of_it(subject) else ""
    if not why:
        return None
    return (Kind.OUT_OF_OFFICE if absence.speaks_of_it(subject) else Kind.AUTO_REPLY), why


_COMMENT = re.compile(r"\([^()]{0,500}(?:\)|$)")


def _machine_header(fields: Fields) -> str:
    """The header by which a machine says that it is one, "" where none does."""
    for name in ("auto-submitted", "x-auto-submitted"):
        submitted = _COMMENT.sub("", first(fields, name)[:500]).partition(";")[0].strip(' "').lower()
        if submitted and submitted != "no":
            return f"says {name.title()}: {line(submitted, 60)}"
    if "oof" in first(fields, "x-ms-exchange-generated-message-source").lower():
        return "says X-Ms-Exchange-Generated-Message-Source: OOF"
    for name in _MACHINE_HEADERS:
        if name in fields and first(fields, name).strip().lower() not in ("no", "false", "0"):
            return f"has {name.title()}"
    for name in ("precedence", "x-precedence"):
        if first(fields, name).strip().lower().replace("-", "_") in ("auto_reply", "autoreply"):
            return f"says {name.title()}: auto_reply"
    if first(fields, "x-autogenerated").strip().lower() == "reply":
        return "says X-Autogenerated: reply"
    if any(_DELIVERED_TO_ONE.match(value.strip()) for value in fields.get("delivered-to", ())[:20]):
        return "says Delivered-To: Autoresponder"
    for name in ("x-mailer", "x-post-messageclass"):
        if _RESPONDER.search(first(fields, name)[:200]):
            return f"says {name.title()}: {line(first(fields, name), 60)}"
    return ""


def _bulk(fields: Fields) -> tuple[Kind, str] | None:
    for name in _LIST_HEADERS:
        if name in fields:
            return Kind.BULK, f"has {name.title()}"
    for name in ("precedence", "x-precedence"):
        said = first(fields, name).strip().lower()
        if said in ("bulk", "junk", "list"):
            return Kind.BULK, f"says {name.title()}: {said}"
    return None


def _filtered(data: bytes, tree: mime.Tree) -> Fields:
    """The fields of a mail that SpamAssassin wrapped into a report of its own; none where it did not."""
    for part in tree.parts[1:5]:
        if part.type == "message/rfc822" and part.params.get("x-spam-type", "").lower() == "original":
            return mime.read_fields(data[: part.end], part.start)[0]
    return {}


def is_persons_behind_list(root: mime.Part, return_path: str | None) -> bool:
    """Whether nothing but the marks of a list says that a mail of kind bulk is no person's."""
    fields = {name: values for name, values in root.fields.items() if name not in _OF_LISTS}
    if first(fields, "precedence").strip().lower() == "list":
        del fields["precedence"]
    return not (_bulk(fields) or _hints(fields, root.type, return_path))


def _hints(fields: Fields, kind: str, return_path: str | None) -> tuple[Kind, str] | None:
    """What only machines set, though it says something else; ``kind`` is the type of the whole mail."""
    if kind == "multipart/report" or _DMARC_SUBJECT.match(line(first(fields, "subject")).lower()):
        return Kind.AUTO_REPLY, "is a report of a machine"
    suppress = {word.strip().lower() for word in first(fields, "x-auto-response-suppress").split(",")}
    if suppress & {"all", "autoreply", "oof"}:
        return Kind.AUTO_REPLY, "asks for no automatic reply (X-Auto-Response-Suppress)"
    if return_path == "":
        return Kind.AUTO_REPLY, "has an empty return path"
    return None


def spam_verdict(fields: Fields) -> str:
    """The header by which a spam filter condemned the mail, "" where none did.

    Whoever forges one harms only his own mail, so any filter on the way is heard.

    >>> spam_verdict({"x-spam-status": ["Yes, score=9.1 required=5.0"]})
    'X-Spam-Status: Yes'
    """
    for name, condemned in _SPAM_HEADERS.items():
        for value in fields.get(name, ())[:5]:
            if found := condemned.match(value.strip()):
                return f"{name.title()}: {line(found[0], 60)}"
    return ""


_YES = re.compile(r"(?:yes|true|spam)\b", re.I)
_SPAM_HEADERS = {
    "x-spam-flag": _YES,
    "x-spam-status": _YES,
    "x-spam": _YES,
    "x-spam-action": re.compile(r"(?:reject|rewrite subject|add header|quarantine|discard)\b", re.I),
    "x-rspamd-action": re.compile(r"(?:reject|rewrite subject|add header|quarantine|discard)\b", re.I),
    "x-ms-exchange-organization-scl": re.compile(r"[5-9]$"),
    "x-forefront-antispam-report": re.compile(r"(?:[^;]{0,100};){0,20}SFV:SPM", re.I),
}
