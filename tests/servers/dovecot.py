"""A real IMAP server: Dovecot from a generated file, without root, on free ports of the loopback interface.

Any user name logs in with the one password, so each test takes a name of its own and nothing is ever restarted.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import imapclient

from tests.servers.certificate import Certificate
from tests.servers.found import program
from tests.servers.ports import free_port, greeting, wait_for

PASSWORD = "open-sesame"

_SERVICES = """
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = {imaps_port}
  }}
}}
service lmtp {{
  chroot =
  inet_listener lmtp {{
    port = {lmtp_port}
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
"""

_COMMON = """
base_dir = {d}/run
state_dir = {d}/state
log_path = {d}/dovecot.log
protocols = imap{lmtp}
listen = 127.0.0.1
ssl = yes
auth_failure_delay = 0
auth_mechanisms = plain login
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 0
first_valid_gid = 0
mail_fsync = never
mail_max_userip_connections = 100
hostname = mail.example
postmaster_address = postmaster@mail.example
recipient_delimiter = +
"""

_AS_OF_2_3 = (
    _COMMON
    + """
ssl_cert = <{cert}
ssl_key = <{key}
disable_plaintext_auth = no
mail_location = maildir:{d}/mail/%u
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={d}/home/%u allow_all_users=yes
}}
"""
    + _SERVICES
)

_AS_OF_2_4 = (
    """
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
"""
    + _COMMON
    + """
ssl_server_cert_file = {cert}
ssl_server_key_file = {key}
auth_allow_cleartext = yes
mail_driver = maildir
mail_path = {d}/mail/%{{user}}
mail_home = {d}/home/%{{user}}
mail_uid = {uid}
mail_gid = {gid}
passdb static {{
  password = {password}
}}
userdb static {{
  allow_all_users = yes
}}
"""
    + _SERVICES
)


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One user's mail on a started Dovecot."""

    server: Dovecot
    user: str
    password: str = PASSWORD

    def connect(self) -> imapclient.IMAPClient:
        """A logged-in connection of a second client; use it in a ``with`` block."""
        client = imapclient.IMAPClient("127.0.0.1", self.server.imap_port, ssl=False, timeout=20)
        client.login(self.user, self.password)
        return client

    def put(self, *mails: bytes, folder: str = "INBOX") -> None:
        """Lay mails into a folder."""
        with self.connect() as client:
            for mail in mails:
                client.append(folder, mail)

    def lay(self, *mails: bytes) -> None:
        """Put many mails into INBOX at once, as files, in order; Dovecot must not have looked at it yet."""
        place = self.server.folder / "mail" / self.user
        for name in ("cur", "new", "tmp"):
            (place / name).mkdir(parents=True, exist_ok=True)
        began = int(time.time()) - len(mails)
        for number, mail in enumerate(mails):
            (place / "new" / f"{began + number}.M{number}P1.mail").write_bytes(mail)
        self.server.own(place)

    def count(self, folder: str = "INBOX") -> int:
        """How many mails a folder holds."""
        with self.connect() as client:
            return int(client.folder_status(folder)[b"MESSAGES"])

    def mails(self, folder: str = "INBOX") -> list[bytes]:
        """All mails of a folder, oldest first; none where there is no such folder."""
        with self.connect() as client:
            if not client.folder_exists(folder):
                return []
            client.select_folder(folder, readonly=True)
            found = client.fetch(client.search(), ["BODY.PEEK[]"])
            return [found[uid][b"BODY[]"] for uid in sorted(found)]

    def wait(self, count: int, folder: str = "INBOX", seconds: float = 10) -> list[bytes]:
        """The mails of a folder as soon as there are at least ``count``."""
        with self.connect() as client:

            def enough() -> bool:
                return client.folder_exists(folder) and client.folder_status(folder)[b"MESSAGES"] >= count

            wait_for(enough, seconds, 0.05)
        return self.mails(folder)


class Dovecot:
    """One server process group; ``imap_port`` also does STARTTLS, ``imaps_port`` TLS, ``lmtp_port`` takes mail in."""

    def __init__(self, certificate: Certificate, extra: str = "") -> None:
        # Unix sockets live in it, and their paths must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="dc", dir="/tmp"))
        self.folder.chmod(0o755)
        self.imap_port, self.imaps_port, self.lmtp_port = free_port(), free_port(), free_port()
        self._users = 0
        # imap-login refuses to run as root, and the configuration is to be the same for everybody.
        person = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        for name in ("run", "state", "mail", "home"):
            (self.folder / name).mkdir()
        certificates = {}
        for name, source in (("cert", certificate.cert), ("key", certificate.key)):
            certificates[name] = shutil.copy(source, self.folder / f"{name}.pem")
        path = program("dovecot")
        assert path is not None, "call require('dovecot') first"
        version = subprocess.run([path, "--version"], check=True, capture_output=True, text=True).stdout
        text = (_AS_OF_2_3 if version.startswith("2.3") else _AS_OF_2_4).format(
            d=self.folder,
            user=person.pw_name,
            group=grp.getgrgid(person.pw_gid).gr_name,
            uid=person.pw_uid,
            gid=person.pw_gid,
            lmtp=" lmtp" if Path("/usr/lib/dovecot/lmtp").exists() else "",
            imap_port=self.imap_port,
            imaps_port=self.imaps_port,
            lmtp_port=self.lmtp_port,
            password=PASSWORD,
            **certificates,
        )
        self._config = self.folder / "dovecot.conf"
        self._config.write_text(text + extra)
        self._identity: dict[str, object] = {}
        self._person = person
        if os.geteuid() == 0:
            self._identity = {"user": person.pw_uid, "group": person.pw_gid, "extra_groups": []}
        self.own(self.folder)
        self._start(path)

    def _start(self, path: str) -> None:
        with (self.folder / "stderr").open("wb") as complaints:
            self._process = subprocess.Popen(
                [path, "-F", "-c", str(self._config)],
                start_new_session=True,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                **self._identity,  # type: ignore[call-overload]
            )
        try:
            assert greeting(self.imap_port).startswith(b"* OK")
        except AssertionError:
            self.stop(keep=True)
            raise AssertionError(f"Dovecot does not start:\n{self.log()}") from None

    def own(self, folder: Path) -> None:
        """Give a folder and all in it to the user that Dovecot runs as."""
        if os.geteuid() == 0:
            for each in (folder, *folder.rglob("*")):
                os.chown(each, self._person.pw_uid, self._person.pw_gid)

    @property
    def pid(self) -> int:
        """The process, leader of its group."""
        return self._process.pid

    def log(self) -> str:
        """What Dovecot has to say, for a failure's message."""
        files = [self.folder / "stderr", self.folder / "dovecot.log"]
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    def mailbox(self, user: str = "") -> Mailbox:
        """A mailbox that nobody has used before, or that of ``user``."""
        self._users += 1
        return Mailbox(self, user or f"user{self._users}@mail.example")

    def doveadm(self, *arguments: str) -> str:
        """Run a doveadm command on this server and give what it prints."""
        path = program("doveadm")
        assert path is not None
        run = subprocess.run(
            [path, "-c", str(self._config), *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            cwd=self.folder,
            **self._identity,  # type: ignore[call-overload]
        )
        assert run.returncode == 0, f"doveadm {arguments}: {run.stderr}"
        return str(run.stdout)

    def kick(self, user: str) -> None:
        """End all sessions of a user, as an administrator would."""
        self.doveadm("kick", user)

    def halt(self) -> None:
        """Kill it with all its sessions; mails and settings stay for ``go_on``."""
        self.stop(keep=True)

    def go_on(self) -> None:
        """Start it again on the same ports."""
        path = program("dovecot")
        assert path is not None
        self._start(path)

    def stop(self, keep: bool = False) -> None:
        """Kill it with all its sessions and remove its files, but not where ``keep`` says so."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
