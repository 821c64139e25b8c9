"""What a client's decisions ask for: they are generators (*flows*), and whoever carries their steps out decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeAlias, TypeVar

from msgspec import Struct

T = TypeVar("T")


class OfStore(Struct, frozen=True):
    """Call the store. The result is what it returns, or what it returns an awaitable of."""

    call: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


class OfMember(Struct, frozen=True):
    """Await something of the member, in its event loop. The result is that of the awaited."""

    call: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


FleetFlow: TypeAlias = Generator[OfStore | OfMember, Any, T]
