"""Exact paths: bytes, absolute, without a slash at the end save for the root of all."""

from __future__ import annotations


def join(directory: bytes, name: bytes) -> bytes:
    """The path of `name` in `directory`."""
    return directory + name if directory == b"/" else directory + b"/" + name
