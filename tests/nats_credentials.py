"""A file of credentials as `nsc` makes it, and the configuration of a server that lets such users in, and nobody else."""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import os
from typing import Any, NamedTuple

nkeys: Any = importlib.import_module("nkeys")  # without types


class Credentials(NamedTuple):
    #: Lines of a server's configuration.
    configuration: str
    #: What the user's file has in it.
    file: str


class _Key:
    def __init__(self, prefix: int) -> None:
        self.seed = bytes(nkeys.encode_seed(os.urandom(32), prefix)).decode()
        self.pair = nkeys.from_seed(bytearray(self.seed.encode()))
        self.public = bytes(self.pair.public_key).decode()

    def token(self, of: _Key, name: str, claims: dict[str, Any]) -> str:
        """Says something of a key, signed with this one."""
        body = {"iss": self.public, "sub": of.public, "name": name, "iat": 1700000000, "nats": {"version": 2, **claims}}
        body["jti"] = base64.b32encode(hashlib.sha256(json.dumps(body).encode()).digest()).decode().rstrip("=")
        head = {"typ": "JWT", "alg": "ed25519-nkey"}
        text = ".".join(_plain(json.dumps(part).encode()) for part in (head, body))
        return f"{text}.{_plain(self.pair.sign(text.encode()))}"


def _plain(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def made() -> Credentials:
    """An operator, the account of the server itself, an account that may use JetStream, and a user of it."""
    operator, user = _Key(nkeys.PREFIX_BYTE_OPERATOR), _Key(nkeys.PREFIX_BYTE_USER)
    system, account = _Key(nkeys.PREFIX_BYTE_ACCOUNT), _Key(nkeys.PREFIX_BYTE_ACCOUNT)
    plain = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1) | {"wildcards": True}
    limits = plain | dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)
    about_operator = operator.token(operator, "operator", {"type": "operator"})
    about_account = operator.token(account, "account", {"type": "account", "limits": limits})
    about_system = operator.token(system, "system", {"type": "account", "limits": plain})
    about_user = account.token(user, "user", {"type": "user", "subs": -1, "data": -1, "payload": -1})
    preloaded = f"{account.public}: {about_account}, {system.public}: {about_system}"
    configuration = (
        f"operator: {about_operator}\nsystem_account: {system.public}\nresolver: MEMORY\nresolver_preload {{ {preloaded} }}"
    )
    file = (
        f"-----BEGIN NATS USER JWT-----\n{about_user}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
    )
    return Credentials(configuration, file)
