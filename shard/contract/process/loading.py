"""Makes the imports at the start of a program cheaper. A start consists mostly of imports, in five processes on the same few
processors, and so does the memory of a process that rests. Anyone may import this; it imports next to nothing.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import MappingProxyType, ModuleType, TracebackType
from typing import Any, Final

#: Modules of others that are left out, because what imports them here does the same without them.
#: `typing_extensions` (and `inspect`, which it loads): msgspec takes the names from `typing`, which has them since Python 3.11.
#: `ssl`: http.client then offers no HTTPS, which nobody asks of supervisord's Unix socket.
#: `_hashlib`: hashlib then takes Python's own functions in place of OpenSSL's, and OpenSSL is not loaded for a digest.
#: `bz2`, `lzma`: shutil and zipfile then know fewer kinds of archives, and nobody makes or reads one.
LEFT_OUT: Final = ("typing_extensions", "ssl", "_hashlib", "bz2", "lzma")
#: Modules of others that are loaded when they are first used, which hardly ever happens: half a megabyte in each process, and a
#: millisecond or two of its start. `ipaddress`: urllib.parse checks hosts in brackets with it, and pathlib loads urllib.parse.
#: `tokenize`: linecache finds out with it how a source is encoded, for a traceback. `msgspec.inspect`: for JSON Schema.
ON_USE: Final = ("ipaddress", "tokenize", "msgspec.inspect")
#: Functions that are called while programs are loaded, of a module that takes a millisecond for much else: uuid, which msgspec
#: loads, asks for the system, and supervisord for the name of the machine.
_PLATFORM: Final[Mapping[str, Callable[[], str]]] = {
    "system": lambda: os.uname().sysname,
    "node": lambda: os.uname().nodename,
}
_NOTHING: Final[Mapping[str, Sequence[str]]] = MappingProxyType({})


class _OnUse:
    """What imports ask first (`sys.meta_path`), in a block."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in ON_USE else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


class _StandIn(ModuleType):
    """What is imported in a block in place of a module. It has a few of its names; for any other the module itself is loaded."""

    def __init__(self, name: str, names: Mapping[str, object]) -> None:
        super().__init__(name)
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what the machinery of imports asks
            raise AttributeError(name)
        return getattr(self.itself(), name)

    def itself(self) -> ModuleType:
        """The module, loaded by now."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return importlib.import_module(self.__name__)

    def later(self, name: str) -> Callable[..., Any]:
        """Calls what has this name in the module."""

        def call(*arguments: Any, **options: Any) -> Any:
            return getattr(self.itself(), name)(*arguments, **options)

        return call


class Loading:
    """A block of imports, for processes of ours: in those of others, another thread may import LEFT_OUT meanwhile.

    Args:
        called: modules of others that are not loaded before a function is called which is imported from them in this block (`from
            MODULE import NAME`): by module, these functions. A class can be one of them, as long as it is only called.

    Garbage is not collected in the block, because imports leave hardly any, and what they leave for good is not looked at by
    the collector later on. Blocks may follow each other, but not be nested.
    """

    def __init__(self, called: Mapping[str, Sequence[str]] = _NOTHING) -> None:
        self._called = called

    def __enter__(self) -> None:
        gc.disable()
        self._left_out = [name for name in LEFT_OUT if name not in sys.modules]
        for name in self._left_out:
            sys.modules[name] = None  # type: ignore[assignment]  # an import of it raises ImportError
        self._stand_ins = [] if "platform" in sys.modules else [_StandIn("platform", _PLATFORM)]
        for name, functions in self._called.items():
            if name not in sys.modules:
                stand_in = _StandIn(name, {})
                stand_in.__dict__.update({function: stand_in.later(function) for function in functions})
                self._stand_ins.append(stand_in)
        for stand_in in self._stand_ins:
            sys.modules[stand_in.__name__] = stand_in
            above, _, name = stand_in.__name__.rpartition(".")
            if isinstance(package := sys.modules.get(above), _StandIn):  # for `import PACKAGE.NAME as ...`
                package.__dict__[name] = stand_in
        sys.meta_path.insert(0, _OnUse)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        sys.meta_path.remove(_OnUse)
        for name in self._left_out:
            del sys.modules[name]
        for stand_in in self._stand_ins:
            if sys.modules.get(stand_in.__name__) is stand_in:
                del sys.modules[stand_in.__name__]
        gc.freeze()
        gc.enable()
