"""Links that are followed: which there are, and when one has to be looked at again.

Links are edges of a graph. The target of a link is known under the name of the link, like any other file or directory.
A target directory is watched once, however many names it has (`Backend.watch`). What decides where a link leads is its way
(`ways`), which is watched as well.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator

from ..backend.base import Backend
from ..contract.files.paths import join
from ..disk.look import Reader
from ..disk.reading import NAMES_AT_ONCE
from ..disk.slow import SlowMounts
from ..tree.nodes import Node
from .barred import Barred
from .link import Link
from .link_bounds import LinkBounds
from .ways import Ways


class Links:
    """All links of one shard. Owned by one thread."""

    def __init__(self, backend: Backend, reader: Reader, slow: SlowMounts) -> None:
        self._reader = reader
        self._disk = reader.disk
        self._slow = slow
        self._links: dict[Node, dict[bytes, Link]] = {}
        self.ways = Ways(backend, reader.disk, slow)
        self.bounds = LinkBounds()
        self.barred = Barred()

    # -- what links there are

    def meet(self, node: Node, fd: int, relative: bytes, names: Iterable[bytes] | None = None) -> None:
        """Knows the links among `names` in the directory open at `fd` (all there are, where None), and watches their ways. To be
        called before these names are looked at.

        Raises OSError where the directory can't be read, and Unanswered where one of them leads to a filesystem that does not
        answer: nothing can be said of these names then.
        """
        known = self._links.get(node, {})
        if names is None:
            with self._disk.entries(fd) as items:
                found = list(self._links_among(items))
            gone = known.keys() - set(found)
        else:
            found, gone = [], set()
            for name in names:
                (found.append if self._is_link(name, fd) else gone.add)(name)
        for name in gone & known.keys():
            self._drop(known.pop(name))
        if not self._slow.none:
            for name in found:
                self._slow.guard(join(node.path(), name))
        found = self._relevant(node, fd, relative, found)
        if not found:
            if not known:
                self._links.pop(node, None)
            return
        real = self._disk.path_of(fd)
        known = self._links.setdefault(node, known)
        for name in found:
            if name not in known:
                known[name] = Link(node, name)
            self.ways.watch(known[name], real)
            self._reader.on_progress()

    def _links_among(self, items: Iterable[os.DirEntry[str]]) -> Iterator[bytes]:
        for count, item in enumerate(items, 1):
            if item.is_symlink():
                yield os.fsencode(item.name)
            if count % NAMES_AT_ONCE == 0:
                self._reader.on_progress()

    def _relevant(self, node: Node, fd: int, relative: bytes, names: list[bytes]) -> list[bytes]:
        """The links that are in scope as files, and those that may lead to a directory in scope."""
        path, enters = node.path(), self._reader.enters
        kept = set(self._reader.kept(path, relative, names))
        return [n for n in names if n in kept or (enters(path, relative, n) and not self._leads_to_a_file(n, fd))]

    def _is_link(self, name: bytes, fd: int) -> bool:
        try:
            return stat.S_ISLNK(self._disk.stat(name, fd).st_mode)
        except OSError:
            return False

    def _leads_to_a_file(self, name: bytes, fd: int) -> bool:
        try:
            return not stat.S_ISDIR(self._disk.stat_target(name, fd).st_mode)
        except OSError:
            return False

    def has(self, node: Node, name: bytes) -> bool:
        return name in self._links.get(node, ())

    def forget(self, dead: Iterable[Node]) -> None:
        """Forgets the links in nodes that were cut from the tree."""
        for node in dead:
            self.barred.forget(node)
            for link in self._links.pop(node, {}).values():
                self._drop(link)
            self.bounds.cut(node)

    def _drop(self, link: Link) -> None:
        self.ways.leave(link)
        self.bounds.drop(link.node, link.name)

    # -- where they lead

    def changed(self, *, unwatched: bool = False) -> Iterator[tuple[Node, set[bytes]]]:
        """Links that lead to something else than when this was last asked, by directory; `unwatched`: of those only whose way
        can't be watched. Those that were left out are always among the others."""
        for node, links in list(self._links.items()):
            some = [link for link in links.values() if not unwatched or self.ways.is_unwatched(link)]
            if not some or not node.alive:
                continue
            try:
                fd = self._slow.open(node.path())
            except OSError:
                continue  # the change that caused this has its own hint
            found = {link.name for link in some if self._answers(link) and self._is_other(link, fd)}
            os.close(fd)
            if found:
                yield node, found

    def _answers(self, link: Link) -> bool:
        """Whether the link may be followed without waiting for a filesystem that does not answer."""
        try:
            self._slow.guard(join(link.node.path(), link.name))
        except OSError:
            return False
        return True

    def _is_other(self, link: Link, fd: int) -> bool:
        seen = 1  # it leads nowhere
        with contextlib.suppress(OSError):
            st = self._disk.stat_target(link.name, fd)
            directory = stat.S_ISDIR(st.st_mode)
            seen = hash((st.st_dev, st.st_ino, *(() if directory else (st.st_size, st.st_mtime_ns, st.st_ctime_ns))))
        return link.leads_elsewhere(seen) or self.bounds.leaves_out(link.node, link.name)

    # -- where nobody looks

    def is_barred(self, node: Node, fd: int, path: bytes) -> bool:
        """Whether nobody looks into the directory of a node, open at `fd` by this path, because links lead to it and the kernel
        makes up what is in it (`disk.virtual`). Notes it in `barred`. Raises OSError.
        """
        kind = self._reader.filesystems.virtual_type(fd)
        if kind and self._disk.path_of(fd) == path:
            kind = ""
        if node.parent is not None:
            if kind:
                self.barred.add(node.parent, node.name, kind)
            else:
                self.unbar(node.parent, node.name)
        return bool(kind)

    def unbar(self, node: Node, name: bytes) -> None:
        """There is no directory of this name any more that is not entered, for whatever reason. Idempotent."""
        self.bounds.drop(node, name)
        self.barred.remove(node, name)

    def unbar_others(self, node: Node, names: Iterable[bytes]) -> None:
        """There are only these directories in the directory of a node. Idempotent."""
        for name in self.barred.others(node, names):
            self.unbar(node, name)
