"""A certificate for localhost that clients can verify for real, made by openssl."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Certificate:
    """Self-signed: the certificate is its own authority."""

    cert: Path
    key: Path

    def server(self) -> ssl.SSLContext:
        """A context for a server that shows this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context

    def client(self) -> ssl.SSLContext:
        """A context for a client that trusts this certificate and nothing else."""
        return ssl.create_default_context(cafile=str(self.cert))


def make(folder: Path, name: str = "localhost") -> Certificate:
    """Make ``cert.pem`` and ``key.pem`` for ``name`` (and 127.0.0.1) in ``folder``."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    names = f"subjectAltName=DNS:{name},IP:127.0.0.1"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    command += ["-addext", names, "-addext", "basicConstraints=critical,CA:TRUE"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    key.chmod(0o644)  # Dovecot reads it as another user; it guards nothing
    return Certificate(cert, key)
