"""`logs`, over the files that a service has left."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from cli_process import Command, run
from waiting import eventually

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


def test_lines_of_json_are_read_as_text(state_dir: Path, logs: Path) -> None:
    """In their order among the others; a trace comes after its line, and what only looks like one of ours stays as it is."""
    own = {"time": "2026-11-27T10:00:06.000+01:00", "level": "error", "program": "shardwatch.shard", "pid": 8, "message": "sixth"}
    of_supervisord = {**own, "time": "2026-11-27T10:00:07.000+01:00", "program": "supervisord", "message": "seventh"}
    lines = [json.dumps(one) for one in ({**own, "trace": "of it\nall"}, of_supervisord)]
    lines = [line.replace('"time": ', '"time":', 1) for line in lines]
    with (logs / "shard-s0.log").open("a") as log:
        log.write("\n".join([*lines, '{"time":1}\n']))
    printed = [line.split("  ", 1)[1].strip() for line in run("logs", "s0", "--state-dir", state_dir).stdout.splitlines()]
    assert printed[2:] == [
        f"{stamp(6)} ERROR 8 shardwatch.shard: sixth", "of it", "all", f"{stamp(7)} ERROR seventh", '{"time":1}',
    ]  # fmt: skip


def test_the_level_of_a_running_service(state_dir: Path, tmp_path: Path) -> None:
    """Of one program and of all, at once, without a restart; the form is changed by a reload; a start forgets what was asked."""
    (tmp_path / "w").mkdir()
    file = tmp_path / "shardwatch.toml"
    file.write_text('roots = ["w"]\n')

    def debugged(program: str) -> list[str]:
        printed = run("logs", program, "-n", "1000", "--state-dir", state_dir).stdout.splitlines()
        return [line for line in printed if " DEBUG " in line]

    def written() -> list[bytes]:
        return (state_dir / "logs/aggregator.log").read_bytes().splitlines()

    try:
        run("up", "--detach", "-c", file, "--state-dir", state_dir)
        assert not debugged("aggregator") and not debugged("s0")
        run("logs", "--level", "debug", "s0", "--state-dir", state_dir)
        eventually(lambda: debugged("s0"))
        assert not debugged("aggregator")
        run("logs", "--level", "debug", "--state-dir", state_dir)
        run("groups", "list", "--state-dir", state_dir)
        eventually(lambda: debugged("aggregator"))
        file.write_text('roots = ["w"]\nlog_format = "json"\n')
        run("reload", "-c", file, "--state-dir", state_dir)
        run("groups", "list", "--state-dir", state_dir)
        eventually(lambda: written()[-1].startswith(b'{"time":') and json.loads(written()[-1])["level"] == "debug")
        assert any("request groups" in line for line in debugged("aggregator"))
        run("logs", "--level", "configured", "--state-dir", state_dir)
        eventually(lambda: json.loads((state_dir / "run/log-levels.json").read_bytes()) == {})
        refused = run("logs", "--level", "info", "none", "--state-dir", state_dir, check=False)
        assert refused.returncode == 2 and "there are aggregator, coordinator, shards:s0, supervisord" in refused.stderr
    finally:
        run("down", "--state-dir", state_dir, check=False)
    assert run("logs", "--level", "info", "--state-dir", state_dir, check=False).returncode == 3


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
