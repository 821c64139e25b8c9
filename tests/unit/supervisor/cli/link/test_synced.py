"""Why a request that waits for others has failed, in words."""

from __future__ import annotations

import pytest

from shardwatch.supervisor.cli.link.synced import cause_of


@pytest.mark.parametrize(
    ("found", "subtrees", "words"),
    [
        ([], [], ""),
        (["1 directory unreadable (/r/a)", "another"], ["/r/a"], "; 1 directory unreadable (/r/a)"),
        (["it failed; changes come later (make room)"], [], ""),
        (["it failed; changes come later (make room)", "s0 is stopped"], [], "; s0 is stopped"),
        ([], ["/r/a"], ": /r/a"),
        ([], ["/r/a", "/r/b"], ": /r/a and 1 other subtree"),
        ([], ["/r/a\n", "/r/b", "/r/c"], ": '/r/a\\n' and 2 other subtrees"),
    ],
    ids=[
        "nothing is known", "the status tells why", "it tells what was said", "and something else", "not yet", "of two",
        "of three, with an odd name",
    ],
)
def test_the_first_subtree_is_named_at_once(found: list[str], subtrees: list[str], words: str) -> None:
    """Also in the two seconds in which the status does not tell of it, nor why."""
    assert cause_of("it failed", found, subtrees) == words
