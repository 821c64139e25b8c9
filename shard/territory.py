"""What one shard owns, and how it looks at it: anchors, the tree of directories, scans, looks, sweeps.

Everything that looks is a generator that yields after each directory, so that the main loop can stop for want of credit or
for something more urgent, and go on later. All of it runs in one thread: records are emitted in the order of looking.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from typing import Final

from shardwatch.shard.backend.base import Backend
from shardwatch.shard.contract.filter import Filter
from shardwatch.shard.contract.limits import FRAME_ENTRIES_MAX, LOOKS_PER_DIRECTORY_MAX
from shardwatch.shard.contract.paths import join
from shardwatch.shard.contract.planfile import Anchor
from shardwatch.shard.contract.wire import DIRECTORY, Entry, Gone, Listing, Looks, Record
from shardwatch.shard.disk import ABSENT, coarse_ns, directory_entry, look_at, loops, open_directory
from shardwatch.shard.doubts import Doubts, Place
from shardwatch.shard.tree import Node

Steps = Iterator[None]

#: errno of inotify_add_watch(2) when a limit is reached: the directory is swept instead.
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.ENOMEM, errno.EMFILE})


class Territory:
    """Owned by one thread.

    Args:
        anchors: this shard's anchors.
        stops: every anchor of the plan: a scan does not go below one that it did not start from.
        state_dir: the service's own directory, never looked into.
        emit: takes each record, in order.
    """

    def __init__(
        self,
        anchors: list[Anchor],
        stops: frozenset[bytes],
        *,
        filter: Filter,
        backend: Backend,
        emit: Callable[[Record], None],
        state_dir: bytes,
        recursive: bool = True,
        follow_symlinks: bool = False,
        watch_remedy: Callable[[int], str] = lambda missing: "",
    ) -> None:
        self.places = [Place(i, a) for i, a in enumerate(anchors)]
        self._stops = stops
        self._filter = filter
        self._backend = backend
        self._emit = emit
        self._state_dir = state_dir
        self._state_name = os.path.basename(state_dir)
        self._recursive = recursive
        self._follow = follow_symlinks
        self.doubts = Doubts(watch_remedy)
        #: Directories that have no watch, in the order of sweeping.
        self.swept: dict[Node, None] = {}
        self.directories = 0
        self.files = 0
        self.looks = 0
        self.filtered = 0
        self.others = 0

    # -- anchors

    def check(self, place: Place) -> bool:
        """Compares what is at the anchor with what was scanned there. True: it has to be scanned (`scan_place`)."""
        try:
            fd = open_directory(place.anchor.path, follow=self._follow)
        except OSError as error:
            if error.errno in ABSENT:
                return not place.missing
            self.doubts.add(place.anchor.path, place, None, b"", error)
            return False
        try:
            st = os.fstat(fd)
        finally:
            os.close(fd)
        return place.node is None or (st.st_dev, st.st_ino) != place.identity

    def scan_place(self, place: Place) -> Steps:
        """Baseline or rescan of a whole anchor."""
        at = time.time_ns()
        path = place.anchor.path
        try:
            fd = open_directory(path, follow=self._follow)
        except OSError as error:
            if error.errno not in ABSENT:
                self.doubts.add(path, place, None, b"", error)
                return
            if place.node is not None:
                self._cut(place.node)
                place.node = None
            place.identity = None
            place.missing = True
            self.doubts.remove(path)
            self._emit(Gone(path, at))
            return
        try:
            st = os.fstat(fd)
            identity = (st.st_dev, st.st_ino)
            if place.node is not None and (identity != place.identity or not place.node.alive):
                self._cut(place.node)
                place.node = None
            if place.node is None:
                place.node = Node(None, path, place.index)
                self.directories += 1
            self._register(fd, place.node)
        except OSError as error:
            os.close(fd)
            self.doubts.add(path, place, None, b"", error)
            return
        place.identity = identity
        place.missing = False
        self.doubts.remove(path)
        yield from self._scan(place, place.node, fd)

    def missing_roots(self) -> list[bytes]:
        return [p.anchor.path for p in self.places if p.missing and p.anchor.path == p.anchor.root]

    # -- scanning

    def _scan(self, place: Place, top: Node, top_fd: int) -> Steps:
        """Lists the directory open at `top_fd`, which is registered for `top`, and everything new or old below it.

        Depth first through descriptors: a directory is entered from its parent's descriptor, so that no path is trusted
        and none is too long. A node that was cut meanwhile ends its part of the scan: what made it so has its own hint.
        """
        try:
            frames = [(top_fd, top, *self._list(place, top, top_fd, place.relative(top.path())))]
        except OSError as error:
            os.close(top_fd)
            self.doubts.add(top.path(), place, top.parent, top.name, error)
            return
        try:
            yield
            while frames:
                fd, node, relative, names = frames[-1]
                if not node.alive or not names:
                    frames.pop()
                    os.close(fd)
                    continue
                name = names.pop()
                below = relative + b"/" + name if relative else name
                child_fd = self._open_child(place, node, fd, name)
                if child_fd is None:
                    continue
                try:
                    child = self._enter(node, name, child_fd)
                    frames.append((child_fd, child, *self._list(place, child, child_fd, below)))
                except OSError as error:
                    if not frames or frames[-1][0] != child_fd:
                        os.close(child_fd)
                    self.doubts.add(node.path() + b"/" + name, place, node, name, error)
                yield
        finally:
            for fd, *_ in frames:
                os.close(fd)

    def _open_child(self, place: Place, parent: Node, parent_fd: int, name: bytes) -> int | None:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if self._follow else os.O_NOFOLLOW)
        try:
            return os.open(name, flags, dir_fd=parent_fd)
        except OSError as error:
            if error.errno not in ABSENT:
                self.doubts.add(join(parent.path(), name), place, parent, name, error)
            return None

    def _enter(self, parent: Node, name: bytes, fd: int) -> Node:
        """The registered node of the directory open at `fd`; raises OSError when it can't be watched or read."""
        child = parent.child(name)
        if child is not None:
            if child.wd < 0:
                self._register(fd, child)
                return child
            if self._backend.same(fd, child):
                return child
            self._cut(child)
        child = parent.adopt(name)
        self.directories += 1
        try:
            self._register(fd, child)
        except OSError:
            self._cut(child)
            raise
        return child

    def _register(self, fd: int, node: Node) -> None:
        """Watches before it is listed. Where there is no room for a watch, the directory is swept."""
        if node.wd >= 0:
            return
        if self.places[node.anchor].polled:
            self.swept.setdefault(node)
            return
        try:
            other = self._backend.watch(fd, node)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            self.doubts.no_room = error.strerror or os.strerror(error.errno or 0)
            self.swept.setdefault(node)
            return
        self.swept.pop(node, None)
        if other is not None and not self._leads_to(other, fd):
            self._cut(other)

    def _leads_to(self, node: Node, fd: int) -> bool:
        """Whether the path of `node` still leads to the directory open at `fd` (a bind mount), or it was moved away."""
        try:
            there = open_directory(node.path(), follow=self._follow)
        except OSError:
            return False
        try:
            return os.path.sameopenfile(there, fd)
        finally:
            os.close(there)

    def _cut(self, node: Node) -> None:
        dead = node.cut()
        self._backend.forget(dead)
        self.directories -= len(dead)
        for one in dead:
            self.swept.pop(one, None)

    def _list(self, place: Place, node: Node, fd: int, relative: bytes) -> tuple[bytes, list[bytes]]:
        """Lists one directory, emits what it holds, cuts children that are gone; returns (relative, names to descend into)."""
        path = node.path()
        at = time.time_ns()
        entries, subdirectories = self._read(path, fd, relative)
        if node.children is not None:
            there = set(subdirectories)
            for name in [n for n in node.children if n not in there]:
                self._cut(node.children[name])
                if node.children is None:
                    break
        if node.wd < 0 and node in self.swept:
            digest = hash(tuple(entry[:8] for entry in entries)) or 1  # racy or not is no difference
            if digest == node.digest:
                return relative, self._descend(path, subdirectories)
            node.digest = digest
        self._emit_listing(path, at, entries)
        return relative, self._descend(path, subdirectories)

    def _descend(self, path: bytes, names: list[bytes]) -> list[bytes]:
        return [n for n in names if join(path, n) not in self._stops]

    def _emit_listing(self, path: bytes, at: int, entries: list[Entry]) -> None:
        """A large directory goes in parts, each covering a range of names."""
        after: bytes | None = None
        for begin in range(0, max(len(entries), 1), FRAME_ENTRIES_MAX):
            part = entries[begin : begin + FRAME_ENTRIES_MAX]
            upto = part[-1][0] if begin + FRAME_ENTRIES_MAX < len(entries) else None
            self._emit(Listing(path, at, part, after, upto))
            after = upto

    def _read(self, path: bytes, fd: int, relative: bytes) -> tuple[list[Entry], list[bytes]]:
        """All entries of ours, sorted by name, and those of them that are directories."""
        coarse = coarse_ns()
        files: list[bytes] = []
        directories: list[bytes] = []
        others = 0
        with os.scandir(fd) as found:
            for item in found:
                name = os.fsencode(item.name)
                if item.is_dir(follow_symlinks=self._follow) and not (self._follow and loops(join(path, name))):
                    directories.append(name)
                else:
                    files.append(name)
        kept = self._filter.keeps_names(relative, files)
        self.filtered += len(files) - len(kept)
        entries = []
        for name in kept:
            entry, special = look_at(path, name, fd, coarse, follow=self._follow)
            if entry is None:
                others += special
            elif entry[1] == DIRECTORY:
                directories.append(name)
            else:
                entries.append(entry)
        self.others += others
        self.looks += len(kept)
        subdirectories = self._watched_names(path, relative, directories)
        entries += [directory_entry(name) for name in subdirectories]
        entries.sort()
        return entries, subdirectories

    def _watched_names(self, path: bytes, relative: bytes, names: list[bytes]) -> list[bytes]:
        if not self._recursive:
            return []
        prunes = self._filter.prunes
        prefix = relative + b"/" if relative else b""
        return [n for n in names if not prunes(prefix + n) and not (n == self._state_name and join(path, n) == self._state_dir)]

    # -- hints

    def look(self, node: Node, names: set[bytes] | None) -> Steps:
        """Looks at some names of a directory, or (None) lists it; goes into directories that turn out to be new."""
        if not node.alive:
            return
        place = self.places[node.anchor]
        path = node.path()
        try:
            fd = open_directory(path, follow=self._follow)
        except OSError as error:
            # Gone or moved: whoever made it so left a hint at its parent, or the anchor's identity tells.
            if error.errno not in ABSENT:
                self.doubts.add(path, place, node.parent, node.name, error)
            return
        try:
            relative = place.relative(path)
            if names is None or len(names) > LOOKS_PER_DIRECTORY_MAX:
                _, new = self._list(place, node, fd, relative)
                new = [n for n in new if node.child(n) is None]
            else:
                new = self._look_names(node, path, relative, fd, names)
        except OSError as error:
            self.doubts.add(path, place, node.parent, node.name, error)
            return
        finally:
            os.close(fd)
        yield
        for name in new:
            yield from self.reconcile(node, name, arrived=True)

    def _look_names(self, node: Node, path: bytes, relative: bytes, fd: int, names: set[bytes]) -> list[bytes]:
        kept = set(self._filter.keeps_names(relative, names))
        self.filtered += len(names) - len(kept)
        if node.children is not None:
            kept.update(n for n in names if n in node.children)
        if self._follow:
            kept.update(n for n in names if os.path.islink(join(path, n)))  # it may lead to a directory
        if not kept:
            return []
        at, coarse = time.time_ns(), coarse_ns()
        entries: list[Entry] = []
        absent: list[bytes] = []
        new: list[bytes] = []
        for name in sorted(kept):
            entry, special = look_at(path, name, fd, coarse, follow=self._follow)
            self.looks += 1
            if entry is not None and entry[1] == DIRECTORY:
                if self._watched_names(path, relative, [name]):
                    if node.child(name) is None:
                        new.append(name)
                else:
                    entry = None
            else:
                self.others += special
                child = node.child(name)
                if child is not None:
                    self._cut(child)
                if entry is not None and not self._filter.keeps_names(relative, (name,)):
                    entry = None
            if entry is None:
                absent.append(name)
            else:
                entries.append(entry)
        self._emit_looks(path, at, entries, absent)
        return new

    def _emit_looks(self, path: bytes, at: int, entries: list[Entry], absent: list[bytes]) -> None:
        for begin in range(0, max(len(entries), len(absent)), FRAME_ENTRIES_MAX):
            end = begin + FRAME_ENTRIES_MAX
            self._emit(Looks(path, at, entries[begin:end], absent[begin:end]))

    def reconcile(self, node: Node, name: bytes, *, arrived: bool) -> Steps:
        """Something that is or was a directory changed there: makes the tree agree with the disk, whatever happened.

        `arrived`: it was made or moved there, so what is there is scanned even if it is the directory that was known.
        """
        if not node.alive:
            return
        place = self.places[node.anchor]
        parent = node.path()
        path = join(parent, name)
        if not self._watched_names(parent, place.relative(parent), [name]):
            if node.child(name) is not None:
                self._cut(node.children[name])  # type: ignore[index]
            yield from self.look(node, {name})  # a file's name may match where a directory of that name is pruned
            return
        if self._follow and loops(path):
            self._look_absent(node, parent, name)
            return
        at = time.time_ns()
        try:
            fd = open_directory(path, follow=self._follow)
        except OSError as error:
            child = node.child(name)
            if error.errno in ABSENT:
                if child is not None:
                    self._cut(child)
                self._look_absent(node, parent, name)
            else:
                self._emit(Looks(parent, at, [directory_entry(name)], []))
                self.doubts.add(path, place, node, name, error)
            return
        try:
            self._emit(Looks(parent, at, [directory_entry(name)], []))
            if path in self._stops:
                os.close(fd)
                return  # another anchor begins here: its owner finds out by its identity
            child = node.child(name)
            if not arrived and child is not None and self._backend.same(fd, child):
                os.close(fd)
                return
            entered = self._enter(node, name, fd)
        except OSError as error:
            os.close(fd)
            self.doubts.add(path, place, node, name, error)
            return
        self.doubts.remove(path)
        yield from self._scan(place, entered, fd)

    def _look_absent(self, node: Node, parent: bytes, name: bytes) -> None:
        """There is no directory of that name (any more): says what is there instead, or that nothing is."""
        at, coarse = time.time_ns(), coarse_ns()
        entry: Entry | None = None
        try:
            fd = open_directory(parent, follow=self._follow)
        except OSError:
            return  # the parent is gone too, and has a hint of its own
        try:
            if self._filter.keeps_names(self.places[node.anchor].relative(parent), (name,)):
                entry, special = look_at(parent, name, fd, coarse, follow=self._follow)
                self.others += special
                if entry is not None and entry[1] == DIRECTORY:
                    return  # back again: there is a hint for that
            elif stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                return
        except OSError as error:
            if error.errno not in ABSENT:
                self.doubts.add(join(parent, name), self.places[node.anchor], node, name, error)
                return
        finally:
            os.close(fd)
        self._emit(Looks(parent, at, [entry] if entry else [], [] if entry else [name]))

    # -- what can't be watched

    def sweep(self) -> Steps:
        """One pass over all directories that have no watch. Sends only what differs from what was sent before."""
        for node in list(self.swept):
            if not node.alive:
                self.swept.pop(node, None)
                continue
            place = self.places[node.anchor]
            path = node.path()
            try:
                fd = open_directory(path, follow=self._follow)
            except OSError as error:
                if error.errno not in ABSENT:
                    self.doubts.add(path, place, node.parent, node.name, error)
                continue
            try:
                self._register(fd, node)  # room may have been made meanwhile
                relative = place.relative(path)
                if node.wd >= 0:
                    node.digest = 0
                _, names = self._list(place, node, fd, relative)
            except OSError as error:
                self.doubts.add(path, place, node.parent, node.name, error)
                continue
            finally:
                os.close(fd)
            yield
            for name in names:
                if node.child(name) is None:
                    yield from self.reconcile(node, name, arrived=True)

    def retry_doubts(self) -> Steps:
        """Tries again what could not be read."""
        for path, what in self.doubts.items():
            if what.parent is None:
                yield from self.scan_place(what.place)
            elif what.parent.alive:
                yield from self.reconcile(what.parent, what.name, arrived=True)
            else:
                self.doubts.remove(path)
        yield
