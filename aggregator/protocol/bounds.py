"""The version of the protocol, and the limits of its fields (docs/protocol.md is the reference). Constants only."""

from __future__ import annotations

from typing import Final

#: Version of the messages. A request of any other is refused with the code `version`.
PROTOCOL_VERSION: Final = 1
#: Largest request the service decodes, bytes. The largest honest one names many paths or ticks.
REQUEST_BYTES_MAX: Final = 1 << 20
#: Longest wait of one request: a worker that wants more asks again.
WAIT_MS_MAX: Final = 3_600_000
#: Longest lease: a day, for the slowest of extractions.
LEASE_MS_MAX: Final = 86_400_000
#: The largest `once` of a pull: JavaScript has no larger whole numbers.
ONCE_MAX: Final = 2**53 - 1
#: Ticks that one `ack` or `nack` may name; more than any batch has.
ACK_TICKS_MAX: Final = 100_000
#: Paths that one request may name, and the length of each, in base64: no path that has a name of its own is longer.
PATHS_MAX: Final = 1000
PATH_B64_CHARS_MAX: Final = 87_384
#: Characters that are kept of the reason of a `nack`, from its beginning, and bytes of the output, from its end.
REASON_CHARS_MAX: Final = 500
OUTPUT_BYTES_MAX: Final = 4096
#: The latest time that a request is compared with, seconds since 1970: the year 2261, since nanoseconds have 63 bits.
TIME_S_MAX: Final = 9.2e9
#: Paths that one answer to `dead` lists.
DEAD_LETTERS_MAX: Final = 100
#: Longest group or worker name, characters.
NAME_CHARS_MAX: Final = 200
#: Longest cursor, characters; those that are given have about 70.
CURSOR_CHARS_MAX: Final = 200
#: Largest `id` of a request, bytes as msgpack, and how deep lists and maps may be nested in it: it is kept for as long as the
#: request waits, and whoever reads the reply must be able to decode it.
ID_BYTES_MAX: Final = 1000
ID_DEPTH_MAX: Final = 16
