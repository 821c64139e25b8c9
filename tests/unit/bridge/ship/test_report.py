"""What `ship` does at present is written down for `status`, which may come at any time."""

from __future__ import annotations

from pathlib import Path

from shardwatch.bridge.protocol.generations import Target
from shardwatch.bridge.ship.report import Reporter, ShipReport, read_report
from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.layout import Layout

TARGET = Target("stream", "prefix", "one", "ship")


def test_the_report_is_that_of_the_last_change(state_dir: Path) -> None:
    """A connection ends an error, and an error a connection; the server stays known."""
    layout = Layout(state_dir)
    layout.run.mkdir(mode=0o700)
    assert read_report(layout) is None
    reporter = Reporter(layout, TARGET)
    assert read_report(layout) == ShipReport(TARGET)
    reporter.failed(UsageError("wrong", hint="mend it"))
    assert read_report(layout) == ShipReport(TARGET, error="wrong", remedy="mend it")
    reporter.connected("nats://h")
    assert read_report(layout) == ShipReport(TARGET, "nats://h", connected=True)
    reporter.failed(UsageError("wrong"))
    assert read_report(layout) == ShipReport(TARGET, "nats://h", error="wrong")
    Reporter(layout, TARGET)
    assert read_report(layout) == ShipReport(TARGET), "nothing is known of a connection of somebody before"


def test_nothing_is_written_twice(state_dir: Path) -> None:
    """The same error may come again and again."""
    layout = Layout(state_dir)
    layout.run.mkdir(mode=0o700)
    reporter = Reporter(layout, TARGET)
    reporter.failed(UsageError("wrong"))
    layout.ship_report.unlink()
    reporter.failed(UsageError("wrong"))
    assert not layout.ship_report.exists()


def test_what_can_be_neither_written_nor_read_ends_nobody(state_dir: Path) -> None:
    """There is no such folder, as on a full disk; or the file is damaged. The next change is written."""
    layout = Layout(state_dir)
    reporter = Reporter(layout, TARGET)
    reporter.connected("nats://h")
    assert read_report(layout) is None
    layout.run.mkdir(mode=0o700)
    layout.ship_report.write_bytes(b"{")
    assert read_report(layout) is None
    reporter.failed(UsageError("wrong"))
    assert read_report(layout) == ShipReport(TARGET, "nats://h", error="wrong")
