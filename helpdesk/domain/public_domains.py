"""Mail domains where anybody gets an address: they say nothing about the organisation of a sender."""

from __future__ import annotations

_NAMES = """
126.com 139.com 163.com 163.net 189.cn 21cn.com abv.bg aim.com alice.it aliyun.com aol.com aol.de arcor.de
att.net attglobal.net bbox.fr bellsouth.net bigpond.com bk.ru bluewin.ch bol.com.br btinternet.com centrum.cz
charter.net comcast.net cox.net daum.net disroot.org duck.com earthlink.net eircom.net email.com email.cz
email.it fastmail.com fastmail.fm foxmail.com free.fr freemail.hu freenet.de gmail.com gmx.at gmx.ch gmx.com
gmx.de gmx.fr gmx.net googlemail.com hanmail.net hey.com hotmail.co.jp hotmail.co.uk hotmail.com hotmail.com.br
hotmail.de hotmail.es hotmail.fr hotmail.it hushmail.com i.ua icloud.com inbox.lv inbox.ru interia.pl
internode.on.net juno.com kolabnow.com kpnmail.nl laposte.net libero.it list.ru live.cn live.co.uk live.com
live.com.au live.de live.fr live.it live.nl mac.com mail.bg mail.com mail.de mail.ee mail.ru mailbox.org
mailfence.com mailinator.com me.com msn.com nate.com naver.com neuf.fr nifty.com ntlworld.com numericable.fr
o2.pl onet.pl online.de ono.com optonline.net optusnet.com.au orange.fr outlook.at outlook.be outlook.com
outlook.com.br outlook.de outlook.es outlook.fr outlook.it outlook.jp pm.me post.cz poste.it posteo.de
posteo.net proton.me protonmail.ch protonmail.com qq.com rambler.ru rediffmail.com riseup.net rocketmail.com
rogers.com runbox.com sapo.pt sbcglobal.net seznam.cz sfr.fr shaw.ca sina.cn sina.com sky.com skynet.be sohu.com
startmail.com sympatico.ca t-online.de talktalk.net telefonica.net telenet.be telia.com telus.net terra.com.br
tin.it tiscali.it tuta.com tuta.io tutanota.com ukr.net uol.com.br vip.qq.com virgilio.it virginmedia.com
vodafone.it voila.fr walla.co.il wanadoo.fr web.de windowslive.com wp.pl xs4all.nl xtra.co.nz y7mail.com ya.ru
yahoo.ca yahoo.co.id yahoo.co.in yahoo.co.jp yahoo.co.kr yahoo.co.nz yahoo.co.uk yahoo.com yahoo.com.ar
yahoo.com.au yahoo.com.br yahoo.com.hk yahoo.com.mx yahoo.com.ph yahoo.com.sg yahoo.com.tw yahoo.com.vn yahoo.de
yahoo.es yahoo.fr yahoo.gr yahoo.ie yahoo.in yahoo.it yahoo.pl yahoo.se yandex.by yandex.com yandex.kz yandex.ru
yeah.net ymail.com ziggo.nl zoho.com zohomail.com zoznam.sk
"""

PUBLIC_MAIL_DOMAINS = frozenset(_NAMES.split())
