"""The log of a process: warnings that others cause are sparse, repeats are folded, lines are text or JSON."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from shardwatch.shard.contract.process.log import FOLD_S, Sparse, open_log, use
from shardwatch.shard.contract.process.log_choice import LogChoice, follow, read_choice
from shardwatch.shard.contract.process.log_entry import ALL, JSON, SIGNAL, TEXT, entry
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.settings import Settings, write_settings

LOG = logging.getLogger("shardwatch.test")


@contextlib.contextmanager
def opened() -> Iterator[io.StringIO]:
    """What the log of this process gets, which is as before afterwards."""
    root = logging.getLogger("shardwatch")
    before = root.handlers[:], root.level, root.propagate
    written = io.StringIO()
    with contextlib.redirect_stderr(written):
        open_log()
    try:
        yield written
    finally:
        root.handlers[:], root.level, root.propagate = before


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A state directory with settings."""
    tmp_path.chmod(0o700)
    found = Layout(tmp_path)
    found.run.mkdir(mode=0o700)
    write_settings(found.settings, Settings(roots=(b"/r",), include=("*",), exclude=(), log_format=JSON, log_level="error"))
    return found


def test_one_line_a_second_at_most(caplog: pytest.LogCaptureFixture) -> None:
    """What is left out is counted in the next line; a long line is cut."""
    log = logging.getLogger("sparse-test")
    now = [100.0]
    sparse = Sparse(log, lambda: now[0])
    with caplog.at_level(logging.WARNING, logger="sparse-test"):
        for _ in range(1000):
            sparse.warning("refused: " + "x" * 10_000)
        assert len(caplog.messages) == 1
        assert len(caplog.messages[0]) <= 500
        now[0] += 1.0
        sparse.warning("again")
        now[0] += 1.0
        sparse.warning("and again")
    assert caplog.messages[1:] == ["again (and 999 more like it before)", "and again"]


def test_a_line_is_text_or_json() -> None:
    """The same in both: whatever names hold, it is one line, and readable; only a trace has lines of its own, as text."""
    said = ("INFO", "shardwatch.shard", 7, "a \x1b[2J\nb\udcff \u00e4")
    text = entry(TEXT, 1_700_000_000.1234, *said)
    assert "\n" not in text and "\x1b" not in text and text[19:].startswith(",123 INFO 7 shardwatch.shard: a ")
    line = entry(JSON, 1_700_000_000.1234, *said)
    found = json.loads(line)
    assert "\n" not in line and list(found) == ["time", "level", "program", "pid", "message"]
    assert found["time"][19:24] == ".123" + found["time"][23] and found["time"][10] == "T" and found["time"][-3] == ":"
    assert (found["level"], found["pid"], found["message"]) == ("info", 7, "a \x1b[2J\nb\ufffd \u00e4")
    assert entry(TEXT, 0, *said, trace="one\ntwo\x1b").splitlines()[1:] == ["one", r"two\x1b"]
    assert json.loads(entry(JSON, 0, *said, trace="one\ntwo"))["trace"] == "one\ntwo"


def test_repeats_are_folded() -> None:
    """How many there were is said with the next line, and after a while; what has a trace is never left out."""
    with opened() as written:
        for number in (1, 1, 1, 2, 2):
            LOG.info("line %d", number)
        later = logging.LogRecord("shardwatch.test", logging.INFO, "", 0, "line 2", (), None)
        later.created += FOLD_S + 1
        LOG.handle(later)
        for _ in range(2):
            try:
                raise ValueError("x")
            except ValueError:
                LOG.exception("again")
    told = [line.partition("test: ")[2] for line in written.getvalue().splitlines() if "test: " in line]
    before = "the line before it came"
    assert told == ["line 1", f"line 2 ({before} 2 more times)", f"line 2 ({before} 1 more times)", "again", "again"]
    assert written.getvalue().count("ValueError: x") == 2


def test_form_and_level_change_at_any_time() -> None:
    """Of a process that runs."""
    with opened() as written:
        LOG.debug("none")
        use(LogChoice(JSON, "debug"))
        LOG.debug("one")
        use(LogChoice(TEXT, "error"))
        LOG.warning("none")
    (line,) = written.getvalue().splitlines()
    assert json.loads(line)["message"] == "one"


def test_levels_that_were_asked_for_come_first(layout: Layout) -> None:
    """That of the program, that of all, that of the settings; what is no level does not count."""
    assert read_choice(layout, "aggregator") == LogChoice(JSON, "error")
    layout.log_levels.write_text(json.dumps({ALL: "debug", "shards:s0": "info", "shards:s1": "loud"}))
    layout.log_levels.chmod(0o600)
    chosen = [read_choice(layout, name).level for name in ("aggregator", "shards:s0", "shards:s1")]
    assert chosen == ["debug", "info", "debug"]


def test_a_signal_has_them_read_again(layout: Layout) -> None:
    """A file of levels that is damaged by then counts as none, and settings that are change nothing."""
    found: list[LogChoice] = []
    before = signal.getsignal(SIGNAL)
    try:
        follow(layout, "aggregator", found.append)
        layout.log_levels.write_text('{"aggregator": "debug"}')
        layout.log_levels.chmod(0o600)
        signal.raise_signal(SIGNAL)
        layout.log_levels.write_text("{")
        signal.raise_signal(SIGNAL)
        layout.settings.write_text("{")
        signal.raise_signal(SIGNAL)
    finally:
        signal.signal(SIGNAL, before)
    assert [choice.level for choice in found] == ["error", "debug", "error"]
