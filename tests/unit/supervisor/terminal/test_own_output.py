"""What a command prints to is known by identity, by whatever name it is watched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from shardwatch.supervisor.terminal.own_output import OwnOutput


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The file that is written to (`own`)."""
    return tmp_path / "out.json"


@pytest.fixture
def own(out: Path) -> Iterator[OwnOutput]:
    """The file stands for standard output."""
    fd = os.open(out, os.O_CREAT | os.O_WRONLY)
    yield OwnOutput({fd: "standard output"})
    os.close(fd)


def encoded(*paths: Path) -> set[bytes]:
    """As events name them."""
    return {os.fsencode(path) for path in paths}


def test_the_file_is_known_by_every_path(own: OwnOutput, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its own, by one through a link above it, and by a second name; a namesake is another file. It is said once."""
    assert own
    (tmp_path / "d").mkdir()
    namesake, other = tmp_path / "d" / "out.json", tmp_path / "other.json"
    namesake.touch()
    other.touch()
    (tmp_path / "link").symlink_to(tmp_path)
    seen = tmp_path / "link" / "out.json"
    assert own.among(encoded(out, namesake, other, seen)) == encoded(out, seen)
    assert capsys.readouterr().err.count("standard output goes to") == 1
    second = tmp_path / "second.json"
    second.hardlink_to(out)
    assert own.among(encoded(second, other)) == encoded(second)
    assert capsys.readouterr().err == ""


def test_the_file_may_be_renamed_replaced_and_removed(own: OwnOutput, out: Path, tmp_path: Path) -> None:
    """What is written to goes on under its new name; what comes in its place is a file of somebody else."""
    renamed = tmp_path / "renamed.json"
    out.rename(renamed)
    assert own.among(encoded(renamed)) == encoded(renamed)
    out.touch()
    assert own.among(encoded(out)) == set()
    renamed.unlink()
    assert own.among(encoded(renamed)) == set()


def test_what_is_no_file_has_no_changes(tmp_path: Path) -> None:
    """A pipe, a device, a closed descriptor."""
    reader, writer = os.pipe()
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        assert not OwnOutput({reader: "in", writer: "out", null: "null"})
        assert OwnOutput({writer: "out"}).among(encoded(tmp_path)) == set()
    finally:
        for fd in (reader, writer, null):
            os.close(fd)
    assert not OwnOutput({writer: "closed"})
