"""Settings that a shard takes over while it runs."""

from __future__ import annotations

from msgspec.structs import replace
from shard_scene import MS, ShardScene

from shardwatch.shard.backend.patience import Patience
from shardwatch.shard.backend.share import WatchShare
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.schedule.tuning import Tuning

SETTINGS = Settings(roots=(b"/",), include=("*",), exclude=(), settle_ms=50, settle_ms_max=1000, verify_period_s=0)


def test_other_settings_are_as_good_as_a_new_start(scene: ShardScene) -> None:
    """Whatever is asked of the parts, the answer is that of parts that were made with these settings."""
    share = WatchShare(lambda: None, 2)
    scene.engine.now = 60 * 10**9

    def made(settings: Settings) -> Tuning:
        return Tuning(
            scene.shard.territory, settings, shards=2, patience=Patience(), watch_share=share, verifies=True,
            clock=lambda: scene.engine.now,
        )  # fmt: skip

    other = replace(
        SETTINGS, settle_ms=4, settle_ms_max=9, poll_ms=2_000, poll_ms_max=9_000, poll_cpu_percent=1.0, verify_period_s=60.0,
        verify_cpu_percent=50.0, rescan_files_per_s=10,
    )  # fmt: skip
    changed, new = made(SETTINGS), made(other)
    node = scene.node("a")

    def answers(tuning: Tuning) -> list[object]:
        assert tuning.verifier is not None
        tuning.debounce.add(0, {node: {b"x"}})
        tuning.rate.spent(100, 0)
        found = [tuning.debounce.next_due(), tuning.debounce.cap_ns, tuning.poller.next_due(), tuning.verifier.state().period_s]
        tuning.debounce.flush()
        return [*found, tuning.rate.pauses(0), tuning.rate.ends_at]

    expected = answers(new)
    assert expected[0] == 4 * MS and expected[-1] == 20 * 10**9, "ten for both shards: five for each"
    assert answers(changed) != expected
    changed.take_over(other)
    assert answers(changed) == expected


def test_a_stand_in_has_no_verification(scene: ShardScene) -> None:
    """And takes over the rest."""
    share = WatchShare(lambda: None, 1)
    patience = Patience()
    tuning = Tuning(
        scene.shard.territory, SETTINGS, shards=1, patience=patience, watch_share=share, verifies=False, clock=lambda: 0
    )
    assert patience.quiet_ns == int(48.5 * MS)
    tuning.take_over(replace(SETTINGS, settle_ms=7, verify_period_s=1.0))
    assert tuning.verifier is None and tuning.debounce.quiet_ns == patience.quiet_ns == int(5.5 * MS)
