"""Does the default profile keep what writers of AST JSON meant, and nothing else?

The corpus (tests/corpus/noise.jsonl, made by record.py beside it) holds events of real editors, git and builds. Labels
come from the writers, never from a pattern.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.supervisor.config import profile

CORPUS = Path(__file__).parents[1] / "corpus/noise.jsonl"
NOISE_FILTERED_MIN = 0.95
PRECISION_MIN = 0.99


class Event(NamedTuple):
    scene: str
    path: str
    kind: str
    times: int
    relevant: bool


@pytest.fixture(scope="module")
def corpus() -> list[Event]:
    """Every recorded event, labelled."""
    lines = [json.loads(line) for line in CORPUS.read_text().splitlines()]
    assert "recorded_with" in lines[0]
    return [Event(e["scene"], e["path"], e["event"], e["count"], e["relevant"]) for e in lines[1:]]


@pytest.fixture(scope="module")
def kept(corpus: list[Event]) -> set[str]:
    """The paths that the service would report: no directory above is pruned, and the filter keeps the name."""
    default = Filter(profile.INCLUDE, profile.EXCLUDE)

    def keeps(path: str) -> bool:
        parents = [str(p).encode() for p in Path(path).parents if str(p) != "."]
        return not any(default.prunes(p) for p in parents) and default.keeps(path.encode())

    return {path for path in {event.path for event in corpus} if keeps(path)}


def test_the_corpus_is_worth_a_verdict(corpus: list[Event]) -> None:
    """Every kind of tool left noise, writers wrote beside each of them, and the file is small for a repository."""
    noise: Counter[str] = Counter()
    relevant: Counter[str] = Counter()
    for event in corpus:
        (relevant if event.relevant else noise)[event.scene] += 1
    assert set(noise) == {"vim", "nano", "emacs", "sed", "git", "git_clone", "npm", "python", "c"}
    assert min(noise.values()) >= 100 and min(relevant.values()) >= 30
    assert CORPUS.stat().st_size < 1_000_000


@pytest.mark.parametrize("weighted", [False, True], ids=["paths_and_kinds", "events"])
def test_noise_is_filtered_and_what_is_kept_is_meant(corpus: list[Event], kept: set[str], weighted: bool) -> None:
    """At least 95 % of noise goes, at least 99 % of what stays was meant; by distinct (path, kind) and by events."""
    noise = noise_kept = meant_kept = 0
    for event in corpus:
        weight = event.times if weighted else 1
        if not event.relevant:
            noise += weight
            noise_kept += weight * (event.path in kept)
        elif event.path in kept:
            meant_kept += weight
    stray = sorted({event.path for event in corpus if not event.relevant and event.path in kept})
    assert 1 - noise_kept / noise >= NOISE_FILTERED_MIN, stray
    assert meant_kept / (meant_kept + noise_kept) >= PRECISION_MIN, stray


def test_in_no_scene_does_much_noise_pass(corpus: list[Event], kept: set[str]) -> None:
    """The mean over scenes must not hide one kind of tool."""
    for scene in {event.scene for event in corpus}:
        noise = [event for event in corpus if event.scene == scene and not event.relevant]
        passed = sorted({event.path for event in noise if event.path in kept})
        assert sum(event.path in kept for event in noise) <= (1 - NOISE_FILTERED_MIN) * len(noise), (scene, passed)


def test_nothing_that_was_meant_is_lost(corpus: list[Event], kept: set[str]) -> None:
    """A filter that is precise by keeping little would be no use."""
    assert sorted({event.path for event in corpus if event.relevant} - kept) == []
