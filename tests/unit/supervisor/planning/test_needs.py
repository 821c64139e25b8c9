"""Whether a container or a unit allows what a service needs, and which setting to change."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from shardwatch.shard.contract.state.settings import Settings
from shardwatch.supervisor.host.confinement import Confinement, Limit
from shardwatch.supervisor.planning.memory_needs import SHARD_BYTES
from shardwatch.supervisor.planning.needs import SERVICE_BYTES, ShardNeeds, service_bytes, troubles

SETTINGS = Settings(roots=(b"/a",), include=("*",), exclude=())
SHARDS = [ShardNeeds(1_000, 9_000, 1_000), ShardNeeds(3_000, 7_000, 3_000)]
MIB = 1 << 20


def limit(value: float, file: str = "memory.max") -> Limit:
    return Limit(value, None, file, "/g")


def test_what_is_needed_grows_with_the_trees() -> None:
    """Of a shard with its directories, of the service with its shards."""
    assert SHARD_BYTES < SHARDS[0].memory_bytes < SHARDS[1].memory_bytes < SHARD_BYTES + MIB
    assert SERVICE_BYTES == service_bytes([]) < service_bytes(SHARDS[:1]) < service_bytes(SHARDS)


def test_a_scan_takes_what_its_rate_says() -> None:
    """All shards share it equally."""
    assert SHARDS[1].scan_s(SETTINGS, 2) == 0.0
    assert SHARDS[1].scan_s(replace(SETTINGS, rescan_files_per_s=1_000), 2) == 20.0


def test_nothing_is_told_where_everything_suffices() -> None:
    """Without limits, and with wide ones."""
    wide = Confinement(
        by="Docker", memory=limit(1 << 30), processors=limit(2.0), processes=limit(1_000), open_files=4_096
    )
    for settings in (SETTINGS, replace(SETTINGS, memory_mib_max=100)):
        assert list(troubles(settings, SHARDS, Confinement())) == list(troubles(settings, SHARDS, wide)) == []


@pytest.mark.parametrize(
    ("confinement", "said", "settings"),
    [
        (
            Confinement(memory=limit(90 * MIB)), "memory.max of /g allows 90 MiB: beyond it, the kernel kills",
            ("--memory (Docker)", "resources.limits.memory (Kubernetes)", "MemoryMax= and MemoryHigh= (systemd)"),
        ),
        (
            Confinement(memory=limit(90 * MIB, "memory.high")), "allows 90 MiB: beyond it, the kernel slows it down",
            ("--memory", "resources.limits.memory", "MemoryHigh="),
        ),
        (
            Confinement(memory=limit(500 * MIB), killed=3), "for its memory, 3 times: memory.max of /g allows 500 MiB",
            ("--memory", "resources.limits.memory", "MemoryMax="),
        ),
        (Confinement(processors=limit(0.25, "cpu.max")), "0.25 processors", ("--cpus", "resources.limits.cpu", "CPUQuota=")),
        (Confinement(processes=limit(19, "pids.max")), "needs about 20", ("--pids-limit", "podPidsLimit", "TasksMax=")),
        (Confinement(open_files=256), "256 files", ("--ulimit nofile", "LimitNOFILE= of the container", "LimitNOFILE=")),
    ],
)
def test_what_is_too_tight_is_told_with_the_setting(confinement: Confinement, said: str, settings: tuple[str, ...]) -> None:
    """Of Docker, Kubernetes and systemd; and in general where nobody knows who has set it."""
    for by, setting in zip(("Docker", "Kubernetes", "systemd"), settings, strict=True):
        ((message, remedy),) = troubles(SETTINGS, SHARDS, replace(confinement, by=by))
        assert said in message and setting in remedy
    ((_, remedy),) = troubles(SETTINGS, SHARDS, confinement)
    assert remedy.startswith("raise it where it is set for ")


@pytest.mark.parametrize(
    ("cap", "directories", "shards", "said", "remedy"),
    [
        (1, 4_000, 2, "a shard needs about 20 MiB and the aggregator needs about 26 MiB, and", "set memory_mib_max to 39"),
        (22, 4_000, 2, "the aggregator needs about 26 MiB, and", "set memory_mib_max to 39"),
        (30, 100_000, 1, "a shard needs about 39 MiB, and", "set memory_mib_max to 59, or shards to 2"),
        (30, 3_000_000, 1, "a shard needs about 592 MiB, and", "set memory_mib_max to 889, or shards to 58"),
        (30, 4_000_000, 1, "a shard needs about 783 MiB, and", "set memory_mib_max to 1,175"),
    ],
)
def test_a_cap_that_is_less_than_a_process_needs_is_told(
    cap: int, directories: int, shards: int, said: str, remedy: str
) -> None:
    """With what it would have to be, and with more shards only where there can be so many that it suffices."""
    needs = [ShardNeeds(directories // shards, 0, directories // shards)] * shards
    ((message, helps),) = troubles(replace(SETTINGS, memory_mib_max=cap), needs, Confinement())
    assert message.startswith(f"{said} memory_mib_max is {cap}: ") and helps == remedy


def test_a_cap_that_does_not_keep_a_limit_is_told() -> None:
    """One that is more than a container allows to all of them."""
    found = list(troubles(replace(SETTINGS, memory_mib_max=500), SHARDS, Confinement(by="Docker", memory=limit(1 << 30))))
    assert len(found) == 1 and "1,500 MiB together" in found[0][0] and "raise --memory (Docker)" in found[0][1]
