"""A run as a process: which program it is, what it is given, and its end."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

import pytest

from shardwatch.supervisor.runs.process import Program

GUARD_S = 60.0
UMASK = 0o027


def place(directory: Path, text: str) -> None:
    """A program `tool` in a new directory."""
    directory.mkdir()
    program = directory / "tool"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)


def run(program: Program, *arguments: bytes, given: bytes = b"") -> tuple[int, bytes]:
    """Its exit code and what it writes."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        process = program.run([b"tool", *arguments], dict(os.environb), given, stdout=writer, stderr=writer)
    finally:
        os.close(writer)
    with os.fdopen(reader, "rb") as output:
        written = output.read()
    assert select.select([process.ended], [], [], GUARD_S)[0]
    return process.close(), written


def test_a_program_that_moves_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked up in PATH once. When it is not there any more, it is looked up again, and not being there is an error."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'a'}:{tmp_path / 'b'}:{os.environ['PATH']}")
    place(tmp_path / "a", "echo a")
    place(tmp_path / "b", "echo b")
    program = Program(UMASK)
    assert run(program) == (0, b"a\n")
    assert run(program) == (0, b"a\n")
    (tmp_path / "a" / "tool").unlink()
    assert run(program) == (0, b"b\n")
    (tmp_path / "b" / "tool").unlink()
    with pytest.raises(FileNotFoundError):
        run(program)


def test_what_a_run_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its arguments as bytes, its standard input, its umask; ours is what it was. Its exit code comes back."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'a'}:{os.environ['PATH']}")
    place(tmp_path / "a", 'printf "%s\\n" "$1"; cat; umask; exit 3')
    before = os.umask(UMASK ^ 0o70)
    try:
        for _ in range(2):  # looked up, and known
            assert run(program := Program(UMASK), b"\xff {}", given=b"in\0put\n") == (3, b"\xff {}\nin\0put\n0027\n")
            assert run(program, b"\xff {}") == (3, b"\xff {}\n0027\n")
        assert os.umask(before) == UMASK ^ 0o70
    finally:
        os.umask(before)


def test_which_signals_a_run_ignores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that we were started with, as by nohup; none that only Python ignores, and none that we handle."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'a'}:{os.environ['PATH']}")
    place(tmp_path / "a", "exec grep SigIgn /proc/self/status")
    chosen = [signal.SIGHUP, signal.SIGUSR1, signal.SIGPIPE]
    before = {number: signal.signal(number, signal.SIG_IGN) for number in chosen}
    signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        code, written = run(Program(UMASK))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    ignored = int(written.split()[1], 16)
    assert code == 0
    assert [number for number in chosen if ignored >> (number - 1) & 1] == [signal.SIGHUP]
