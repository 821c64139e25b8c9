"""Output of runs side by side: one after the other, each whole, whoever writes when."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from shardwatch.supervisor.runs.output import END_BYTES, HEARD_AFTER_S, KEPT_BYTES_MAX, Relay, RunOutput, flush

GUARD_S = 60.0


@pytest.fixture
def epoll() -> Iterator[select.epoll]:
    with select.epoll() as made:
        yield made


def begin(relay: Relay, prefix: bytes) -> RunOutput:
    """The output of a run that is listened to."""
    output = relay.begin(prefix, 0.0)
    relay.hear(HEARD_AFTER_S)
    return output


def step(relay: Relay, epoll: select.epoll) -> None:
    """What can be read is read."""
    for fd, _ in epoll.poll(0):
        relay.ready(fd)


def write(output: RunOutput, data: bytes, stream: int = 0) -> None:
    os.write(output.writers[stream], data)


def test_the_first_has_the_floor(capfdbinary: pytest.CaptureFixture[bytes], epoll: select.epoll) -> None:
    """It is heard at once; the other one when the first has ended, whole and in its order."""
    relay = Relay(epoll)
    first, second = begin(relay, b""), begin(relay, b"")
    write(second, b"second 1\n")
    write(first, b"first ")
    step(relay, epoll)
    write(first, b"1\n")
    write(second, b"second 2\n")
    step(relay, epoll)
    assert capfdbinary.readouterr().out == b"first 1\n"
    relay.end(second)
    write(first, b"last\n")
    relay.end(first)
    assert capfdbinary.readouterr().out == b"last\nsecond 1\nsecond 2\n"
    assert relay.idle()


def test_a_run_is_listened_to_when_it_has_lasted_for_a_moment(
    capfdbinary: pytest.CaptureFixture[bytes], epoll: select.epoll
) -> None:
    """Nobody is woken for what it writes before that. If it ends before that, what it has written is read at its end."""
    relay = Relay(epoll)
    brief, long = relay.begin(b"", 1.0), relay.begin(b"", 2.0)
    write(brief, b"brief\n")
    write(long, b"long 1\n")
    assert relay.due() == 1.0 + HEARD_AFTER_S
    relay.hear(1.0)
    assert not epoll.poll(0)
    relay.end(brief)
    assert capfdbinary.readouterr().out == b"brief\n"
    assert relay.due() == 2.0 + HEARD_AFTER_S
    relay.hear(2.0 + HEARD_AFTER_S)
    assert relay.due() == float("inf")
    step(relay, epoll)
    assert capfdbinary.readouterr().out == b"long 1\n"
    write(long, b"long 2\n")
    relay.end(long)
    assert capfdbinary.readouterr().out == b"long 2\n"


def test_the_end_of_what_a_run_has_written(epoll: select.epoll) -> None:
    """Of both pipes, as it was read, without the prefix; bytes that are no text are replaced."""
    relay = Relay(epoll)
    begin(relay, b"")
    output = begin(relay, b"prefix: ")
    write(output, b"begin" + b"x" * END_BYTES)
    step(relay, epoll)
    write(output, b"\xffwarning\n", stream=1)
    step(relay, epoll)
    write(output, b"last\n")
    relay.end(output)
    end = output.end()
    assert end.endswith("x\ufffdwarning\nlast\n") and len(end) == END_BYTES
    assert "begin" not in end and "prefix" not in end


def test_what_a_run_has_started_and_left_behind_is_not_listened_to(epoll: select.epoll) -> None:
    """It writes on for ever, faster than anybody reads. What was in the pipe at the end of the run is kept, and no more."""
    relay = Relay(epoll)
    begin(relay, b"")
    output = begin(relay, b"")
    with subprocess.Popen(["yes"], stdout=output.writers[0]) as left_behind:
        try:
            capacity = fcntl.fcntl(output.pipes[0], fcntl.F_GETPIPE_SZ)
            assert select.select([output.pipes[0]], [], [], GUARD_S)[0]
            relay.end(output)
            assert 0 < output.kept_bytes <= 2 * capacity
            assert left_behind.wait(GUARD_S) == -signal.SIGPIPE, "nobody reads it any more"
        finally:
            left_behind.kill()


def test_a_prefix_begins_each_line(capfdbinary: pytest.CaptureFixture[bytes], epoll: select.epoll) -> None:
    """Also of a line that comes in pieces, once; standard error goes to standard error. A line that a run leaves unended is
    ended, since the output of the next run begins with a prefix."""
    relay = Relay(epoll)
    output = begin(relay, b"/a: ")
    write(output, b"one\ntw")
    step(relay, epoll)
    write(output, b"o\n\nend")
    write(output, b"no\n", 1)
    step(relay, epoll)
    following = begin(relay, b"/b: ")
    write(following, b"two\n")
    relay.end(output)
    relay.end(following)
    assert capfdbinary.readouterr() == (b"/a: one\n/a: two\n/a: \n/a: end\n/b: two\n", b"/a: no\n")


def test_what_is_kept_is_bounded(capfdbinary: pytest.CaptureFixture[bytes], epoll: select.epoll) -> None:
    """A run that writes without end beside the one that has the floor is not read beyond the bound; nothing of it is lost."""
    relay = Relay(epoll)
    first, second = begin(relay, b""), begin(relay, b"")
    os.set_blocking(second.writers[0], False)
    sent = 0
    while True:
        try:
            sent += os.write(second.writers[0], b"x" * 4096)
        except BlockingIOError:
            before = second.kept_bytes
            step(relay, epoll)
            if second.kept_bytes == before:
                break
    assert KEPT_BYTES_MAX < second.kept_bytes < sent <= KEPT_BYTES_MAX + (1 << 20)
    relay.end(first)
    relay.end(second)
    flush(relay, epoll, GUARD_S)
    assert capfdbinary.readouterr().out == b"x" * sent


def test_a_reader_that_is_gone_ends_nobody(epoll: select.epoll) -> None:
    """What nobody reads is dropped, and the run goes on."""
    reader, writer = os.pipe()
    saved = os.dup(1)
    sys.stdout.flush()
    os.dup2(writer, 1)
    os.close(writer)
    os.close(reader)
    try:
        relay = Relay(epoll)
        output = begin(relay, b"")
        write(output, b"lost\n")
        step(relay, epoll)
        relay.end(output)
        assert relay.idle()
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def test_a_disk_that_was_full_is_written_to_again(capfdbinary: pytest.CaptureFixture[bytes], epoll: select.epoll) -> None:
    """What it refuses is lost, and no more."""
    relay = Relay(epoll)
    saved, full = os.dup(1), os.open("/dev/full", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.dup2(full, 1)
        lost = begin(relay, b"")
        write(lost, b"lost\n")
        relay.end(lost)
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(full)
    kept = begin(relay, b"")
    write(kept, b"kept\n")
    relay.end(kept)
    assert capfdbinary.readouterr().out == b"kept\n"


def test_an_output_for_which_descriptors_do_not_suffice_holds_none(
    monkeypatch: pytest.MonkeyPatch, epoll: select.epoll
) -> None:
    """There was one pipe, and no second one: a later run can have what is free."""
    made: list[int] = []
    pipe2 = os.pipe2

    def pipe(flags: int) -> tuple[int, int]:
        if made:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        made.extend(pipe2(flags))
        return made[0], made[1]

    monkeypatch.setattr(os, "pipe2", pipe)
    relay = Relay(epoll)
    with pytest.raises(OSError, match="Too many open files"):
        relay.begin(b"", 0.0)
    for fd in made:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
    assert relay.idle()
