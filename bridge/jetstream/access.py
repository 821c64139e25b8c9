"""Which NATS servers are asked, and with which credentials.

Credentials come from the environment and from files. They are never taken from the command line, which other users of the machine
can read, and never shown.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.input.shown import shown

URL_VARIABLE: Final = "NATS_URL"
CREDENTIALS_VARIABLE: Final = "NATS_CREDS"
#: Files with the certificate that a server may demand of us, and with its key, if that is not in the same file.
CERTIFICATE_VARIABLE: Final = "NATS_CERT"
KEY_VARIABLE: Final = "NATS_KEY"
#: Where OpenSSL finds the authorities that are trusted, if it names a file.
AUTHORITY_VARIABLE: Final = "SSL_CERT_FILE"
URL_DEFAULT: Final = "nats://127.0.0.1:4222"
#: A user's token, and the seed of the user's key.
_CREDENTIALS: Final = re.compile(
    rb"-BEGIN NATS USER JWT-+\r?\n[\w.-]+\r?\n-.*-BEGIN USER NKEY SEED-+\r?\nSU[A-Z2-7]{56}\r?\n-", re.DOTALL
)
_CREDENTIALS_BYTES_MAX: Final = 1 << 20
#: The scheme of a URL that demands TLS.
ENCRYPTED: Final = "tls"
_SCHEMES: Final = ("nats", ENCRYPTED)


def demand_nats() -> None:
    """Raises UsageError where nats-py is not installed. Does not load it."""
    if importlib.util.find_spec("nats") is None:
        raise UsageError("nats-py is not installed", hint="pip install 'shardwatch[nats]'")


class Access(NamedTuple):
    """How a server is reached."""

    #: With their credentials, if they have any: never to be shown.
    urls: tuple[str, ...]
    #: A file as `nsc` makes it, with a user's token and key.
    credentials: Path | None
    #: Our certificate, and its key; the key may be in the same file.
    certificate: Path | None = None
    key: Path | None = None

    def shown(self) -> str:
        """The servers, for messages."""
        return ", ".join(bare(url) for url in self.urls)


def access(given: str | None, environ: Mapping[str, str]) -> Access:
    """From the command line and the environment. Several servers of one cluster are separated by commas.

    Raises UsageError, also where the command line has a password, and where a file that is named cannot be read.
    """
    text = given if given is not None else environ.get(URL_VARIABLE) or URL_DEFAULT
    urls = tuple(url.strip() for url in text.split(","))
    for url in urls:
        _check(url, on_command_line=given is not None)
    named = environ.get(CREDENTIALS_VARIABLE)
    credentials = Path(named).absolute() if named else None
    if credentials is not None:
        _check_credentials(credentials)
    certificate, key = (_named_file(variable, environ) for variable in (CERTIFICATE_VARIABLE, KEY_VARIABLE))
    if key is not None and certificate is None:
        hint = f"name the file of the certificate in {CERTIFICATE_VARIABLE}"
        raise UsageError(f"{KEY_VARIABLE} names the key of no certificate", hint=hint)
    return Access(urls, credentials, certificate, key)


def bare(url: str) -> str:
    """A URL without what must not be shown."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _check_credentials(file: Path) -> None:
    hint = "name a file that this user may read, as `nsc generate creds` makes it"
    try:
        with file.open("rb") as opened:
            content = opened.read(_CREDENTIALS_BYTES_MAX)
    except OSError as error:
        raise UsageError(f"{CREDENTIALS_VARIABLE}: {file}: {error.strerror}", hint=hint) from None
    if not _CREDENTIALS.search(content):
        raise UsageError(f"{CREDENTIALS_VARIABLE}: {file} is no file of credentials", hint=hint)


def _named_file(variable: str, environ: Mapping[str, str]) -> Path | None:
    named = environ.get(variable)
    if not named:
        return None
    file = Path(named).absolute()
    try:
        file.open("rb").close()
    except OSError as error:
        raise UsageError(f"{variable}: {file}: {error.strerror}", hint="name a file that this user may read") from None
    return file


def _check(url: str, *, on_command_line: bool) -> None:
    hint = "give it like nats://host:4222, or tls://host:4222; several are separated by commas"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UsageError("a URL of a NATS server can't be read", hint=hint) from None
    if on_command_line and "@" in parts.netloc:
        raise UsageError(
            "the URL has credentials, which other users of this machine can read on a command line",
            hint=f"put the URL into the environment ({URL_VARIABLE}), or name a file of credentials ({CREDENTIALS_VARIABLE})",
        )
    if parts.scheme not in _SCHEMES or not parts.hostname or port == 0 or parts.path.strip("/") or parts.query:
        raise UsageError(f"{shown(bare(url))} is no URL of a NATS server", hint=hint)
