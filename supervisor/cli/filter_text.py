"""Which files a service watches, in words."""

from __future__ import annotations

from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.contract.state.settings import Settings


def filter_text(settings: Settings) -> str:
    """One line for people: what the patterns keep and leave out, or that none of them counts."""
    if settings.roots == settings.only:
        return "keeps the files that were named"
    text = Filter(settings.include, settings.exclude).describe()
    return f"{text}; leaves out what ignore files name" if settings.ignore_files else text
