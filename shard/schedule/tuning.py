"""The parts of a shard whose pace the user sets, and how they take over other settings while the shard runs."""

from __future__ import annotations

from collections.abc import Callable

from ..backend.patience import Patience
from ..backend.share import WatchShare
from ..contract.state.settings import Settings
from ..territory.territory import SIBLINGS_MAX, Territory
from ..territory.verify import Verifier
from ..tree.nodes import Node
from .debounce import Debounce
from .polling import Poller, PollPace
from .scan_rate import ScanRate

#: From a look until a consumer has the change, at least this much time passes (measured with settle_ms = 0), ns. So that
#: settle_ms is the time until the hand-over, the look is made that much sooner. A time below 5 ms is waited for in full.
_HAND_OVER_NS = 1_500_000
_SETTLE_MS_SHORT = 5


class Tuning:
    """Makes these parts of settings.

    Args:
        shards: of the service, which share what is allowed to all of them.
        patience: of the backend: it is told the debounce time.
        verifies: whether there is a verification at all; a stand-in has none.
        clock: monotonic, ns.
    """

    def __init__(
        self,
        territory: Territory,
        settings: Settings,
        *,
        shards: int,
        patience: Patience,
        watch_share: WatchShare,
        verifies: bool,
        clock: Callable[[], int],
    ) -> None:
        self._shards = shards
        self._settings = settings
        self._watch_share = watch_share
        self._patience = patience
        self.debounce: Debounce[Node] = Debounce(*_debounced_ns(settings))
        patience.quiet_ns = self.debounce.quiet_ns
        self.poller = Poller(territory, _poll_pace(settings), watch_share=watch_share, shards=shards, clock=clock)
        self.verifier: Verifier | None = None
        if verifies:
            self.verifier = Verifier(territory, period_ns=_period_ns(settings), share=self._verify_share(settings))
        self.rate = ScanRate()
        self._territory = territory
        self._limit(settings)
        self._clock = clock

    def take_over(self, settings: Settings) -> None:
        """Goes on with these settings. What is under way is not begun again."""
        self._settings = settings
        self.debounce.wait(*_debounced_ns(settings))
        self._patience.quiet_ns = self.debounce.quiet_ns
        self.poller.take_over(_poll_pace(settings))
        if self.verifier is not None:
            self.verifier.take_over(self._clock(), period_ns=_period_ns(settings), share=self._verify_share(settings))
        self._limit(settings)

    def _limit(self, settings: Settings) -> None:
        """A scan that is held back goes from directory to directory, so that its pauses stay short."""
        self.rate.limit(settings.rescan_files_per_s / self._shards)
        self._territory.siblings_max = 1 if settings.rescan_files_per_s else SIBLINGS_MAX

    def share_among(self, shards: int) -> None:
        """The service has so many shards now, which share what is allowed to all of them."""
        if shards == self._shards:
            return
        self._shards = shards
        self.take_over(self._settings)
        self._watch_share.share_among(shards)

    def _verify_share(self, settings: Settings) -> float:
        return settings.verify_cpu_percent / 100 / self._shards


def _debounced_ns(settings: Settings) -> tuple[int, int]:
    """How long a name has to be quiet, and how long it waits at most."""
    quiet_ns = settings.settle_ms * 1_000_000 - (_HAND_OVER_NS if settings.settle_ms >= _SETTLE_MS_SHORT else 0)
    return quiet_ns, settings.settle_ms_max * 1_000_000


def _poll_pace(settings: Settings) -> PollPace:
    return PollPace(settings.poll_ms * 1_000_000, settings.poll_ms_max * 1_000_000, settings.poll_cpu_percent / 100)


def _period_ns(settings: Settings) -> int:
    return int(settings.verify_period_s * 1e9)
