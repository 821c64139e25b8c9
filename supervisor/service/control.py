"""XML-RPC to a supervisord through its Unix socket, without importing supervisor's own client (and its parser)."""

from __future__ import annotations

import http.client
import socket
import xmlrpc.client
from pathlib import Path
from typing import Any, Final
from xml.parsers.expat import ExpatError

#: What a call raises where there is no answer, or only a part of one: supervisord was killed while it answered.
NO_ANSWER: Final = (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError, ExpatError)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)  # a path is no host: it may hold a space or a colon
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__()
        self._path = path
        self._timeout_s = timeout_s

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        kept = self._connection[1] if self._connection else None
        if kept is None:
            kept = _UnixConnection(self._path, self._timeout_s)
            self._connection = host, kept
        return kept


def supervisord(socket_path: Path, timeout_s: float = 10.0) -> xmlrpc.client.ServerProxy:
    """XML-RPC to a supervisord: `.shards.*` is ours, `.supervisor.*` its own. Not thread-safe.

    A call raises xmlrpc.client.Fault, or one of `NO_ANSWER` (nobody there, timeout).
    """
    return xmlrpc.client.ServerProxy("http://localhost", transport=_UnixTransport(str(socket_path), timeout_s))
