"""A command that changes what it watches is noticed by the times of its runs; what somebody else changes never waits for long."""

from __future__ import annotations

from shardwatch.supervisor.runs.change import Change
from shardwatch.supervisor.runs.command import Run
from shardwatch.supervisor.runs.echoes import LATEST_WINDOW_NS, PAUSE_S_MAX, QUICK_NS, ROUNDS_SLOW, Echoes

SECOND = 1_000_000_000
MS = 1_000_000


class Clock:
    """Runs of a command, one after the other, and the changes that are seen between them."""

    def __init__(self, echoes: Echoes) -> None:
        self.echoes = echoes
        self.now = 1_000 * SECOND
        self._number = 0

    def run(self, *paths: bytes, lasts_ns: int = 100 * MS) -> int:
        """A run for these paths; a time in the middle of it."""
        self.now += SECOND
        self._number += 1
        run = Run(self._number, "b", 1, tuple(Change(path, "modified", 1) for path in paths))
        self.echoes.begin(run, self.now)
        middle = self.now + lasts_ns // 2
        self.now += lasts_ns
        self.echoes.end(run, self.now)
        return middle

    def change(self) -> int:
        """A time at which no run goes on."""
        self.now += SECOND
        return self.now


def test_a_command_that_changes_its_own_file_runs_ever_less_often() -> None:
    """Once more at once, since somebody else may have made the change; and then after pauses that grow up to a limit."""
    clock = Clock(Echoes())
    assert clock.echoes.pause_s(b"/a", clock.change()) == 0
    pauses = [clock.echoes.pause_s(b"/a", clock.run(b"/a")) for _ in range(14)]
    assert pauses[:6] == [0, 1, 2, 4, 8, 16]
    assert pauses[-1] == pauses[-2] == PAUSE_S_MAX


def test_a_command_that_writes_another_file_each_time_is_noticed_too() -> None:
    """The runs are what follows one from the other, not the paths."""
    clock = Clock(Echoes())
    assert clock.echoes.pause_s(b"/a", clock.change()) == 0
    pauses = []
    path = b"/a"
    for number in range(5):
        middle = clock.run(path)
        path = b"/out%d" % number
        pauses.append(clock.echoes.pause_s(path, middle))
    assert pauses == [0, 1, 2, 4, 8]


def test_changes_between_runs_never_wait() -> None:
    """Nor does the first change of the file after a loop that was noticed: it begins anew."""
    clock = Clock(Echoes())
    for _ in range(20):
        clock.run(b"/a")
        assert clock.echoes.pause_s(b"/a", clock.change()) == 0
    for _ in range(6):
        clock.echoes.pause_s(b"/a", clock.run(b"/a"))
    assert clock.echoes.pause_s(b"/a", clock.change()) == 0
    assert clock.echoes.pause_s(b"/a", clock.run(b"/a")) == 0


def test_what_a_run_writes_that_was_made_for_a_change_does_not_wait() -> None:
    """However often that happens: a build writes its output after each change of a source, and the output is run for once."""
    clock = Clock(Echoes())
    for _ in range(20):
        assert clock.echoes.pause_s(b"/source", clock.change()) == 0
        assert clock.echoes.pause_s(b"/out", clock.run(b"/source")) == 0
        clock.run(b"/out")


def test_during_long_runs_people_go_on_working() -> None:
    """So more of them must follow each other before one waits."""
    clock = Clock(Echoes())
    pauses = [clock.echoes.pause_s(b"/a", clock.run(b"/a", lasts_ns=2 * QUICK_NS)) for _ in range(ROUNDS_SLOW + 1)]
    assert pauses == [0] * (ROUNDS_SLOW - 1) + [1, 2]


def test_what_changes_during_a_run_that_goes_on_is_an_echo() -> None:
    """Its end is not known yet."""
    echoes = Echoes()
    run = Run(1, "b", 1, ())
    assert not echoes.is_echo(5 * SECOND)
    echoes.begin(run, 10 * SECOND)
    assert echoes.is_echo(3_000 * SECOND)
    assert not echoes.is_echo(9 * SECOND)
    echoes.end(run, 20 * SECOND)
    assert echoes.is_echo(15 * SECOND)
    assert not echoes.is_echo(21 * SECOND)


def test_of_a_server_only_the_beginning_counts() -> None:
    """It runs for ever, so everything changes while it runs; a signal that tells it of changes is a beginning, too."""
    echoes = Echoes(LATEST_WINDOW_NS)
    run = Run(1, "", 1, ())
    echoes.begin(run, 10 * SECOND)
    assert echoes.is_echo(11 * SECOND)
    assert not echoes.is_echo(20 * SECOND)
    echoes.begin(run, 30 * SECOND)
    assert echoes.is_echo(31 * SECOND)
    assert not echoes.is_echo(20 * SECOND)


def test_the_change_that_a_run_is_for_was_made_before_it() -> None:
    """With the time of a kernel whose clock ticks every few milliseconds, and with runs side by side."""
    echoes = Echoes()
    first, second = Run(1, "b", 1, ()), Run(2, "b", 1, ())
    echoes.begin(first, 10 * SECOND)
    echoes.begin(second, 11 * SECOND)
    echoes.end(first, 12 * SECOND)
    assert echoes.is_echo(13 * SECOND)
    echoes.end(second, 14 * SECOND)
    assert not echoes.is_echo(10 * SECOND - 48 * MS)
    assert echoes.is_echo(10 * SECOND - 4 * MS)
