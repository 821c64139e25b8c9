"""By which settings a plan was made, as one word."""

from __future__ import annotations

import hashlib

import msgspec

from shardwatch.shard.contract.state.settings import Settings


def scope_of(settings: Settings) -> tuple[object, ...]:
    """What decides in every root which names are in scope, but for ignore files. Its order is that of the hash in `plan_key`."""
    return settings.include, settings.exclude, settings.recursive, settings.follow_symlinks, settings.directories


def plan_key(settings: Settings) -> str:
    """Hash of what decides which rows exist: a plan with another key is no plan for these settings."""
    facts: tuple[object, ...] = (settings.roots, *scope_of(settings), settings.files, settings.only)
    if settings.ignore_files:  # the keys of earlier versions stay as they are
        facts += (True,)
    return hashlib.blake2b(msgspec.msgpack.encode(_exact(facts)), digest_size=16).hexdigest()


def _exact(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    return [_exact(item) for item in value] if isinstance(value, tuple) else value
