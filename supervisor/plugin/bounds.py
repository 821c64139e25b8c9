"""Limits what a client may send to supervisord's socket. Runs inside supervisord, whose server has no limit of its own.

The largest legitimate request is a few hundred bytes. A connection that sends, or announces, data without end is
closed. If there are too many connections, the one that was silent for longest is closed. What a closed connection has
sent is discarded.
"""

from __future__ import annotations

from typing import Any, Final

from supervisor.http import deferring_http_channel, supervisor_af_unix_http_server

#: Bytes of a request's head, and of its body.
HEAD_BYTES_MAX: Final = 65_536
BODY_BYTES_MAX: Final = 1 << 20
#: Connections at a time. supervisord needs descriptors for its programs too.
CONNECTIONS_MAX: Final = 100


class BoundedChannel(deferring_http_channel):
    """A connection of supervisord's HTTP server, with a limit to what it accepts."""

    def __init__(self, server: Any, conn: Any, addr: Any) -> None:
        super().__init__(server, conn, addr)
        entries: dict[int, Any] = server._map  # where the connection has put itself
        others = [entry for entry in entries.values() if isinstance(entry, BoundedChannel) and entry is not self]
        if len(others) >= CONNECTIONS_MAX:
            min(others, key=lambda channel: channel.last_used).close()

    def collect_incoming_data(self, data: bytes) -> None:
        if not self.current_request and len(self.in_buffer) + len(data) > HEAD_BYTES_MAX:
            self.close()
            return
        super().collect_incoming_data(data)

    def set_terminator(self, term: Any) -> None:
        """A number is the length of a body, as the request claims it."""
        if isinstance(term, int) and not 0 < term <= BODY_BYTES_MAX:
            self.close()
            return
        super().set_terminator(term)

    def close(self) -> None:
        self.ac_in_buffer = b""
        super().close()


def install() -> None:
    """Applies the limits to every connection from now on. Idempotent."""
    supervisor_af_unix_http_server.channel_class = BoundedChannel
