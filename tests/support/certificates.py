"""A certificate authority for tests, and a certificate of 127.0.0.1 signed by it.

Made by the `openssl` program, so that the tests need no library of cryptography. Nobody
outside the test trusts this authority: give `Certificates.authority` to the program under
test as REQUESTS_CA_BUNDLE or SSL_CERT_FILE.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_DAYS = "30"

# Python 3.13 and newer check strictly: an authority must say what its key is for, and each
# certificate whose key signed it.
_AUTHORITY_EXTENSIONS = """\
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
"""
_SERVER_EXTENSIONS = """\
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
subjectAltName=DNS:localhost,IP:127.0.0.1
"""


@dataclass(frozen=True, slots=True)
class Certificates:
    """The files that a TLS server and its clients need, in PEM.

    Attributes:
        authority: What a client has to trust.
        certificate: The server's, for `localhost` and 127.0.0.1.
        key: The server's private key.
    """

    authority: Path
    certificate: Path
    key: Path


def make_certificates(directory: Path, name: str = "test authority") -> Certificates:
    """Make an authority called `name` and a server certificate in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    authority_key = directory / "authority.key"
    made = Certificates(
        directory / "authority.pem", directory / "server.pem", directory / "server.key"
    )
    extensions = directory / "extensions"

    _make_request(authority_key, directory / "authority.csr", f"/CN=empiarfs {name}")
    extensions.write_text(_AUTHORITY_EXTENSIONS)
    _sign(
        directory / "authority.csr", made.authority, extensions, ["-signkey", str(authority_key)]
    )

    _make_request(made.key, directory / "server.csr", "/CN=localhost")
    extensions.write_text(_SERVER_EXTENSIONS)
    signer = ["-CA", str(made.authority), "-CAkey", str(authority_key), "-set_serial", "1"]
    _sign(directory / "server.csr", made.certificate, extensions, signer)
    return made


def _make_request(key: Path, request: Path, subject: str) -> None:
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    _openssl("req", "-new", *curve, "-keyout", str(key), "-out", str(request), "-subj", subject)


def _sign(request: Path, certificate: Path, extensions: Path, signer: list[str]) -> None:
    files = ["-in", str(request), "-out", str(certificate), "-extfile", str(extensions)]
    _openssl("x509", "-req", "-sha256", "-days", _DAYS, *files, *signer)


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)
