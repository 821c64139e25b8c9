"""Looks that follow a change of ignore files: what is left out now is forgotten, and what is not left out any more is scanned."""

from __future__ import annotations

from ..contract.files.paths import is_below
from .anchors import scan_anchor
from .looking import scan_again
from .territory import Steps, Territory


def follow_ignore_files(territory: Territory) -> Steps:
    """Scans what lies below directories whose rules have changed, until none has."""
    ignores = territory.ignores
    while ignores is not None and ignores.has_changed:
        for path in ignores.take_changed():
            for place in territory.places:
                if is_below(place.anchor.path, path):
                    yield from scan_anchor(territory, place)
            yield from scan_again(territory, path)
