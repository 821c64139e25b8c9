"""The types of `_loops.c`. Each function is documented where it is defined in Python."""

from collections.abc import Callable
from typing import Protocol

INTERFACE: int

class _Names(Protocol):
    """What is read of `pattern.Names`."""

    stars: tuple[tuple[bytes, ...], ...] | None

def list_names(fd: int, on_progress: Callable[[], object], /) -> tuple[list[bytes], list[bytes]]: ...
def look_at(
    fd: int, names: list[bytes], start: int, coarse_ns: int, device: int, invented: bool, /
) -> tuple[bytes, int]: ...
def watch_open(instance: int, fd: int, mask: int, /) -> int: ...
def look_in_each(
    asked: list[tuple[bytes, int, list[bytes]]], instance: int, coarse_ns: int, device: int, invented: bool, /
) -> list[bytes | int | None]: ...
def enter_each(
    fd: int, names: list[bytes], watching: tuple[int, int], kept: tuple[_Names, _Names], coarse_ns: int,
    filesystem: tuple[int, bool], ns_max: int, /,
) -> list[tuple[int, int, list[bytes], bytes, list[bytes], int] | int]: ...
def decode(
    chunk: bytes, names: dict[int, set[bytes]], came: dict[int, set[bytes]], left: dict[int, set[bytes]], /
) -> tuple[int, list[tuple[int, int, bytes]]]: ...
def condense(stats: bytes, /) -> bytes: ...
def expand(stored: bytes, count: int, /) -> bytes: ...
