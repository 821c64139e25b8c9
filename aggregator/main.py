"""The aggregator process: one loop over the frames from the shards and the requests of extract workers."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sqlite3
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import Final

import msgspec

from shardwatch.shard.contract.errors import ShardwatchError, UsageError, WireError
from shardwatch.shard.contract.input.command_line import value_of
from shardwatch.shard.contract.input.shown import cut, shown
from shardwatch.shard.contract.limits import BEAT_S, SILENT_S, next_beat
from shardwatch.shard.contract.process import inherited, log_choice
from shardwatch.shard.contract.process.life import die_with_parent, identity, leads_elsewhere, service_id
from shardwatch.shard.contract.process.log import Sparse, open_log
from shardwatch.shard.contract.process.log import use as use_log
from shardwatch.shard.contract.process.slack import Slack, give_back
from shardwatch.shard.contract.state.contents import REDO
from shardwatch.shard.contract.state.directory import StateDirectory
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.planfile import Plan, PlanFile, with_roots
from shardwatch.shard.contract.state.settings import Settings, read_settings
from shardwatch.shard.contract.wire.frames import Beat, OtherVersionError, decode_up, encode

from .groups.registry import Registry
from .groups.store import GroupStore
from .index.fitting import Fitting
from .index.holders import INTEGERS_OR_BYTES
from .index.opening import open_index, rebuild
from .index.replay import Replay
from .intake.engine import Engine
from .intake.receive import Receiver
from .process import outage
from .process.deferral import Deferral
from .process.gathering import Gathering
from .process.own_limits import OwnLimits
from .process.sharing import Sharing
from .process.sockets import Sockets, until
from .protocol.messages import RefusedError
from .server.call import Envelope, Outgoing
from .server.serve import Server
from .storage.checkpoints import Checkpoints
from .storage.damage import DISK_ERRORS, STUMBLES, MovedError, Refusal, damaged, examine, refusal, set_aside
from .storage.durability import TEMPORARY
from .storage.lives import DatabaseLife, Lives

log = logging.getLogger("shardwatch.aggregator")

#: Entries after which a transaction is committed while more frames wait (`Sharing` says after which time).
_COMMIT_ENTRIES = 20_000
#: Entries of one transaction that leave memory worth giving back.
_MUCH = 200
#: Bytes of replies of one turn that leave memory worth giving back.
_MUCH_SAID: Final = 1 << 20
#: Requests answered before facts are looked at again.
_REQUESTS = 200
#: Seconds between collections of tombstones that no group needs any more.
_COLLECT_S = 60.0
#: Seconds between two notes in the index of where the groups stand, while they move: each is a commit.
_KEEP_S: Final = 10.0
#: How late a beat may be, seconds. The beats of the shards come at the same times: one of them wakes this process, not its own
#: clock a moment before.
_BEAT_LATE_S: Final = 0.05
#: So many times within so many seconds SQLite finds damage that no examination shows: the index is then built anew.
_UNEXPLAINED: Final = 3
_UNEXPLAINED_S: Final = 60.0
_MENDING: Final = RefusedError("stopping", "a database is damaged, and built anew", "ask again in a moment")


class Aggregator:
    """The index, the groups and what runs on them, from one opening of the databases to their closing.

    Every method may raise sqlite3.Error: `abandon` it then. Nothing uncommitted has been acked or handed out.
    """

    def __init__(
        self, sockets: Sockets, layout: Layout, settings: Settings, limits: OwnLimits, notes: list[str], logs: set[str]
    ) -> None:
        """`notes`: what `status` shows; `logs`: see `Lives`. Both are added to."""
        self._sockets = sockets
        self._limits = limits
        self._notes = notes
        durability = _durability(layout, settings)
        with contextlib.ExitStack() as undo:
            self._lives = Lives(layout.state_dir, logs)
            plan_file = PlanFile(layout.plan)
            in_force = with_roots(settings, _plan(plan_file))
            self._index, found = open_index(layout.index_db, in_force, sockets.pulse.beat, durability=durability)
            undo.callback(self._index.abandon)
            notes += found
            self._store = GroupStore(layout.groups_db, durability=durability)
            undo.callback(self._store.abandon)
            undo.callback(self._lives.closing)
            notes += self._begin_life()
            # Before any row is written: a row that changes notes which groups hold it.
            registry = Registry(self._index.backlog, self._store, settings, time.monotonic(), time.time)
            known = self._index.consumers.known()
            registry.reconcile(self._index.file.found_tick, dict.fromkeys(self._lives.groups(), 0) | known)
            self._consumers = registry.consumers()
            if self._consumers != known:
                self._index.consumers.keep(self._consumers)
            # Not before: groups that can't be read are set aside by now. And if this life ends at once, and two of three files
            # are lost then, the third knows the groups.
            self._lives.begin(self._index.file.life, self._consumers)
            self._fitting = Fitting(self._index, in_force, notes)
            self._receiver = Receiver(
                self._index,
                lambda: _plan(plan_file),
                on_plan=lambda plan: self._fitting.take_over(with_roots(settings, plan)),
                service=service_id(),
            )
            self._index.commit()
            self._engine = Engine(self._index, self._receiver, settings, notes)
            self._server = Server(
                self._index.backlog,
                registry,
                self._engine,
                settings,
                in_force=lambda: self._fitting.settings,
                keep=self._keep_groups,
            )
            self._checkpoints = Checkpoints((layout.index_db, layout.groups_db), durability)
            undo.pop_all()
        self._lives_checkpointed = False
        self._kept = -1
        self._redo_file = layout.state_dir / REDO
        self._files = {path: identity(path) for path in (layout.index_db, layout.groups_db, self._redo_file)}
        self._bad_frames = Sparse(log)
        self._beat_at = 0.0
        self._keep_at = 0.0
        self._turned_at = time.monotonic()
        self._sharing = Sharing()
        #: A request has ended the last transaction, while frames waited: these are not left any longer.
        self._yielded = False
        self._slack = Slack()
        self._gathering = Gathering()
        self._deferral = Deferral()
        self._collect_at = time.monotonic() + _COLLECT_S
        self._replay = Replay(settings.replay_s, wall=time.time(), now=time.monotonic())

    def _begin_life(self) -> list[str]:
        """Stamps both databases with a life of their own; returns a note where they are not the ones that were in use last."""
        index, store, lives = self._index, self._store, self._lives
        file = index.file
        index_life = DatabaseLife(file.life, not file.life and not file.found_tick)
        doubt = lives.doubt(index_life, DatabaseLife(store.life, not store.known()))
        life = lives.name(doubt)
        file.begin_life(life, anew=bool(doubt))
        store.begin_life(life, doubt)
        if not doubt:
            return []
        log.warning("all groups begin afresh: %s", doubt)
        return [f"all groups begin afresh: {doubt}"]

    def run(self) -> None:
        """Runs until it is told to stop, or until standard input ends (supervisord is dead)."""
        sockets = self._sockets
        while not sockets.stopping:
            gather_s = self._gather_s()
            sockets.wait(self._timeout_ms(gather_s), facts=not gather_s)
            self._discount_stall()
            for shard in sockets.listening():
                self._receiver.listens(shard)
            turned = False  # whether the server has had its turn
            if sockets.facts.ready and not self._gather_s():
                self._take_facts()
                turned = True
            gone, undelivered = sockets.departed()
            if gone or undelivered:
                self._server.departed(gone, undelivered)
            if sockets.extract.ready:
                self._take_requests()
                turned = True
            if self._fitting.works:
                self._fitting.step()
                self._answer(self._server.on_commit())
                turned = True
            if self._index.debts.searching:
                self._sockets.pulse.beat()
                self._receiver.search()
            now = time.monotonic()
            if now >= self._deferral.due:
                self._commit_deferred()
            if now >= self._beat_at:
                self._beat(now)
            if self._slack.due(time.monotonic_ns()):
                self._slack.given_back()
                self._index.shrink()
                give_back()
            self._finish_syncs(now)
            if not turned:
                self._answer(self._server.tick())
            self._reply(touched_only=True)

    def _gather_s(self) -> float:
        """How long frames that are there are left yet, so that others may come and be taken with them; 0: they are taken now."""
        facts = self._sockets.facts
        if not facts.ready or not self._sockets.ready or facts.full or self._receiver.syncing or self._yielded:
            return 0.0
        return self._gathering.left_s(time.monotonic())

    def _timeout_ms(self, gather_s: float) -> int:
        if self._fitting.works or self._index.debts.searching:
            return 0
        now = time.monotonic()
        due = min(self._beat_at + _BEAT_LATE_S, now + self._server.next_due(), self._deferral.due)
        if gather_s:
            due = min(due, now + gather_s)
        slack = self._slack.next_due()
        if slack is not None:
            due = min(due, slack / 1e9)
        sync = self._receiver.next_deadline()
        return until(due if sync is None else min(due, sync))

    def _discount_stall(self) -> None:
        """A judge that was itself stopped (a suspended laptop) does not blame the others for its silence."""
        now = time.monotonic()
        if now - self._turned_at > SILENT_S:
            self._receiver.discount(now - self._turned_at)
        self._turned_at = now

    # -- facts

    def _take_facts(self) -> None:
        begun = time.monotonic()
        self._sharing.begin(begun)
        self._yielded = False
        entries, commits = 0, self._index.file.commits
        while entries < _COMMIT_ENTRIES:
            body = self._sockets.fact()
            if body is None:
                break
            now = time.monotonic()
            try:
                message = decode_up(body)
            except WireError as error:
                self._refuse(error, now)
                continue
            foreign = self._receiver.foreign
            if isinstance(message, Beat):
                self._receiver.beat(message, now)
            else:
                entries += self._receiver.frame(message, now)
            if self._receiver.foreign != foreign:
                self._bad_frames.warning(f"refused: shard {shown(message.shard)} is not one of this service's plan")
            if self._sharing.is_over(now):
                break
            if self._sharing.yields(now) and self._sockets.asked():
                self._yielded = True
                break
        self._commit_facts(entries, time.monotonic())
        self._gathering.took(entries, begun)
        if entries > _MUCH:
            self._index.expand()
            self._slack.worked(time.monotonic_ns())
            self._reply(touched_only=True)  # the shard goes on while batches are made of this
        self._finish_syncs(time.monotonic())
        if not self._sockets.ready:
            self._sockets.ready = self._engine.ready() is not None
        changed = self._index.file.commits != commits
        self._answer(self._server.on_commit(changed=changed))
        self._reply(touched_only=True)  # last, because workers wait for what there is, and a shard does not wait for a few names
        if changed and not self._index.deferring:
            self._checkpoints.committed(self._index.file.rows_changed)

    def _commit_facts(self, entries: int, now: float) -> None:
        index, syncing = self._index, self._receiver.syncing
        index.commit(may_defer=self._deferral.may_defer(entries, now, deferring=index.deferring, syncing=syncing))
        self._deferral.committed(now, deferring=index.deferring)

    def _commit_deferred(self) -> None:
        """Other processes see from now on what is committed."""
        self._index.commit_deferred()
        self._deferral.committed(0.0, deferring=False)
        self._checkpoints.committed(self._index.file.rows_changed)

    def _finish_syncs(self, now: float) -> None:
        """Whoever waited for a sync may look into the index then, from another process."""
        if self._index.deferring and self._receiver.syncing:
            self._commit_deferred()
        self._receiver.finish_syncs(now)

    def _refuse(self, error: WireError, now: float) -> None:
        """Counts a message that is not understood.

        If its sender is a shard of ours that began later and has another wire version, the code was replaced while this process
        ran: it leaves, and supervisord starts the new code. A shard that began earlier leaves by itself when it is answered in
        another version.
        """
        self._engine.refused += 1
        self._bad_frames.warning(cut(f"refused: {error}"))
        if not isinstance(error, OtherVersionError) or not self._receiver.other_version(error.shard, now):
            return
        if error.begun > self._receiver.life and not self._sockets.stopping:
            log.warning("shard %s began with other code than the aggregator: leaving, to be started with it", error.shard)
            self._sockets.stop()

    def _reply(self, *, touched_only: bool) -> None:
        for shard, reply in self._receiver.replies(touched_only=touched_only, now=time.monotonic()):
            self._sockets.publish(shard, encode(reply))

    def _beat(self, now: float) -> None:
        self._beat_at = next_beat(now, BEAT_S)
        self._sockets.leave_if_replaced()
        self._sockets.restore()
        self._keep_to_limits()
        self._sockets.ready = self._engine.ready() is not None
        for path, opened in self._files.items():
            if leads_elsewhere(path, opened):
                if path == self._redo_file:
                    self._commit_deferred()  # the next one begins empty
                raise MovedError(f"{path} was removed or replaced while it was open")
        if not self._lives_checkpointed:
            self._lives_checkpointed = True
            self._checkpoints.wait()
            self._index.file.checkpoint_life()
            self._store.checkpoint_life()
        self._lives.keep()
        if self._receiver.reload_plan():
            self._index.commit()
        if now >= self._keep_at:
            self._keep_at = now + _KEEP_S
            self._keep_consumers()
        self._reply(touched_only=False)
        if now >= self._collect_at:
            old = self._replay.horizon_ns(wall=time.time(), now=now)
            if old is None or not self._index.tombstones.collect(self._server.passed(), old, self._server.registry.set_aside()):
                self._collect_at = now + _COLLECT_S  # else there may be more: at the next beat
                self._index.debts.add_partly(self._index.debts.wall_ns())

    def _keep_to_limits(self) -> None:
        """Goes on with settings that were exchanged, and ends where it has to be started again for its limits."""
        limits = self._limits
        settings = limits.changed()
        if settings is not None:
            self._engine.take_over(settings)
        if limits.look(settled=self._sockets.ready):
            self._index.shrink()
            give_back()
        self._engine.tell_own(limits.memory.resident, limits.memory.needed, limits.refused)
        if limits.exit_code:
            self._sockets.stop()

    def _keep_groups(self) -> None:
        """Before anyone hears of a new group, or that one is dropped."""
        if self._server.registry.changes != self._kept:
            self._keep_consumers()

    def _keep_consumers(self) -> None:
        """Tells the index which groups there are, and where they stand."""
        self._kept = self._server.registry.changes
        consumers = self._server.registry.consumers()
        if consumers != self._consumers:
            self._index.consumers.keep(consumers)
            self._lives.keep_groups(consumers)
            self._consumers = consumers

    # -- requests

    def _take_requests(self) -> None:
        begun = time.monotonic()
        self._answer(self._server.handle_many(self._requests()))
        self._sharing.answered(time.monotonic() - begun)

    def _requests(self) -> Iterator[tuple[Envelope, bytes]]:
        """The requests of a turn. The sockets are told of each what its reply is like, which they get when all are handled."""
        before = 0
        for envelope, body in self._sockets.requests(_REQUESTS):
            yield envelope, body
            kept = self._server.kept_bytes
            self._sockets.owe(envelope, kept - before)
            before = kept

    def _answer(self, replies: list[Outgoing]) -> None:
        size = 0
        for reply in replies:
            size += len(reply.body)
            if not self._sockets.answer(reply) and reply.lease is not None:
                self._server.undelivered(reply.lease)
        if size > _MUCH_SAID:
            self._slack.worked(time.monotonic_ns())
        if self._server.failed is not None:
            raise self._server.failed

    def close(self) -> None:
        """Commits, and leaves exact positions on disk."""
        self._answer(self._server.close())
        self._keep_consumers()
        self._lives.closing()
        self._checkpoints.close()
        self._store.close()
        self._index.close()

    def abandon(self, why: RefusedError) -> None:
        """Tells who waits, and lets go of the databases as they are. Never raises sqlite3.Error."""
        for reply in self._server.close(why):
            self._sockets.answer(reply)
        self._lives.closing()
        self._checkpoints.close()
        for database in (self._store, self._index):
            with contextlib.suppress(sqlite3.Error):
                database.abandon()


def _durability(layout: Layout, settings: Settings) -> str:
    with StateDirectory(layout.state_dir) as state:
        return TEMPORARY if state.is_temporary else settings.durability


def _plan(file: PlanFile) -> Plan | None:
    """The plan on disk. A damaged one counts as none: the coordinator writes another at its next start."""
    try:
        return file.read()
    except msgspec.MsgspecError as error:
        _damaged_plan.warning(f"plan.json can't be read: {error}")
        return None


_damaged_plan = Sparse(log)


class Service:
    """The aggregator's life: through disks that refuse, and databases that are damaged."""

    def __init__(self, layout: Layout, settings: Settings, sockets: Sockets) -> None:
        self._layout = layout
        self._settings = settings
        self._sockets = sockets
        self._limits = OwnLimits(layout.settings, settings)
        self._notes: list[str] = []
        self._logs: set[str] = set()
        self._log = outage.Log()
        self._unexplained: deque[float] = deque(maxlen=_UNEXPLAINED)

    def run(self) -> int:
        """Until it is told to stop. Returns the exit code: 0, unless it is to be started again (`renewal`).

        Raises ShardwatchError for what no waiting and no rebuilding can mend.
        """
        while not self._sockets.stopping:
            why = self._live()
            if why is not None:
                self._log.refused(why)
                outage.wait(self._sockets, self._limits.settings, why)
        return self._limits.exit_code

    def _live(self) -> Refusal | None:
        """One opening of the databases; why it can't go on, or None: it was told to stop, or what was damaged is set aside."""
        aggregator: Aggregator | None = None
        try:
            aggregator = Aggregator(self._sockets, self._layout, self._settings, self._limits, self._notes, self._logs)
            self._log.over()
            aggregator.run()
            aggregator.close()
        except STUMBLES as error:
            why: Refusal | None = None
            if isinstance(error, sqlite3.OperationalError) and not damaged(error):
                why = refusal(error, self._layout.state_dir)
            if aggregator is not None:
                aggregator.abandon(_MENDING if why is None else outage.refused(why))
            return self._mend(error) if why is None else why
        except BaseException:
            if aggregator is not None:
                aggregator.abandon(_MENDING)
            raise
        return None

    def _mend(self, error: Exception) -> Refusal | None:
        """Sets aside what is damaged. Returns why it can't, or why it is better to wait a little. Raises the error where it is no
        damage, as far as can be found out."""
        layout, beat = self._layout, self._sockets.pulse.beat
        told = error if isinstance(error, sqlite3.Error) and damaged(error) else None
        log.error("the databases are examined: %s", error, exc_info=error if told is None else None)
        try:
            index, groups = examine(layout.index_db, beat, INTEGERS_OR_BYTES), examine(layout.groups_db, beat)
        except (sqlite3.Error, OSError) as refused:
            return refusal(refused, layout.state_dir)
        if not index and not groups:
            if told is None:
                raise error
            now = time.monotonic()
            self._unexplained.append(now)
            if len(self._unexplained) < _UNEXPLAINED or now - self._unexplained[0] > _UNEXPLAINED_S:
                return refusal(told, layout.state_dir)
            index = str(told)
        try:
            if index:
                self._notes.append(rebuild(layout.index_db, index))
            if groups:
                aside = set_aside(layout.groups_db).name
                self._notes.append(f"groups.db was damaged ({groups}) and is kept as {aside}; all groups begin afresh")
                log.error("%s", self._notes[-1])
        except (sqlite3.Error, OSError) as refused:
            return refusal(refused, layout.state_dir)
        return None


def main(argv: list[str] | None = None) -> int:
    """`shardwatch-aggregator --state-dir DIR`, run by supervisord. Exit code 0 when it was told to leave, else see `renewal`."""
    try:
        state_dir = value_of(sys.argv[1:] if argv is None else argv, "state-dir")
    except UsageError as error:
        print(f"shardwatch-aggregator: error: {error}", file=sys.stderr)
        return error.exit_code
    die_with_parent()
    layout = Layout(os.path.abspath(state_dir))
    open_log()
    try:
        inherited.correct_for_service()
        inherited.ignore_signals(signal.SIGHUP)
        log_choice.follow(layout, "aggregator", use_log)
        settings = read_settings(layout.settings)
        sockets = Sockets(layout)
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: sockets.stop())
            signal.set_wakeup_fd(sockets.wakeup_fd, warn_on_full_buffer=False)
            return Service(layout, settings, sockets).run()
        finally:
            signal.set_wakeup_fd(-1)
            sockets.close()
    except (ShardwatchError, OSError, msgspec.MsgspecError) as error:
        said = str(error)
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            said = "{} ({})".format(*refusal(error, layout.state_dir))
        log.error("%s", said)
        print(f"shardwatch-aggregator: error: {said}", file=sys.stderr)
        return 75


if __name__ == "__main__":
    sys.exit(main())
