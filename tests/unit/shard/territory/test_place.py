"""One anchor: which paths it covers."""

from __future__ import annotations

from shardwatch.shard.contract.state.planfile import Anchor
from shardwatch.shard.territory.place import Place


def test_places_know_what_they_cover() -> None:
    """The root of all is one too."""
    place = Place(0, Anchor(b"/", "s0", b"/"))
    assert place.find(b"/") is None
    top = place.plant()
    usr = top.adopt(b"usr")
    assert place.find(b"/") is top
    assert place.find(b"/usr") is usr
    assert place.find(b"/usr/lib") is None
    assert place.relative(b"/usr/lib") == b"usr/lib"
    other = Place(1, Anchor(b"/usr/lib", "s0", b"/usr"))
    assert other.relative(b"/usr/lib/x") == b"lib/x"
    assert not other.covers(b"/usr/lib64")
    assert other.covers(b"/usr/lib/x")
