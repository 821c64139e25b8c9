"""`logs`, over the files that a service has left."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from cli_process import Command, run

pytestmark = pytest.mark.usefixtures("no_leaks")


def stamp(second: int) -> str:
    return f"2026-11-27 10:00:{second:02d},000"


@pytest.fixture
def logs(state_dir: Path) -> Path:
    """The folder of the logs of a service that has ended: of an aggregator, whose log was rotated once, and of a shard."""
    folder = state_dir / "logs"
    folder.mkdir(mode=0o700, parents=True)
    (folder / "aggregator.log.1").write_text(f"{stamp(1)} INFO 7 first\n")
    (folder / "aggregator.log").write_text(f"{stamp(3)} ERROR 7 third\nTraceback: of it\n{stamp(5)} INFO 7 fifth\n{stamp(9)} INF")
    (folder / "shard-s0.log").write_text(f"{stamp(2)} INFO 8 second\n{stamp(4)} INFO 8 fourth \x1b[2J\n")
    (folder / "notes.txt").write_text("no log\n")
    return folder


def test_the_lines_of_all_in_the_order_of_their_times(state_dir: Path, logs: Path) -> None:
    """With what was rotated away, and without a line that is not complete; a traceback stays with its line; nothing acts on a
    terminal."""
    printed = run("logs", "--state-dir", state_dir).stdout
    lines = printed.splitlines()
    assert [line.split()[-1] for line in lines] == ["first", "second", "third", "it", r"\x1b[2J", "fifth"]
    assert lines[0].startswith(f"aggregator  {stamp(1)}")
    assert lines[1].startswith(f"shards:s0   {stamp(2)}")
    assert run("logs", "-n", "2", "--state-dir", state_dir).stdout.splitlines() == lines[-2:]
    assert run("logs", "-n", "0", "--state-dir", state_dir).stdout == ""
    for name in ("s0", "shards:s0"):
        assert len(run("logs", name, "--state-dir", state_dir).stdout.splitlines()) == 2


def test_what_is_not_there(state_dir: Path, logs: Path, tmp_path: Path) -> None:
    """One line that says what there is."""
    cases: list[tuple[list[str | Path], int, str]] = [
        (["none", "--state-dir", state_dir], 2, "there are those of aggregator, shards:s0"),
        (["-n", "-1", "--state-dir", state_dir], 2, "out of range"),
        (["--state-dir", tmp_path / "none"], 3, "there is no state directory"),
        (["--state-dir", tmp_path], 2, ""),
    ]
    for arguments, code, words in cases:
        refused = run("logs", *arguments, check=False)
        assert (refused.returncode, len(refused.stderr.splitlines())) == (code, 1), refused.stderr
        assert words in refused.stderr


def test_later_lines_are_followed(state_dir: Path, logs: Path) -> None:
    """Of a log that grows, is rotated, is emptied, and of a program that is new."""
    with Command("logs", "--follow", "-n", "1", "--state-dir", state_dir) as following:
        assert following.line().endswith(b"fifth")
        with (logs / "aggregator.log").open("a") as log:
            log.write("O 7 sixth\n")
        assert following.line().endswith(b"sixth")
        (logs / "aggregator.log").rename(logs / "aggregator.log.1")
        (logs / "aggregator.log").write_text(f"{stamp(10)} INFO 7 seventh\n")
        assert following.line().endswith(b"seventh")
        (logs / "shard-s1.log").write_text(f"{stamp(11)} INFO 9 eighth\n")
        assert following.line().startswith(b"shards:s1")
        (logs / "shard-s0.log").write_text("")
        with (logs / "aggregator.log").open("a") as log:
            log.write(f"{stamp(12)} INFO 7 ninth\n")
        assert following.line().endswith(b"ninth")
        (logs / "shard-s0.log").write_text(f"{stamp(13)} tenth\n")
        assert following.line().endswith(b"tenth")
        assert following.end(signal.SIGINT) == 0
