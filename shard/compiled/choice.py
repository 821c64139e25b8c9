"""Whether native code is in use, and which function stands in for one that is defined in Python. Does no input or output, apart
from loading the native module.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

#: The environment variable that turns native code off where it is `0`. Read once, when this module is loaded.
NATIVE_VARIABLE: Final = "SHARDWATCH_NATIVE"

IN_USE: Final = "in use"
NOT_BUILT: Final = "not built"
TURNED_OFF: Final = "turned off"

#: Raised with every change of what the native functions take or return. A module that was compiled from the source of another
#: version has another number, and counts as not built.
INTERFACE: Final = 9

_F = TypeVar("_F", bound=Callable[..., Any])


def _load() -> tuple[str, object]:
    """(one of the words above, the native module or None)."""
    if os.environ.get(NATIVE_VARIABLE) == "0":
        return TURNED_OFF, None
    try:
        from . import _loops
    except ImportError:
        return NOT_BUILT, None
    return (IN_USE, _loops) if _loops.INTERFACE == INTERFACE else (NOT_BUILT, None)


_state, _native = _load()

#: Whether this process uses native code.
STATE: Final = _state


def native(definition: _F) -> _F:
    """What is called in the place of a function: the native one of the same name where native code is in use, else the function
    itself."""
    return definition if _native is None else getattr(_native, definition.__name__)
