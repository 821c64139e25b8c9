"""The types of `_loops.c`. Each function is documented where it is defined in Python."""

INTERFACE: int

def list_names(fd: int, /) -> tuple[list[bytes], list[bytes]]: ...
def look_at(
    fd: int, names: list[bytes], start: int, coarse_ns: int, device: int, invented: bool, /
) -> tuple[bytes, int]: ...
def decode(
    chunk: bytes, names: dict[int, set[bytes]], came: dict[int, set[bytes]], left: dict[int, set[bytes]], /
) -> tuple[int, list[tuple[int, int, bytes]]]: ...
