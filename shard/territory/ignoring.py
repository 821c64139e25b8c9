"""Looks that follow a change of ignore files: what is left out now is forgotten, and what is not left out any more is scanned."""

from __future__ import annotations

from ..contract.files.paths import is_below
from .anchors import scan_anchor
from .looking import scan_again
from .territory import Steps, Territory


def follow_ignore_files(territory: Territory) -> Steps:
    """Scans what lies below directories whose rules have changed, until there are none but those for which it has done so.

    Rules that change again meanwhile are left to the next time. Whoever changes them faster than such a scan takes would hold up
    all other scans without end, and every sync.
    """
    ignores = territory.ignores
    followed: set[bytes] = set()
    while ignores is not None and (changed := ignores.take_changed(but=followed)):
        followed.update(changed)
        for path in changed:
            for place in territory.places:
                if is_below(place.anchor.path, path):
                    yield from scan_anchor(territory, place)
            yield from scan_again(territory, path)
