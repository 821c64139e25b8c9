"""What a shard lets go and takes on when it goes on with another plan while it runs. What it keeps is not looked at again."""

from __future__ import annotations

from collections.abc import Sequence

from ..contract.files.paths import is_below
from ..contract.state.planfile import Anchor, PartChange
from .place import Place
from .territory import Territory


def pass_on(territory: Territory, change: PartChange, stops: frozenset[bytes]) -> list[Place]:
    """Lets go what others own now, and owns what it is given. Idempotent.

    What it is given and watches in advance already, it goes on watching, and tells of it from now on.

    Args:
        stops: every anchor of the new plan.

    Returns:
        The places that it is given, which are to be scanned.
    """
    inherited, taken = _inherited(territory, change.taken)
    gone = {anchor.path for anchor in change.left}
    left = [place for place in territory.places if place.anchor.path in gone]
    left += [place for place in territory.heirs.places if place not in inherited]
    for place in left:
        territory.directories.uproot(place)
    for place in territory.places:
        for anchor in change.cut:
            node = place.find(anchor.path)
            if node is not None and node.parent is not None:
                territory.directories.cut(node)
    territory.doubts.keep(lambda path, place: place not in left and not any(is_below(path, other.path) for other in change.cut))
    territory.heirs.speak()
    for place in inherited:
        territory.directories.report_anew(place)
    return inherited + territory.exchange(left, taken, stops)


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
