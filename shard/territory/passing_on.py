"""What a shard lets go and takes on when it goes on with another plan while it runs. What it keeps is not looked at again."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from ..contract.files.paths import is_below
from ..contract.state.planfile import Anchor, PartChange
from .place import Place
from .territory import Territory


def pass_on(territory: Territory, change: PartChange, stops: frozenset[bytes]) -> list[Place]:
    """Lets go what others own now, and owns what it is given. Idempotent.

    What it is given and watches in advance already, it goes on watching, and tells of it from now on. What it has had under an
    anchor above it goes on being watched, too.

    Args:
        stops: every anchor of the new plan.

    Returns:
        The places that it is given, which are to be scanned.
    """
    inherited, taken = _inherited(territory, change.taken)
    gone = {anchor.path for anchor in change.left}
    before = list(territory.places)
    left = [place for place in before if place.anchor.path in gone]
    left += [place for place in territory.heirs.places if place not in inherited]
    new = territory.exchange(left, taken, stops)
    for place in sorted(new, key=lambda place: -len(place.anchor.path)):  # what lies in another one comes first
        _keep(territory, place, before)
    for place in left:
        territory.directories.uproot(place)
    cut = [anchor.path for anchor in change.cut]
    for place in territory.places:
        for path in stops if place in new else cut:
            node = place.find(path)
            if node is not None and node.parent is not None:
                territory.directories.cut(node)
    territory.doubts.keep(lambda path, place: place not in left and not any(is_below(path, other.path) for other in change.cut))
    territory.heirs.speak()
    for place in inherited:
        territory.directories.report_anew(place)
    return inherited + new


def _keep(territory: Territory, place: Place, before: Sequence[Place]) -> None:
    """Where an anchor has come in what the shard has, this goes on being watched, if it can be (`Directories.promote`).

    Args:
        before: the places of the shard until now.
    """
    path, root = place.anchor.path, place.anchor.root
    found = (node for other in before if other.anchor.root == root and (node := other.find(path)) is not None)
    node = next(found, None)
    if node is None or node.parent is None:
        return
    with territory.opener.quietly(path) as opened, contextlib.suppress(OSError):  # the scan meets the same error, and tells it
        if opened.fd >= 0 and territory.directories.is_watched(opened.fd, node):
            identity = territory.reader.filesystems.identity(opened.fd)
            if territory.directories.promote(place, node, opened.fd):
                place.begin_scan(identity)


def watch_in_advance(territory: Territory, anchors: Sequence[Anchor], next_stops: frozenset[bytes]) -> list[Place]:
    """Takes on, instead of any earlier ones, what the shard is to be given by the next plan, without telling of it.

    A scan of it stops where it will stop under that plan, and at what the shard itself has below it.

    Args:
        next_stops: every anchor of the next plan.

    Returns:
        The places, which are to be scanned.
    """
    watch_no_more(territory)
    stops, own = territory.stops, list(territory.places)
    tops = [anchor.path for anchor in anchors]

    def is_theirs(path: bytes) -> bool:
        return any(is_below(path, top) for top in tops)

    inside = {path for path in next_stops if is_theirs(path)} | {place.anchor.path for place in own}
    places = territory.exchange((), anchors, frozenset(path for path in stops if not is_theirs(path)) | inside)
    territory.heirs.be_silent(places, own, stops)
    return places


def watch_no_more(territory: Territory) -> None:
    """Lets go what is watched in advance, as if it had never been. Idempotent."""
    heirs = territory.heirs
    if not heirs.places:
        return
    for place in heirs.places:
        territory.directories.uproot(place)
    territory.doubts.keep(lambda path, place: place not in heirs.places)
    territory.exchange(heirs.places, (), heirs.stops)
    heirs.speak()


def _inherited(territory: Territory, taken: Sequence[Anchor]) -> tuple[list[Place], list[Anchor]]:
    """Those places that are watched in advance and owned from now on, and the anchors for which there is none."""
    given = {(anchor.path, anchor.root, anchor.backend): anchor for anchor in taken}
    inherited = []
    for place in territory.heirs.places:
        anchor = place.anchor
        if given.pop((anchor.path, anchor.root, anchor.backend), None) is not None:
            inherited.append(place)
    return inherited, list(given.values())
