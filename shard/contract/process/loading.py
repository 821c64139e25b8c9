"""Makes the imports at the start of a program cheaper. A start consists mostly of imports, in five processes on the same few
processors, and so does the memory of a process that rests. Anyone may import this; it imports next to nothing.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType, TracebackType
from typing import Final

#: Modules of others that are left out, because what imports them here does the same without them.
#: `typing_extensions` (and `inspect`, which it loads): msgspec takes the names from `typing`, which has them since Python 3.11.
#: `ssl`: http.client then offers no HTTPS, which nobody asks of supervisord's Unix socket.
LEFT_OUT: Final = ("typing_extensions", "ssl")
#: Modules of others that are loaded when they are first used, which hardly ever happens: half a megabyte in each process, and a
#: millisecond or two of its start. `ipaddress`: urllib.parse checks hosts in brackets with it, and pathlib loads urllib.parse.
#: `tokenize`: linecache finds out with it how a source is encoded, for a traceback. `msgspec.inspect`: for JSON Schema.
ON_USE: Final = ("ipaddress", "tokenize", "msgspec.inspect")


class _OnUse:
    """What imports ask first (`sys.meta_path`), in a block."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in ON_USE else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


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
        sys.meta_path.insert(0, _OnUse)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        sys.meta_path.remove(_OnUse)
        for name in self._left_out:
            del sys.modules[name]
        gc.freeze()
        gc.enable()
