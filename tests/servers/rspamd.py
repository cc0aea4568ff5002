"""A real rspamd on loopback that knows no rule but GTUBE, the string that every filter must condemn."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from http.client import HTTPConnection
from pathlib import Path

from tests.servers.found import program
from tests.servers.ports import free_port, wait_for

GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

_CONF = """
options {{
  pidfile = "{d}/pid"; tempdir = "{d}"; hs_cache_dir = "{d}"; url_tld = "{d}/tlds"; disable_hyperscan = true;
  dns {{ nameserver = ["127.0.0.1:1"]; timeout = 0.1s; retransmits = 1; }}
  filters = ""; gtube_patterns = "all";
}}
logging {{ type = "console"; level = "warning"; }}
worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; }}
actions {{ reject = 15; add_header = 6; greylist = 4; }}
"""


class Rspamd:
    """One server; ``url`` is where it is asked."""

    def __init__(self) -> None:
        path = program("rspamd")
        assert path is not None
        self._folder = Path(tempfile.mkdtemp(prefix="rspamd", dir="/tmp"))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        # With the list of the world's domains it takes half a minute to start.
        (self._folder / "tlds").write_text("example\n")
        (self._folder / "conf").write_text(_CONF.format(d=self._folder, port=port))
        self.log = self._folder / "log"
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [path, "-f", "-i", "-c", str(self._folder / "conf")], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        try:
            wait_for(lambda: self._pong(port), 60)
        except BaseException:
            self.stop()
            raise

    def _pong(self, port: int) -> bool:
        assert self._process.poll() is None, self.log.read_text()
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/ping")
            return b"pong" in connection.getresponse().read()
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """Stop the server and remove its files."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
