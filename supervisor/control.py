"""XML-RPC to a supervisord through its unix socket, without importing supervisor's own client (and its parser)."""

from __future__ import annotations

import http.client
import socket
import xmlrpc.client
from pathlib import Path
from typing import Any


class _UnixConnection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.host)


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__()
        self._path = path
        self._timeout_s = timeout_s

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        kept = self._connection[1] if self._connection else None
        if kept is None:
            kept = _UnixConnection(self._path, timeout=self._timeout_s)
            self._connection = host, kept
        return kept

    def send_headers(self, connection: http.client.HTTPConnection, headers: list[tuple[str, str]]) -> None:
        super().send_headers(connection, [("Host", "localhost"), *headers])


def supervisord(socket_path: Path, timeout_s: float = 10.0) -> xmlrpc.client.ServerProxy:
    """XML-RPC to a supervisord: `.shards.*` is ours, `.supervisor.*` its own. Not thread-safe.

    A call raises OSError (nobody there, timeout), xmlrpc.client.Fault, or xmlrpc.client.ProtocolError.
    """
    return xmlrpc.client.ServerProxy("http://localhost", transport=_UnixTransport(str(socket_path), timeout_s))
