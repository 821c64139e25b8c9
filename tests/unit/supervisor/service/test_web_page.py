"""What `status` says of the page, from the report of the program that serves it."""

from __future__ import annotations

from pathlib import Path

from shardwatch.shard.contract.state.layout import Layout
from shardwatch.supervisor.service.web_page import WebReport, web_page, write_report

NOTHING = {"address": "", "error": "", "remedy": ""}


def test_the_report_of_the_process_that_runs_counts(tmp_path: Path) -> None:
    """That of an earlier one, a damaged one and none are no report."""
    layout = Layout(tmp_path)
    tmp_path.chmod(0o700)
    layout.run.mkdir(mode=0o700)
    rows = [{"name": "web", "pid": 7}]
    assert web_page(layout, [{"name": "aggregator", "pid": 7}]) is None
    assert web_page(layout, rows) == NOTHING
    write_report(layout, WebReport(7, address="http://127.0.0.1:1/"))
    assert web_page(layout, rows) == {**NOTHING, "address": "http://127.0.0.1:1/"}
    write_report(layout, WebReport(7, error="it is late", remedy="wait"))
    assert web_page(layout, rows) == {**NOTHING, "error": "it is late", "remedy": "wait"}
    assert web_page(layout, [{"name": "web", "pid": 8}]) == NOTHING
    layout.web_report.write_text("{")
    assert web_page(layout, rows) == NOTHING
