"""Kills and freezes processes of the service and its consumers, one or several at once, at seeded random moments."""

from __future__ import annotations

import contextlib
import heapq
import logging
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from guard import borrowed

from chaos.processes import Process, marked
from chaos.tally import Tally

log = logging.getLogger("chaos.killer")

_SERVICE = ("supervisord", "aggregator", "coordinator", "shard", "ship")
_WORKERS = ("consumer", "exec", "remote")
_QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
#: Events that an instance made while the limit is lowered can hold.
_SHORT_QUEUE = 64


class Killer:
    """A thread. Everything it froze runs again after `pause` and `close`.

    Args:
        storm: makes more changes than a queue holds; called while somebody is frozen.
        queues: whether to lower `max_queued_events` for moments (a sysctl of the whole machine, put back at once).
        spared: roles that are never killed (they may be frozen for less than the limit).
        leader: where the service ships: the name of the nats-server that leads, if it is known at that moment.
    """

    def __init__(
        self,
        mark: str,
        tally: Tally,
        random_: random.Random,
        storm: Callable[[], None],
        *,
        pause_s: float = 2.0,
        queues: bool = False,
        spared: Iterable[str] = (),
        leader: Callable[[], str] | None = None,
    ) -> None:
        self._mark = mark
        self._tally = tally
        self._random = random_
        self._storm = storm
        self._pause_s = pause_s
        self._spared = frozenset(spared)
        #: (when it is to run again, order, who)
        self._frozen: list[tuple[float, int, Process]] = []
        self._order = 0
        self._mutex = threading.Lock()
        self._paused = False
        self._stopping = threading.Event()
        self.error: BaseException | None = None
        deeds: list[tuple[Callable[[], None], int]] = [
            (self._kill_shard, 20), (self._kill_all_shards, 4), (self._kill_aggregator, 12), (self._kill_coordinator, 5),
            (self._kill_supervisord, 6), (self._kill_supervisord_and_aggregator, 3), (self._kill_consumer, 15),
            (self._kill_consumers, 4), (self._kill_service, 3), (self._kill_everything, 2), (self._kill_again_and_again, 4),
            (self._freeze_shard, 8), (self._freeze_aggregator, 6), (self._freeze_supervisord, 2), (self._freeze_service, 4),
            (self._freeze_consumer, 5), (self._hang, 4), (self._freeze_then_kill_supervisord, 3), (self._kill_exec, 8),
            (self._kill_run, 4),
        ]  # fmt: skip
        self._at_rest: list[Callable[[], None]] = [
            self._kill_shard, self._kill_aggregator, self._kill_supervisord, self._kill_consumer, self._kill_exec,
        ]  # fmt: skip
        if leader is not None:
            self._leader = leader
            deeds += [
                (self._kill_ship, 7), (self._kill_server, 6), (self._kill_leader, 4), (self._kill_servers, 2),
                (self._kill_remote, 5), (self._freeze_ship, 4), (self._freeze_server, 5), (self._kill_ship_and_server, 3),
            ]  # fmt: skip
            self._at_rest += [self._kill_ship, self._kill_leader]
        if queues:
            deeds.append((self._shorten_a_queue, 6))
        self._deeds, self._weights = zip(*deeds, strict=True)
        self._thread = threading.Thread(target=self._run, name="killer")
        self._thread.start()

    # -- from outside

    def pause(self) -> None:
        """Returns when nothing is done any more, and nobody is frozen."""
        with self._mutex:
            self._paused = True
            self._thaw(float("inf"))

    def go_on(self) -> None:
        self._paused = False

    def once(self) -> None:
        """One kill now, from the caller's thread: at the moment of a sync, for instance."""
        with self._mutex:
            self._random.choice(self._at_rest)()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(60)
        self.pause()

    # -- the loop

    def _run(self) -> None:
        try:
            next_at = time.monotonic() + self._pause_s
            while not self._stopping.wait(0.05):
                with self._mutex:
                    now = time.monotonic()
                    self._thaw(now)
                    if self._paused or now < next_at:
                        continue
                    next_at = now + self._random.expovariate(1 / self._pause_s)
                    (deed,) = self._random.choices(self._deeds, self._weights)
                    log.info("%s", deed.__name__)
                    deed()
        except BaseException as error:
            self.error = error
            raise

    def _thaw(self, now: float) -> None:
        while self._frozen and self._frozen[0][0] <= now:
            _, _, process = heapq.heappop(self._frozen)
            log.info("SIGCONT %s %d", process.name, process.pid)
            process.send(signal.SIGCONT)

    def _there(self, *roles: str) -> list[Process]:
        return sorted((p for p in marked(self._mark) if p.role in roles), key=lambda p: (p.role, p.name, p.pid))

    def _some(self, *roles: str) -> list[Process]:
        """One of them, if there is any."""
        there = self._there(*roles)
        dice = self._random.random()
        return [there[int(dice * len(there))]] if there else []

    def _kill(self, processes: list[Process]) -> None:
        for process in processes:
            if process.role not in self._spared and process.send(signal.SIGKILL):
                log.info("SIGKILL %s %d", process.name, process.pid)
                self._tally.add(f"kill {process.role}")

    def _freeze(self, processes: list[Process], seconds: float) -> None:
        for process in processes:
            if process.send(signal.SIGSTOP):
                log.info("SIGSTOP %s %d for %.1f s", process.name, process.pid, seconds)
                self._tally.add(f"stop {process.role}")
                self._order += 1
                heapq.heappush(self._frozen, (time.monotonic() + seconds, self._order, process))

    # -- kills

    def _kill_shard(self) -> None:
        self._kill(self._some("shard"))

    def _kill_all_shards(self) -> None:
        self._kill(self._there("shard"))

    def _kill_aggregator(self) -> None:
        self._kill(self._there("aggregator"))

    def _kill_coordinator(self) -> None:
        self._kill(self._there("coordinator"))

    def _kill_supervisord(self) -> None:
        self._kill(self._there("supervisord"))

    def _kill_supervisord_and_aggregator(self) -> None:
        self._kill(self._there("supervisord", "aggregator"))

    def _kill_consumer(self) -> None:
        self._kill(self._some("consumer"))

    def _kill_consumers(self) -> None:
        self._kill(self._there(*_WORKERS))

    def _kill_exec(self) -> None:
        """Its runs are ended by its guard."""
        self._kill(self._some("exec"))

    def _kill_run(self) -> None:
        """Which is a failure."""
        self._kill(self._some("run"))

    def _kill_ship(self) -> None:
        self._kill(self._there("ship"))

    def _kill_server(self) -> None:
        self._kill(self._some("nats"))

    def _kill_servers(self) -> None:
        self._kill(self._there("nats"))

    def _kill_leader(self) -> None:
        leader = self._leader()
        self._kill([process for process in self._there("nats") if process.name == leader])

    def _kill_ship_and_server(self) -> None:
        self._kill([*self._there("ship"), *self._some("nats")])

    def _kill_remote(self) -> None:
        self._kill(self._some("remote"))

    def _kill_service(self) -> None:
        self._kill(self._there(*_SERVICE))

    def _kill_everything(self) -> None:
        self._kill(self._there(*_SERVICE, *_WORKERS))

    def _kill_again_and_again(self) -> None:
        """A process, then its successor, soon after its birth, some times."""
        role = self._random.choice(("shard", "aggregator", "supervisord"))
        for _ in range(self._random.randrange(2, 6)):
            self._kill(self._some(role))
            time.sleep(self._random.uniform(0.02, 0.6))

    # -- stops

    def _freeze_shard(self) -> None:
        self._freeze(self._some("shard"), self._random.uniform(0.1, 4))
        self._storm()

    def _freeze_aggregator(self) -> None:
        self._freeze(self._there("aggregator"), self._random.uniform(0.1, 4))
        if self._random.random() < 0.3:
            self._storm()

    def _freeze_supervisord(self) -> None:
        self._freeze(self._there("supervisord"), self._random.uniform(1, 9))
        self._kill(self._some("shard"))

    def _freeze_service(self) -> None:
        """A suspended laptop, save that the tree goes on changing."""
        self._freeze(self._there(*_SERVICE), self._random.uniform(1, 9))
        self._storm()

    def _freeze_ship(self) -> None:
        """For a moment, or for longer than it may be silent."""
        self._freeze(self._there("ship"), self._random.uniform(0.5, 9))

    def _freeze_server(self) -> None:
        self._freeze(self._some("nats"), self._random.uniform(0.5, 12))

    def _freeze_consumer(self) -> None:
        self._freeze(self._some(*_WORKERS), self._random.uniform(1, 10))

    def _hang(self) -> None:
        """One process, for longer than anybody may be silent."""
        if not self._spared:
            self._freeze(self._some("shard", "aggregator", "coordinator"), self._random.uniform(7, 12))

    def _freeze_then_kill_supervisord(self) -> None:
        """An orphan that does not hear that it is one."""
        self._freeze(self._some("shard", "aggregator"), self._random.uniform(1, 15))
        self._kill(self._there("supervisord"))

    def _shorten_a_queue(self) -> None:
        """A shard whose successor's queue holds next to nothing."""
        victim = self._some("shard")
        if not victim or "shard" in self._spared:
            return
        with short_queues():
            self._kill(victim)
            deadline = time.monotonic() + 3
            while time.monotonic() < deadline:
                fresh = [p for p in self._there("shard") if p.name == victim[0].name and p.pid != victim[0].pid]
                if fresh and any(p.watched() for p in fresh):
                    self._tally.add("short queues")
                    break
                time.sleep(0.02)
        self._storm()


@contextlib.contextmanager
def short_queues(events: int = _SHORT_QUEUE) -> Iterator[None]:
    """inotify instances made within hold few events."""
    with borrowed(_QUEUE, str(events)):
        yield


def may_shorten() -> bool:
    return os.access(_QUEUE, os.W_OK)
