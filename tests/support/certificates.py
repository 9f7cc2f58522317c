"""Certificates of a test's own, made with openssl: an authority, servers and clients."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its private key, as files."""

    certificate: str
    key: str


class Authority:
    """Signs certificates; `certificate` is the file by which others know its signature."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, self._key = str(folder / "ca.pem"), str(folder / "ca.key")
        _openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
            *("-subj", f"/CN={name}", "-keyout", self._key, "-out", self.certificate),
        )

    def sign(self, name: str, *, hosts: str = "") -> Certificate:
        """A certificate for a server of these hosts (`IP:127.0.0.1,DNS:localhost`), or for a client."""
        request, made = self._folder / f"{name}.csr", self._folder / f"{name}.pem"
        extensions, key = self._folder / f"{name}.ext", self._folder / f"{name}.key"
        extensions.write_text(f"subjectAltName={hosts}\n" if hosts else "extendedKeyUsage=clientAuth\n")
        _openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}"),
            *("-keyout", str(key), "-out", str(request)),
        )
        _openssl(
            *("x509", "-req", "-days", "2", "-in", str(request), "-CA", self.certificate, "-CAkey", self._key),
            *("-CAcreateserial", "-extfile", str(extensions), "-out", str(made)),
        )
        key.chmod(0o644)
        return Certificate(str(made), str(key))


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
