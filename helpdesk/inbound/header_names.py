"""Header names as mail programs of the world write them above what they quote or forward."""

from __future__ import annotations

from collections.abc import Mapping

#: Header names as mail programs write them, by language; a name may serve several languages.
_NAMES: Mapping[str, str] = {
    "from": (
        "from|sender|von|absender|de|expéditeur|expediteur|remitente|de la|expeditorul|expeditor|remetente|da|"
        "mittente|van|afzender|från|avsändare|fra|avsender|afsender|lähettäjä|saatja|od|odesílatel|odosielateľ|"
        "nadawca|feladó|küldő|šalje|šalje se|pošiljatelj|pošiljalac|šalju|kimden|gönderen|от|от кого|отправитель|"
        "від|від кого|відправник|подател|από|αποστολέας|no|nuo|siuntėjas|sūtītājs|差出人|送信者|发件人|發件人|"
        "寄件者|寄件人|보낸 사람|보낸사람|từ|người gửi|dari|pengirim|จาก|מאת|من|المرسل|frá|sendandi|nork|"
        "remitent|шаље|од|пошиљалац|испраќач|از|فرستنده|daripada|प्रेषक"
    ),
    "to": (
        "to|an|empfänger|à|a|pour|destinataire|para|destinatario|destinatarul|destinatar|către|catre|"
        "destinatário|per|aan|till|mottagare|til|mottaker|modtager|vastaanottaja|saaja|kellele|adressaat|komu|"
        "pre|adresát|do|adresat|odbiorca|címzett|prima|primatelj|za|kime|alıcı|кому|получатель|одержувач|до|προς|"
        "kam|kas|gavėjas|宛先|收件人|收件者|받는 사람|받는사람|đến|người nhận|tới|kepada|ke|untuk|ถึง|אל|إلى|الى|"
        "viðtakandi|prejemnik|за|прима|به|گیرنده|प्रति|per a|nori"
    ),
    "cc": (
        "cc|ccn|bcc|kopie|kopie (cc)|copie|copie à|copia|cópia|copie la|con copia|kopia|kopi|kopio|koopia|dw|udw|"
        "kópia|skrytá kopie|másolatot kap|másolat|kopija|bilgi|копия|копія|копие|κοιν.|κοιν|κοινοποίηση|抄送|"
        "密送|副本|密件副本|참조|숨은 참조|tembusan|סגור|עותק|نسخة|afrit|bilgi (cc)|写し"
    ),
    "date": (
        "date|sent|sent on|datum|gesendet|gesendet am|date d'envoi|envoyé|envoyé le|envoye|fecha|enviado|"
        "enviado el|enviada em|enviada|enviado em|data|dată|trimis|trimis la|trimisă|data trimiterii|inviato|"
        "verzonden|verzonden op|skickat|dato|sendt|päivämäärä|päiväys|lähetetty|kuupäev|saadetud|saatmisaeg|"
        "odesláno|odeslaná|odoslané|dátum|wysłano|wysłane|elküldve|küldve|dátuma|poslano|poslato|tarih|"
        "gönderilen|gönderildi|gönderme tarihi|дата|отправлено|отправлена|відправлено|надіслано|изпратено|"
        "ημερομηνία|στάλθηκε|εστάλη|nosūtīts|datums|išsiųsta|laikas|送信日時|送信日|日付|日時|发送时间|发送日期|"
        "時間|日期|时间|寄件日期|傳送日期|보낸 날짜|보낸날짜|날짜|ngày|đã gửi|gửi|tanggal|dikirim|terkirim|"
        "วันที่|ส่ง|תאריך|נשלח|בתאריך|التاريخ|تاريخ|تم الإرسال|dagsetning|дата отправки|enviat|"
        "bidalia|bidaltze-data|послато|датум|испратено|تاريخ الإرسال|ارسال شده|تاریخ|dihantar|tarikh|"
        "보낸시간|보낸 시간|已傳送|發送時間|發送日期|भेजा गया|दिनांक|дата на изпращане|gönderme tarihi"
    ),
    "subject": (
        "subject|betreff|objet|sujet|asunto|assunto|oggetto|onderwerp|ämne|emne|aihe|otsikko|teema|pealkiri|"
        "předmět|predmet|temat|tárgy|naslov|konu|тема|относно|тема письма|θέμα|temats|tēma|tema|件名|主题|主題|"
        "主旨|제목|chủ đề|tiêu đề|perihal|subjek|subyek|judul|เรื่อง|หัวเรื่อง|נושא|הנדון|الموضوع|موضوع|efni|"
        "subiect|subiectul|assumpte|gaia|zadeva|thema|предмет|موضوع|विषय|chủ đề thư|ชื่อเรื่อง"
    ),
    "other": (
        "reply-to|reply to|antwort an|antwort-an|répondre à|responder a|responder para|rispondi a|antwoord aan|"
        "svar till|svar til|importance|priority|priorität|wichtigkeit|importancia|importância|importanza|"
        "prioriteit|prioritet|attachments|attachment|anlagen|anlage|anhang|pièces jointes|pièce jointe|adjuntos|"
        "datos adjuntos|anexos|allegati|bijlagen|bijlage|bilagor|vedlegg|vedhæftede filer|liitteet|přílohy|"
        "prílohy|załączniki|mellékletek|вложения|添付ファイル|附件|첨부|sensitivity|flag status|organization|"
        "organisation|resent-from|resent-date|resent-to|resent-message-id|message-id|mime-version|content-type|"
        "x-mailer|user-agent|in-reply-to|references|list-id|return-path|delivered-to|received"
    ),
}
ROLE = {name.casefold(): role for role, names in _NAMES.items() for name in names.split("|")}

#: Marks of direction and width that programs put between letters and signs.
INVISIBLE = str.maketrans(
    "", "", "\ufeff\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069"
)


def role_of(name: str) -> str:
    """What the name in front of a colon stands for: from, to, cc, date, subject, other; "" where it is none of them.

    >>> role_of(" *Von*"), role_of("主　题"), role_of("Price")
    ('from', 'subject', '')
    """
    words = " ".join(name.strip(" \t*_\xa0\u3000").split()).casefold()
    return ROLE.get(words, "") or (not words.isascii() and ROLE.get(words.replace(" ", ""), "")) or ""
