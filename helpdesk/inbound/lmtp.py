"""One LMTP connection (RFC 2033): as SMTP, but greeted with LHLO and answered once for each recipient.

aiosmtpd answers a mail once for all recipients (its issue 517), and a client such as Postfix would wait for the other
answers until it gives up and sends the mail again. ``keep`` takes a mail for all its recipients or for none, so the
answers are the same.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from helpdesk.inbound.smtp import Session

if TYPE_CHECKING:
    from helpdesk.inbound.listener import Listener


class LmtpSession(Session):
    """A session that knows LHLO, and neither HELO nor EHLO (RFC 2033 section 4.1)."""

    def __init__(self, listener: Listener, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(listener, loop)
        del self._methods["HELO"], self._methods["EHLO"]

    async def smtp_LHLO(self, hostname: str | None) -> None:
        await self._greet(hostname, extended=True)

    async def _answer(self, verdict: str) -> None:
        """One answer for each accepted RCPT, in their order, also where two named the same address (section 4.2)."""
        await self.reply(verdict, times=len(self._recipients))

    @property
    def _no_recipient(self) -> str:
        return "503 5.5.1 no recipient"

    @property
    def _protocol(self) -> str:
        return "UTF8LMTP" if self._utf8 else "LMTP"
