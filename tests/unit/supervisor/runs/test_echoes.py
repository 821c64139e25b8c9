"""A command that changes what it is run for is noticed by the times of its runs; what others change never waits for long."""

from __future__ import annotations

from shardwatch.supervisor.runs.echoes import LATEST_WINDOW_NS, PAUSE_S_MAX, QUICK_NS, ROUNDS_SLOW, Echoes

SECOND = 1_000_000_000
MS = 1_000_000


class Clock:
    """Runs of a command, one after the other, and the changes that are seen between them."""

    def __init__(self) -> None:
        self.echoes = Echoes()
        self.now = 1_000 * SECOND
        self._number = 0

    def run(self, *paths: bytes, lasts_ns: int = 100 * MS) -> int:
        """A run for these paths; a time in the middle of it."""
        self.now += SECOND
        self._number += 1
        self.echoes.begin(self._number, paths, self.now)
        middle = self.now + lasts_ns // 2
        self.now += lasts_ns
        self.echoes.end(self._number, self.now)
        return middle

    def change(self) -> int:
        """A time at which no run goes on."""
        self.now += SECOND
        return self.now


def test_a_command_that_changes_its_own_file_runs_ever_less_often() -> None:
    """Once more at once, since somebody else may have made the change; and then after pauses that grow up to a limit."""
    clock = Clock()
    assert not clock.echoes.may_be_echo(b"/a")
    assert clock.echoes.pause_s(b"/a", clock.change()) == 0
    pauses = [clock.echoes.pause_s(b"/a", clock.run(b"/a")) for _ in range(14)]
    assert pauses[:6] == [0, 1, 2, 4, 8, 16]
    assert pauses[-1] == pauses[-2] == PAUSE_S_MAX


def test_changes_between_runs_never_wait() -> None:
    """Nor does the first echo of the file after that: it begins anew."""
    clock = Clock()
    for _ in range(20):
        clock.run(b"/a")
        assert clock.echoes.pause_s(b"/a", clock.change()) == 0
    for _ in range(6):
        clock.echoes.pause_s(b"/a", clock.run(b"/a"))
    assert clock.echoes.pause_s(b"/a", clock.change()) == 0
    assert clock.echoes.pause_s(b"/a", clock.run(b"/a")) == 0


def test_what_changes_during_the_runs_for_other_files_never_waits() -> None:
    """A tree in which everything changes all the time, and a command that never rests; or a build that writes its output."""
    clock = Clock()
    for _ in range(20):
        assert clock.echoes.pause_s(b"/a", clock.run(b"/b")) == 0
        assert clock.echoes.pause_s(b"/b", clock.run(b"/a")) == 0


def test_an_output_that_every_run_writes_is_noticed() -> None:
    """The run for a source, and the first one for the output, may be somebody's; from the third on it waits."""
    clock = Clock()
    middle = clock.run(b"/source")
    assert [clock.echoes.pause_s(b"/out", middle)] == [0]
    assert [clock.echoes.pause_s(b"/out", clock.run(b"/out")) for _ in range(3)] == [0, 1, 2]


def test_what_somebody_else_changed_since_begins_anew() -> None:
    """Whoever notices that while a run waits says so."""
    clock = Clock()
    for _ in range(6):
        clock.echoes.pause_s(b"/a", clock.run(b"/a"))
    clock.echoes.forget(b"/a")
    assert [clock.echoes.pause_s(b"/a", clock.run(b"/a")) for _ in range(2)] == [0, 1]


def test_during_long_runs_people_go_on_working() -> None:
    """So more of them must follow each other before one waits."""
    clock = Clock()
    pauses = [clock.echoes.pause_s(b"/a", clock.run(b"/a", lasts_ns=2 * QUICK_NS)) for _ in range(ROUNDS_SLOW + 1)]
    assert pauses == [0] * (ROUNDS_SLOW - 1) + [1, 2]


def test_what_changes_during_a_run_that_goes_on_is_an_echo() -> None:
    """Its end is not known yet."""
    echoes = Echoes()
    echoes.begin(1, [b"/a"], 10 * SECOND)
    assert echoes.is_echo(b"/a", 3_000 * SECOND)
    assert not echoes.is_echo(b"/b", 3_000 * SECOND)
    assert not echoes.is_echo(b"/a", 9 * SECOND)
    echoes.end(1, 20 * SECOND)
    assert echoes.is_echo(b"/a", 15 * SECOND)
    assert not echoes.is_echo(b"/a", 21 * SECOND)


def test_of_a_server_only_the_beginning_counts() -> None:
    """It runs for ever, so everything changes while it runs; a signal that tells it of changes is a beginning, too."""
    echoes = Echoes(LATEST_WINDOW_NS)
    echoes.begin(1, [b"/a"], 10 * SECOND)
    assert echoes.is_echo(b"/a", 11 * SECOND)
    assert not echoes.is_echo(b"/a", 20 * SECOND)
    echoes.begin(1, [b"/a"], 30 * SECOND)
    assert echoes.is_echo(b"/a", 31 * SECOND)
    assert not echoes.is_echo(b"/a", 20 * SECOND)


def test_the_change_that_a_run_is_for_was_made_before_it() -> None:
    """Also with the time of a kernel whose clock ticks every few milliseconds."""
    echoes = Echoes()
    echoes.begin(1, [b"/a"], 10 * SECOND)
    assert not echoes.is_echo(b"/a", 10 * SECOND - 48 * MS)
    assert echoes.is_echo(b"/a", 10 * SECOND - 4 * MS)


def test_what_is_remembered_is_bounded() -> None:
    """The paths whose runs began first are forgotten."""
    echoes = Echoes()
    for number in range(11):
        echoes.begin(number, [b"/%d/%d" % (number, i) for i in range(1000)], SECOND)
    assert not echoes.may_be_echo(b"/0/999")
    assert echoes.may_be_echo(b"/1/0")
