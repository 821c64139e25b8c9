"""An authority of a test's own, with certificates that it has signed: of a server at 127.0.0.1, and of a client."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple


class Signed(NamedTuple):
    """In PEM; the key has no password."""

    certificate: Path
    key: Path


class Authority:
    """Its files are in `home`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        home.mkdir()
        self.certificate = home / "authority.pem"
        self._key = home / "authority.key"
        subject = ["-subj", "/CN=authority", "-addext", "basicConstraints=critical,CA:TRUE"]
        _openssl("req", "-x509", "-new", *_ELLIPTIC, "-nodes", *subject, "-keyout", self._key, "-out", self.certificate)

    def signed(self, name: str) -> Signed:
        """A certificate for 127.0.0.1, and for a client of this name."""
        made = Signed(self._home / f"{name}.pem", self._home / f"{name}.key")
        request, extensions = self._home / f"{name}.csr", self._home / f"{name}.ext"
        extensions.write_text("subjectAltName = IP:127.0.0.1\nextendedKeyUsage = serverAuth, clientAuth\n")
        _openssl("req", "-new", *_ELLIPTIC, "-nodes", "-subj", f"/CN={name}", "-keyout", made.key, "-out", request)
        signer: list[str | Path] = ["-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial", "-days", "30"]
        _openssl("x509", "-req", "-in", request, *signer, "-extfile", extensions, "-out", made.certificate)
        return made


_ELLIPTIC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
