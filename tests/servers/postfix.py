"""A real relay: Postfix with its own configuration, queue and log, on a high port of the loopback interface.

Only root can start it. Everything it takes goes to one next hop; its bounces go there too.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.servers.found import program
from tests.servers.ports import free_port, greeting

_MAIN = """
compatibility_level = 3.6
queue_directory = {d}/queue
data_directory = {d}/data
maillog_file = {d}/postfix.log
maillog_file_prefixes = {d}
mail_owner = postfix
setgid_group = postdrop
myhostname = relay.example
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_host_lookup = native
disable_dns_lookups = yes
default_transport = {next_hop}
relay_transport = {next_hop}
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
smtpd_tls_security_level = none
smtp_tls_security_level = none
smtp_connection_cache_on_demand = no
minimal_backoff_time = 2s
maximal_backoff_time = 4s
queue_run_delay = 2s
master_service_disable =
biff = no
{extra}
"""

_MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix  n  -  n  60  1  pickup
cleanup   unix  n  -  n  -   0  cleanup
qmgr      unix  n  -  n  300 1  qmgr
tlsmgr    unix  -  -  n  1000? 1 tlsmgr
rewrite   unix  -  -  n  -   -  trivial-rewrite
bounce    unix  -  -  n  -   0  bounce
defer     unix  -  -  n  -   0  bounce
trace     unix  -  -  n  -   0  bounce
verify    unix  -  -  n  -   1  verify
flush     unix  n  -  n  1000? 0 flush
proxymap  unix  -  -  n  -   -  proxymap
smtp      unix  -  -  n  -   -  smtp
relay     unix  -  -  n  -   -  smtp
lmtp      unix  -  -  n  -   -  lmtp
error     unix  -  -  n  -   -  error
retry     unix  -  -  n  -   -  error
discard   unix  -  -  n  -   -  discard
anvil     unix  -  -  n  -   1  anvil
scache    unix  -  -  n  -   1  scache
postlog   unix-dgram n - n  -   1  postlogd
"""


class Postfix:
    """``next_hop`` is a Postfix transport, ``smtp:[127.0.0.1]:2525`` or ``lmtp:inet:127.0.0.1:2424``."""

    def __init__(self, next_hop: str, extra: str = "") -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="pf", dir="/tmp"))
        self.folder.chmod(0o755)
        for name in ("queue", "data", "etc"):
            (self.folder / name).mkdir()
        shutil.chown(self.folder / "data", "postfix")
        main = _MAIN.format(d=self.folder, next_hop=next_hop, extra=extra)
        (self.folder / "etc" / "main.cf").write_text(main)
        (self.folder / "etc" / "master.cf").write_text(_MASTER.format(port=self.port))
        self._control("start")
        try:
            assert greeting(self.port, 20).startswith(b"220")
        except AssertionError:
            log = self.log()
            self.stop()
            raise AssertionError(f"Postfix does not start:\n{log}") from None

    def _control(self, verb: str) -> None:
        path = program("postfix")
        assert path is not None, "call require('postfix') first"
        run = subprocess.run([path, "-c", str(self.folder / "etc"), verb], capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, f"postfix {verb}: {run.stdout}{run.stderr}{self.log()}"

    def log(self) -> str:
        """What Postfix has to say, for a failure's message."""
        file = self.folder / "postfix.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def stop(self) -> None:
        """Stop it and remove its files with whatever is still queued."""
        with contextlib.suppress(AssertionError):
            self._control("stop")
        shutil.rmtree(self.folder, ignore_errors=True)
