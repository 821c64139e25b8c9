"""What one shard owns, and how it looks at it: anchors, the tree of directories, scans, looks.

Everything that looks is a generator that yields after each directory, so that the main loop can stop for want of credit or
for something more urgent, and go on later. All of it runs in one thread: records are emitted in the order of looking.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from typing import Final

from ..backend.base import Backend
from ..contract.files.paths import join
from ..contract.filter.filter import Filter
from ..contract.filter.scope import Scope
from ..contract.limits import LOOKS_PER_DIRECTORY_MAX
from ..contract.state.directory import TAG_NAME, is_state_directory
from ..contract.state.planfile import Anchor
from ..contract.wire.frames import DIRECTORY, Entry, Gone, Record
from ..disk.calls import ABSENT, coarse_ns, directory_entry, identity, leads_to, loops, open_directory
from ..disk.look import Reader, digest
from ..disk.mounts import Mounts
from ..disk.slow import SlowMounts, Unanswered
from ..stream.send import listings, looks
from ..tree.early import Early
from ..tree.nodes import Node, Top
from ..tree.renames import Renames, births
from ..tree.unlinked import Unlinked
from .descent import Descent, Level
from .doubts import Doubts, Place
from .links import Links

Steps = Iterator[None]
#: Links that a scan came upon: (directory, name).
Found = list[tuple[Node, bytes]]

_ENTER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
#: errno of inotify_add_watch(2) when a limit is reached: the directory is swept instead.
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.ENOMEM, errno.EMFILE})


class Territory:
    """Owned by one thread.

    Args:
        anchors: this shard's anchors.
        stops: every anchor of the plan: a scan does not go below one that it did not start from.
        state_dir: the service's own directory, never looked into.
        emit: takes each record, in order.
        standing_in: (reason, remedy) where everything is swept by a stand-in for the watcher.
        wall_ns: when a look began, ns since 1970.
    """

    def __init__(
        self,
        anchors: list[Anchor],
        stops: frozenset[bytes],
        *,
        filter: Filter | Scope,
        backend: Backend,
        emit: Callable[[Record], None],
        state_dir: bytes,
        recursive: bool = True,
        follow_symlinks: bool = False,
        watch_remedy: Callable[[int], str] = lambda missing: "",
        polling_asked: bool = False,
        standing_in: tuple[str, str] | None = None,
        mounts: Mounts | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.places = [Place(i, a) for i, a in enumerate(anchors)]
        self._stops = stops
        self.reader = Reader(filter, state_dir=state_dir, recursive=recursive, follow=follow_symlinks)
        self._backend = backend
        self._emit = emit
        self._follow = follow_symlinks
        self.slow = SlowMounts(mounts, [anchor.path for anchor in anchors], follow=follow_symlinks)
        self.links = Links(backend, self.reader, self.slow)
        self._mounts = mounts
        self.wall_ns = wall_ns
        self.doubts = Doubts(watch_remedy, asked=polling_asked, standing_in=standing_in)
        #: Directories that have no watch, in the order of sweeping, with a hash of the last listing that was sent.
        self.swept: dict[Node, int] = {}
        self.directories = 0
        self.files = 0
        self.renames, self.early, self.unlinked = Renames(), Early(), Unlinked(told=not backend.lossy)

    @property
    def sweeps(self) -> bool:
        """Whether there is anything that has to be swept."""
        return bool(self.swept or self.links.unwatched)

    def looked_at_all(self) -> None:
        """A baseline is done."""
        self.files = self.reader.looks
        self.doubts.looked_at_all()

    # -- anchors

    def check(self, place: Place) -> bool:
        """Compares what is at the anchor with what was scanned there. True: it has to be scanned (`scan_place`)."""
        if self._off(place):
            return not place.unmounted
        try:
            fd = self.slow.open(place.anchor.path)
        except OSError as error:
            if error.errno in ABSENT:
                return not place.missing
            self.doubts.add(place.anchor.path, place, None, b"", error)
            return False
        identity = self.reader.filesystems.identity(fd)
        os.close(fd)
        # A root made again may have its predecessor's inode, but not its watch.
        return identity != place.identity or place.node is None or (place.node.wd < 0 and place.node not in self.swept)

    def _off(self, place: Place) -> bool:
        """Whether the filesystem of the root is not mounted: what is seen in its place says nothing of it."""
        return self._mounts is not None and self._mounts.away(place.anchor.root, follow=self._follow)

    def _replaced(self, fd: int, node: Node) -> bool:
        """Whether what is open at `fd` is another directory than the one that is watched for `node`."""
        return node.wd >= 0 and not self._backend.same(fd, node)

    def _astray(self, place: Place, path: bytes) -> None:
        """A path of ours leads nowhere. What is below the anchor can't go without a hint; the anchor itself can, and come back
        before anyone compares. Unless the one is certain, the anchor is to be scanned."""
        certain = False
        try:
            fd = self.slow.open(place.anchor.path)
        except OSError:
            place.identity = None
            return
        try:
            below = path[len(place.anchor.path) :].lstrip(b"/")
            if self.reader.filesystems.identity(fd) == place.identity and below:
                self.slow.guard(path)
                os.close(open_directory(below, follow=self._follow, at=fd))
        except OSError as error:
            certain = error.errno in ABSENT
        finally:
            os.close(fd)
        if not certain:
            place.identity = None

    def _leave(self, place: Place, *, unmounted: bool) -> None:
        """There is nothing to watch: whatever comes there is scanned."""
        if place.node is not None:
            self._cut(place.node)
            place.node = None
        place.identity = None
        place.missing, place.unmounted = not unmounted, unmounted
        self.doubts.remove(place.anchor.path)
        if unmounted:
            self.doubts.add_unmounted(place)

    def scan_place(self, place: Place) -> Steps:
        """Baseline or rescan of a whole anchor."""
        at = self.wall_ns()
        path = place.anchor.path
        fd = -1
        self.doubts.remove(path)
        try:
            fd = self.slow.open(path)
        except OSError as error:
            if error.errno not in ABSENT:
                self.doubts.add(path, place, None, b"", error)
                return
        unmounted = self._off(place)
        if fd >= 0 and unmounted:
            os.close(fd)
        if fd < 0 or unmounted:
            self._leave(place, unmounted=unmounted)
            if not unmounted:  # else its rows stay
                self._emit(Gone(path, at))
            return
        try:
            identity = self.reader.filesystems.identity(fd)
            node = place.node
            if node is not None and (identity != place.identity or not node.alive or self._replaced(fd, node)):
                self._cut(node)
                place.node = None
            if place.node is None:
                place.node = Top(path, place.index)
                self.directories += 1
            self._register(fd, place.node)
        except OSError as error:
            os.close(fd)
            self.doubts.add(path, place, None, b"", error)
            return
        place.identity = identity
        place.missing = place.unmounted = False
        yield from self._scan(place, place.node, fd)

    # -- scanning

    def _scan(
        self, place: Place, top: Node, top_fd: int, *, again: bool = True, renamed: bool = False, links: Found | None = None
    ) -> Steps:
        """Lists the directory open at `top_fd`, which is registered for `top`, and everything below it.

        What links lead to comes last, what is behind few links before what is behind many: there are bounds (`Links.admits`).

        `again`: directories that are known and watched are listed too. Without it they are passed over: whoever came upon them
        first has listed them since they are watched, and goes on below them. `renamed`: all of it came here by a rename. `links`:
        what links lead to is added there, and left to the caller.
        """
        found = [] if links is None else links
        yield from self._scan_tree(place, top, top_fd, found, again=again, renamed=renamed)
        while found and links is None:
            batch, found = sorted(found, key=lambda link: join(link[0].path(), link[1])), []
            for node, name in batch:
                yield from self.reconcile(node, name, arrived=True, links=found)

    def _scan_tree(self, place: Place, top: Node, top_fd: int, links: Found, *, again: bool, renamed: bool) -> Steps:
        """The same, save for what links lead to: they are added to `links`.

        Depth first through descriptors: a directory is entered from its parent's descriptor, so that no path is trusted. A node
        that was cut meanwhile ends its part of the scan: what made it so has its own hint.
        """
        path = top.path()
        descent = Descent(
            self.slow.open, lambda at, error: self.doubts.add(at.path, place, at.node.parent, at.node.name, error)
        )
        try:
            descent.push(Level(top_fd, top, path, self._list(place, top, top_fd, path, renamed=renamed)))
        except OSError as error:
            os.close(top_fd)
            self.doubts.add(path, place, top.parent, top.name, error)
            return
        try:
            yield
            while (level := descent.nearest()) is not None:
                name = level.names.pop()
                if self._follow and self.links.has(level.node, name):
                    links.append((level.node, name))
                    continue
                path = join(level.path, name)
                try:
                    if not self.slow.none:
                        self.slow.guard(path)
                    fd = os.open(name, _ENTER, dir_fd=level.fd)
                except OSError as error:
                    if error.errno not in ABSENT:
                        self.doubts.add(path, place, level.node, name, error)
                    continue
                try:
                    known = None if again else level.node.child(name)
                    watched = known is not None and known.wd >= 0
                    child = self._enter(level.node, name, fd)
                    if watched and child is known:
                        os.close(fd)
                    else:
                        descent.push(Level(fd, child, path, self._list(place, child, fd, path, renamed=renamed)))
                    if self.doubts:
                        self.doubts.remove(path)
                except OSError as error:
                    os.close(fd)
                    self.doubts.add(path, place, level.node, name, error)
                yield
        finally:
            descent.close()

    def _enter(self, parent: Node, name: bytes, fd: int, target: tuple[int, int] | None = None) -> Node:
        """The registered node of the directory open at `fd`; raises OSError when it can't be watched or read. `target`: its
        identity, where a link leads to it."""
        child = parent.child(name)
        if child is not None and child.linked != target:
            self._cut(child)
            child = None
        if child is not None:
            if child.wd < 0:
                self._register(fd, child)
                return child
            if self._backend.same(fd, child):
                return child
            self._cut(child)
        child = parent.adopt(name, target)
        self.directories += 1
        if self._follow:
            self.links.entered(child)
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
        if self.places[node.anchor].polled or (not self.slow.none and self._is_remote(fd, node)):
            self.swept.setdefault(node, 0)
            return
        try:
            other = self._backend.watch(fd, node)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            self.doubts.no_watch(error)
            self.swept.setdefault(node, 0)
            return
        self.swept.pop(node, None)
        if other is not None and not leads_to(other.path(), fd, follow=self._follow):
            self._cut(other)

    def _is_remote(self, fd: int, node: Node) -> bool:
        return self.slow.remote(os.readlink(b"/proc/self/fd/%d" % fd) if self._follow else node.path())

    def _cut(self, node: Node) -> None:
        dead = node.cut()
        self._backend.forget(dead)
        if self._follow:
            self.links.forget(dead)
        self.directories -= len(dead)
        for one in dead:
            self.swept.pop(one, None)

    def _list(self, place: Place, node: Node, fd: int, path: bytes, *, renamed: bool = False) -> list[bytes]:
        """Lists one directory, emits what it holds, cuts children that are gone; returns the names to descend into."""
        at = self.wall_ns()
        relative = place.relative(path)
        if self._follow:
            self.links.meet(node, fd, relative)
        entries, subdirectories = self.reader.directory(path, fd, relative)
        self.doubts.too_long(node, self.reader.take_too_long())
        below, there = [n for n in subdirectories if join(path, n) not in self._stops], set(subdirectories)
        for child in [c for n, c in (node.children or {}).items() if n not in there]:
            self._cut(child)
        if not entries and node.parent is not None and is_state_directory(fd):
            self._cut(node)  # whosever it is: what it holds is nobody's news, and no reason to wake
        if node.wd < 0 and node in self.swept:
            before, self.swept[node] = self.swept[node], digest(entries)
            if before == self.swept[node]:
                return below
        born = births(fd, entries) if renamed else self.renames.births(node, fd, entries)
        for listing in listings(path, at, entries, born):
            self._emit(listing)
        self.early.note(node, entries)
        return below

    # -- hints

    def look(self, node: Node, names: set[bytes] | None) -> Steps:
        """Looks at some names of a directory, or (None) lists it; goes into directories that turn out to be new, after a pause.
        It is over at once where there are none."""
        if not node.alive:
            return
        place = self.places[node.anchor]
        path = node.path()
        try:
            fd = self.slow.open(path)
        except OSError as error:
            if error.errno in ABSENT:
                self._astray(place, path)
            else:
                self.doubts.add(path, place, node.parent, node.name, error)
            return
        new: list[bytes] = []
        try:
            if self._off(place):
                return
            relative = place.relative(path)
            replaced = self._replaced(fd, node)
            if replaced:
                pass
            elif names is None or TAG_NAME in names or len(names) > LOOKS_PER_DIRECTORY_MAX or node in self.doubts.deep:
                new = self.unsure(node, self._list(place, node, fd, path))
            else:
                new = self._look_names(node, path, relative, fd, names)
        except OSError as error:
            self.doubts.add(path, place, node.parent, node.name, error)
            return
        finally:
            os.close(fd)
        if replaced or new:
            yield
        if replaced and node.parent is None:
            place.identity = None  # what is there by now is not what is watched: it is to be scanned
        elif replaced and node.parent is not None:
            yield from self.reconcile(node.parent, node.name, arrived=True)
        for name in new:
            yield from self.reconcile(node, name, arrived=node.child(name) is None)

    def unsure(self, node: Node, names: list[bytes]) -> list[bytes]:
        """Those of the subdirectories just seen that are not known yet, or may be others by now: links that lead elsewhere."""
        return [n for n in names if node.child(n) is None or (self._follow and self.links.has(node, n))]

    def _look_names(self, node: Node, path: bytes, relative: bytes, fd: int, names: set[bytes]) -> list[bytes]:
        reader = self.reader
        ours = set(reader.kept(path, relative, names))
        reader.filtered += len(names) - len(ours)
        kept = set(ours)
        if node.children is not None:
            kept.update(n for n in names if n in node.children)
        if self._follow:
            self.links.meet(node, fd, relative, names)
            kept.update(n for n in names if self.links.has(node, n))  # it may lead to a directory
        if not kept:
            return []
        at, coarse = self.wall_ns(), coarse_ns()
        entries, absent, there = list[Entry](), list[bytes](), list[bytes]()
        looked = sorted(kept)
        for name, entry in zip(looked, reader.names(path, looked, fd, coarse), strict=True):
            child = node.child(name)
            if entry is not None and entry[1] == DIRECTORY:
                if not reader.watched(path, relative, [name]):
                    entry = None
                else:
                    there.append(name)
            else:
                if child is not None:
                    self._cut(child)
                if entry is not None and name not in ours:
                    entry = None
            if entry is None:
                absent.append(name)
            else:
                entries.append(entry)
        self.unlinked.looked(node, looked, absent)
        self._emit_looks(node, path, at, entries, absent, self.renames.births(node, fd, entries, looked))
        return self.unsure(node, there)

    def _emit_looks(
        self, node: Node, path: bytes, at: int, entries: list[Entry], absent: list[bytes], born: dict[bytes, int] | None = None
    ) -> None:
        if node in self.swept:
            self.swept[node] = 0  # the last listing is not the last word any more
        for record in looks(path, at, entries, absent, born):
            self._emit(record)
        self.early.note(node, entries)

    def reconcile(self, node: Node, name: bytes, *, arrived: bool, renamed: bool = False, links: Found | None = None) -> Steps:
        """Something that is or was a directory changed there: makes the tree agree with the disk, whatever happened.

        `arrived`: it was made or moved there, so what is there is scanned even if it is the directory that was known. `renamed`:
        it was moved. `links`: see `_scan_tree`.
        """
        if not node.alive:
            return
        place = self.places[node.anchor]
        parent = node.path()
        path = join(parent, name)
        child = node.child(name)
        doubted = self.doubts.remove(path)
        if not self.reader.watched(parent, place.relative(parent), [name]):
            if child is not None:
                self._cut(child)
            yield from self.look(node, {name})  # a file's name may match where a directory of that name is pruned
            return
        at = self.wall_ns()
        try:
            self.slow.guard(path)
            if self._follow and loops(path):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            fd = self.slow.open(path)
        except OSError as error:
            if isinstance(error, Unanswered):
                self.doubts.add(path, place, node, name, error)
                return
            if error.errno in ABSENT and child is not None:
                self._cut(child)
            self._look_from_above(place, node, name, error)
            return
        if self._off(place):
            os.close(fd)
            return
        try:
            self._emit_looks(node, parent, at, [directory_entry(name)], [])
            if path in self._stops:
                os.close(fd)
                return  # another anchor begins here: its owner finds out by its identity
            target = identity(fd) if self._follow and os.path.islink(path) else None
            if target is not None and not self.links.admits(node, name, target):
                os.close(fd)
                if child is not None:
                    self._cut(child)
                return
            same = child is not None and child.linked == target and self._backend.same(fd, child)
            if same and not (arrived or doubted):
                os.close(fd)
                return
            entered = self._enter(node, name, fd, target)
        except OSError as error:
            os.close(fd)
            self.doubts.add(path, place, node, name, error)
            return
        yield from self._scan(place, entered, fd, again=arrived or doubted, renamed=renamed, links=links)

    def _look_from_above(self, place: Place, node: Node, name: bytes, error: OSError) -> None:
        """No directory of that name in `node` could be opened (`error`): says what is there, as seen from its parent."""
        parent = node.path()
        path = join(parent, name)
        at, coarse = self.wall_ns(), coarse_ns()
        try:
            fd = self.slow.open(parent)
        except OSError as above:
            if above.errno in ABSENT:
                self._astray(place, parent)
            else:
                self.doubts.add(path, place, node, name, above)
            return
        relative = place.relative(parent)
        try:
            if self._off(place):
                return
            if self._follow:
                self.links.meet(node, fd, relative, [name])
            entry = self.reader.names(parent, [name], fd, coarse)[0]
        except OSError as unknown:
            self.doubts.add(path, place, node, name, unknown)
            return
        finally:
            os.close(fd)
        if entry is not None and entry[1] == DIRECTORY:
            self.doubts.add(path, place, node, name, error)
        elif entry is not None and not self.reader.kept(parent, relative, (name,)):
            entry = None
        self._emit_looks(node, parent, at, [entry] if entry else [], [] if entry else [name])
