"""supervisord's logs on a disk that is full. /dev/full is such a disk."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from supervisor import loggers

from shardwatch.supervisor.plugin import full_disk


@pytest.fixture(autouse=True)
def guarded() -> Iterator[None]:
    """supervisord's own methods again after the test."""
    kept = [
        (owner, name, getattr(owner, name))
        for owner, name in [
            (loggers.Handler, "handleError"),
            (loggers.Handler, "close"),
            (loggers.FileHandler, "reopen"),
            (loggers.RotatingFileHandler, "emit"),
        ]
    ]
    full_disk.guard()
    yield
    for owner, name, method in kept:
        setattr(owner, name, method)


def full_log(path: Path) -> loggers.RotatingFileHandler:
    """A log whose file does not take anything."""
    handler = loggers.RotatingFileHandler(str(path))
    handler.stream.close()
    handler.stream = Path("/dev/full").open("ab")  # noqa: SIM115 - the handler closes it
    return handler


def say(handler: loggers.RotatingFileHandler, words: str) -> None:
    """One line into the log."""
    loggers.Logger(handlers=[handler]).info(words + "\n")


def test_a_line_is_lost_and_standard_error_is_on_the_same_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither ends supervisord."""
    handler = full_log(tmp_path / "a.log")
    with Path("/dev/full").open("w", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        say(handler, "lost")
        monkeypatch.undo()
        with pytest.raises(OSError, match="No space"):
            full.close()
    handler.close()
    assert handler.closed


def test_the_file_that_could_not_be_closed_is_opened_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`supervisorctl reopen`, SIGUSR2 and the turn to a new file all close it."""
    handler = full_log(tmp_path / "a.log")
    say(handler, "lost")
    assert "No space left" in capsys.readouterr().err
    handler.reopen()
    say(handler, "written")
    handler.close()
    assert (tmp_path / "a.log").read_text() == "written\n"


def test_a_turn_to_a_new_file_that_fails_is_made_up_for(tmp_path: Path) -> None:
    """The new file can't be made; the log goes on in the next that can."""
    folder = tmp_path / "logs"
    folder.mkdir()
    handler = loggers.RotatingFileHandler(str(folder / "a.log"), maxBytes=10, backupCount=1)
    folder.rename(tmp_path / "away")
    say(handler, "more than ten bytes")
    say(handler, "lost")
    (tmp_path / "away").rename(folder)
    say(handler, "on")
    handler.close()
    assert (folder / "a.log.1").read_text() == "more than ten bytes\non\n"
