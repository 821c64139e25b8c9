"""What `status` says of the page, from the report of the program that serves it."""

from __future__ import annotations

import os
from pathlib import Path

from shardwatch.shard.contract.state.layout import Layout
from shardwatch.supervisor.service.web_page import WebReporter, web_page

NOTHING = {"address": "", "error": "", "remedy": ""}


def test_the_report_of_the_process_that_runs_counts(tmp_path: Path) -> None:
    """That of an earlier one, a damaged one and none are no report."""
    layout = Layout(tmp_path)
    tmp_path.chmod(0o700)
    layout.run.mkdir(mode=0o700)
    rows = [{"name": "web", "pid": os.getpid()}]
    assert web_page(layout, [{"name": "aggregator", "pid": os.getpid()}]) is None
    assert web_page(layout, rows) == NOTHING
    reporter = WebReporter(layout)
    assert reporter.tell(address="http://127.0.0.1:1/")
    assert web_page(layout, rows) == {**NOTHING, "address": "http://127.0.0.1:1/"}
    assert reporter.tell(error="it is late", remedy="wait")
    assert not reporter.tell(error="it is late", remedy="wait"), "nothing new"
    assert web_page(layout, rows) == {**NOTHING, "error": "it is late", "remedy": "wait"}
    assert web_page(layout, [{"name": "web", "pid": os.getpid() + 1}]) == NOTHING
    layout.web_report.write_text("{")
    assert web_page(layout, rows) == NOTHING


def test_a_report_that_can_not_be_written_is_written_later(tmp_path: Path) -> None:
    """As with a full disk: the page is served meanwhile, and `status` says where as soon as it can know."""
    layout = Layout(tmp_path)
    tmp_path.chmod(0o700)
    reporter = WebReporter(layout)
    assert reporter.tell(address="http://127.0.0.1:1/")
    reporter.write()
    layout.run.mkdir(mode=0o700)
    reporter.write()
    assert web_page(layout, [{"name": "web", "pid": os.getpid()}]) == {**NOTHING, "address": "http://127.0.0.1:1/"}
