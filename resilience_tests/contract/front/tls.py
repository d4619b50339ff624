"""A server's certificate for the tests: it is its own authority."""

import ssl
import subprocess
from pathlib import Path


def make_certificate(folder: Path) -> Path:
    """Make a certificate for `localhost`, with its key in the same file."""
    file, shown = folder / "both.pem", folder / "shown.pem"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        ["openssl", "req", "-x509", *key, *names, "-keyout", str(file), "-out", str(shown)],
        check=True,
        capture_output=True,
    )
    file.write_text(file.read_text() + shown.read_text())
    return file


def serving(certificate: Path) -> ssl.SSLContext:
    """Return what a server needs to show it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
