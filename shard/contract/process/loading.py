"""Makes the imports at the start of a program cheaper. A start consists mostly of imports, in five processes on the same few
processors. Anyone may import this; it imports next to nothing.
"""

from __future__ import annotations

import gc
import sys
from types import TracebackType
from typing import Final

#: Modules of others that are left out, because what imports them here does the same without them.
#: `typing_extensions` (and `inspect`, which it loads): msgspec takes the names from `typing`, which has them since Python 3.11.
#: `ssl`: http.client then offers no HTTPS, which nobody asks of supervisord's Unix socket.
LEFT_OUT: Final = ("typing_extensions", "ssl")


class Loading:
    """A block of imports, for processes of ours: in those of others, another thread may import LEFT_OUT meanwhile.

    Garbage is not collected in the block, because imports leave hardly any, and what they leave for good is not looked at by
    the collector later on. Blocks may follow each other, but not be nested.
    """

    def __enter__(self) -> None:
        gc.disable()
        self._left_out = [name for name in LEFT_OUT if name not in sys.modules]
        for name in self._left_out:
            sys.modules[name] = None  # type: ignore[assignment]  # an import of it raises ImportError

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for name in self._left_out:
            del sys.modules[name]
        gc.freeze()
        gc.enable()
