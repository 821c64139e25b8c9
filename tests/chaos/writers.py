"""Programs that change the tree, each in a thread with a generator of its own: one seed, the same deeds in the same order."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from repository import git

from chaos.tally import Tally
from chaos.tree import Tree

log = logging.getLogger("chaos.writers")

#: Longest run of one program.
_PROGRAM_S = 60.0
#: A storm on a slow disk is cut off.
_STORM_S = 10.0
#: Directories a writer keeps of the kind it makes.
_KEPT = 4


class Gate:
    """Lets writers through, or holds them between two deeds."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open = True
        self._inside = 0
        self._ended = False

    @contextlib.contextmanager
    def deed(self) -> Iterator[bool]:
        """Waits until the gate is open; False: it is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._open or self._ended)
            self._inside += 1
        try:
            yield not self._ended
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def shut(self) -> None:
        """Returns when no deed is under way."""
        with self._changed:
            self._open = False
            if not self._changed.wait_for(lambda: self._inside == 0, 2 * _PROGRAM_S):
                raise AssertionError("a writer does not come to an end")

    def open(self) -> None:
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def run(*arguments: str | Path, cwd: Path | None = None) -> None:
    """Whatever a program says of files that another one took away is not ours to judge."""
    subprocess.run(arguments, cwd=cwd, check=False, capture_output=True, timeout=_PROGRAM_S)


class Writer:
    """One program and its deeds. Subclasses define `deed`, which names what it did for the log."""

    #: Mean pause between two deeds, seconds.
    pause_s = 0.2

    def __init__(self, tree: Tree, gate: Gate, tally: Tally, random_: random.Random) -> None:
        self.tree = tree
        self.root = tree.root
        self.random = random_
        self.name = type(self).__name__.lower()
        self._gate = gate
        self._tally = tally
        self._number = 0
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, name=self.name)

    def deed(self) -> str:
        raise NotImplementedError

    def next(self, prefix: str) -> str:
        self._number += 1
        return f"{prefix}{self._number}"

    def directories(self, below: str, depth: int) -> list[Path]:
        """What is there, at that depth, by name."""
        found = [self.root / below]
        for _ in range(depth):
            found = [Path(e.path) for d in found for e in _scan(d)]
        return found

    def text(self) -> str:
        return "x" * self.random.randrange(200)

    def _run(self) -> None:
        try:
            while True:
                with self._gate.deed() as going:
                    if not going:
                        return
                    try:
                        log.info("%s %s", self.name, self.deed())
                        self._tally.add(f"op {self.name}")
                    except (OSError, subprocess.SubprocessError, IndexError, shutil.Error) as error:
                        # Others move what this one works on: as in life.
                        log.info("%s could not: %s", self.name, error)
                        self._tally.add(f"vain {self.name}")
                time.sleep(self.random.expovariate(1 / self.pause_s))
        except BaseException as error:
            self.error = error
            raise


def _scan(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as found:
            return sorted((e for e in found if e.is_dir(follow_symlinks=False)), key=lambda e: e.name)
    except OSError:
        return []


class Git(Writer):
    """git checkout between distant revisions, git clean, git stash."""

    pause_s = 1.0

    def deed(self) -> str:
        repository = self.root / "repo"
        (repository / ".git" / "index.lock").unlink(missing_ok=True)
        revision = self.random.choice(self.tree.revisions)
        dice = self.random.random()
        if dice < 0.15:
            git(repository, "clean", "-fdq")
        git(repository, "checkout", "-q", "-f", revision)
        if dice > 0.85:
            git(repository, "worktree", "prune")
            git(repository, "stash", "-q", "-u")
        return f"checkout {revision}"


class Tar(Writer):
    """tar x over what is there or in its place."""

    pause_s = 1.0

    def deed(self) -> str:
        archive = self.random.choice(self.tree.archives)
        fresh = self.random.random() < 0.6
        if fresh:
            run("rm", "-rf", self.root / "vendor" / archive.stem)
        options = self.random.choice(("xf", "xmf", "xUf"))
        run("tar", options, archive, cwd=self.root / "vendor")
        return f"{options} {archive.stem}, removed before: {fresh}"


class Rsync(Writer):
    """rsync of a source that changes, with and without temporary names, keeping times; files of equal size and time too."""

    pause_s = 1.0

    def deed(self) -> str:
        source = self.tree.outside / "source"
        files = sorted(source.rglob("*.json"))
        for path in self.random.sample(files, min(20, len(files))):
            before = path.stat()
            if self.random.random() < 0.3:
                path.write_text("y" * before.st_size)
                os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            else:
                path.write_text(self.text())
        with contextlib.suppress(OSError):
            new = source / "p0" / self.next("new")
            new.mkdir(parents=True)
            (new / "unit.ast.json").write_text(self.text())
        for old in sorted((source / "p0").glob("new*"))[:-_KEPT]:
            shutil.rmtree(old)
        options = self.random.choice((("-a", "--delete"), ("-a", "--inplace", "--delete"), ("-rt", "--delete-before"), ("-ac",)))
        if shutil.which("rsync"):
            run("rsync", *options, f"{source}/", f"{self.root / 'synced'}/")
        else:
            run("cp", "-pr", f"{source}/.", f"{self.root / 'synced'}/")
        return " ".join(options)


class Copy(Writer):
    """cp -r, cp -a, rm -rf."""

    pause_s = 0.6

    def deed(self) -> str:
        there = self.directories("copies", 1)
        if len(there) >= _KEPT or (there and self.random.random() < 0.3):
            gone = self.random.choice(there)
            run("rm", "-rf", gone)
            return f"rm -rf {gone.name}"
        option = self.random.choice(("-r", "-a", "-al"))
        # What is written by a name outside the root can't be seen at a name inside: links are made to what stays inside.
        source = self.random.choice(self.directories("vendor" if option == "-al" else "src", 1))
        name = self.next("copy")
        run("cp", option, source, self.root / "copies" / name)
        return f"cp {option} {source.name} {name}"


class Editor(Writer):
    """Saves as editors do: over a temporary name, through a backup, in place; up to twenty in a row."""

    pause_s = 0.1

    def deed(self) -> str:
        directory = self.random.choice(self.directories("src", 2))
        files = sorted(directory.glob("*.json")) or [directory / "first.ast.json"]
        path = self.random.choice(files)
        for _ in range(self.random.randrange(1, 20)):
            if self.random.random() < 0.3:
                path = self.random.choice(files)
            self._save(path)
        return f"{path.relative_to(self.root)}"

    def _save(self, path: Path) -> None:
        dice = self.random.random()
        if dice < 0.5:
            temporary = path.with_name(path.name + ".tmp")
            with temporary.open("w") as file:
                file.write(self.text())
                file.flush()
                if self.random.random() < 0.2:
                    os.fsync(file.fileno())
            temporary.rename(path)
        elif dice < 0.75:
            backup = path.with_name(path.name + "~")
            path.rename(backup)
            path.write_text(self.text())
            backup.unlink()
        else:
            with path.open("a") as file:
                file.write("z")
                file.flush()
                file.write("z")


class Compiler(Writer):
    """Writes all units of a directory anew, in pieces, adds some and removes stale ones; makes new directories."""

    pause_s = 0.3

    def deed(self) -> str:
        if self.random.random() < 0.2:
            directory = self.random.choice(self.directories("src", 1)) / self.next("fresh")
            directory.mkdir()
        else:
            directory = self.random.choice(self.directories("src", 2))
        for number in range(self.random.randrange(1, 40)):
            with (directory / f"unit{number}.ast.json").open("w") as file:
                for _ in range(self.random.randrange(1, 4)):
                    file.write(self.text())
                    file.flush()
        for path in sorted(directory.glob("unit*.ast.json"))[30:]:
            path.unlink()
        return str(directory.relative_to(self.root))


class Mover(Writer):
    """Directories renamed, swapped, moved out of the root, changed there and moved back; also those that are anchors."""

    pause_s = 0.7

    def deed(self) -> str:
        deeds = (self._rename, self._rename, self._swap, self._out, self._back, self._back, self._top, self._drop)
        return self.random.choice(deeds)()

    def _some(self) -> Path:
        return self.random.choice(self.directories("src", self.random.choice((1, 2))))

    def _rename(self) -> str:
        source = self._some()
        target = source.with_name(self.next("moved"))
        source.rename(target)
        (target / "born.ast.json").write_text("at once")
        return f"{source} -> {target}"

    def _swap(self) -> str:
        a, b = self._some(), self._some()
        between = a.with_name(self.next("swap"))
        a.rename(between)
        b.rename(a)
        between.rename(b)
        return f"{a} <-> {b}"

    def _out(self) -> str:
        source = self._some()
        target = self.tree.outside / "parked" / self.next("out")
        source.rename(target)
        (target / "outside.ast.json").write_text("changed outside")
        return f"{source} -> {target}"

    def _back(self) -> str:
        parked = sorted((self.tree.outside / "parked").iterdir())
        source = self.random.choice(parked)
        target = self.random.choice(self.directories("src", 1)) / source.name
        (source / "late.ast.json").write_text("just before it came back")
        source.rename(target)
        (target / "late.ast.json").write_text("just after it came back")
        return f"{source} -> {target}"

    def _drop(self) -> str:
        """Keeps the tree from growing: some of what is parked goes, and of what came back."""
        parked = sorted((self.tree.outside / "parked").iterdir())
        back = [d for depth in (1, 2) for d in self.directories("src", depth) if d.name.startswith(("out", "stand-in"))]
        for some in (parked, back):
            for path in self.random.sample(some, max(0, len(some) - _KEPT)):
                shutil.rmtree(path, ignore_errors=True)
        return f"{len(parked)} parked, {len(back)} came back"

    def _top(self) -> str:
        """An anchor, or what anchors lie in, goes and comes back, perhaps with something else in its place meanwhile."""
        source = self.root / self.random.choice(("src", "vendor", "copies", "synced", "repo"))
        outside = self.random.random() < 0.5 and source.name != "vendor"
        target = (self.tree.outside if outside else self.root) / "elsewhere"
        source.rename(target)
        try:
            if self.random.random() < 0.4:
                source.mkdir()
                (source / "stand-in.ast.json").write_text("for a moment")
            time.sleep(self.random.choice((0.0, 0.01, 0.3, 2.0)))
        finally:
            if source.exists():
                shutil.move(source, self.tree.outside / "parked" / self.next("stand-in"))
            target.rename(source)
        return f"{source} <-> {target}"


class Deep(Writer):
    """makedirs with a file at once, and rmtree."""

    pause_s = 0.4

    def deed(self) -> str:
        there = self.directories("deep", 1)
        if len(there) > _KEPT:
            shutil.rmtree(self.random.choice(there))
        name = self.next("deep")
        deep = self.root.joinpath("deep", name, *[f"level{n}" for n in range(self.random.randrange(2, 40))])
        deep.mkdir(parents=True)
        (deep / "leaf.ast.json").write_text(self.text())
        if self.random.random() < 0.3:
            shutil.rmtree(self.root / "deep" / name / "level0" / "level1", ignore_errors=True)
        return name


class Odd(Writer):
    """Hard links, links, files that become directories and back, touched times, many files in one directory, odd names."""

    pause_s = 0.15

    def deed(self) -> str:
        deeds = (
            self._hard_link, self._append, self._append, self._link, self._flip, self._times, self._many, self._name, self._touch,
            self._chmod,
        )  # fmt: skip
        return self.random.choice(deeds)()

    def _file(self) -> Path:
        return self.root / "odd" / f"f{self.random.randrange(30)}.json"

    def _hard_link(self) -> str:
        path = self._file()
        path.write_text(self.text())
        for where in ("odd", "hot", "copies"):
            other = self.root / where / f"linked{self.random.randrange(10)}.json"
            other.unlink(missing_ok=True)
            other.hardlink_to(path)
        other.write_text(self.text())
        return path.name

    def _append(self) -> str:
        """In place, by one of the names that `cp -al` gave it."""
        path = self.random.choice(sorted(self.random.choice(self.directories("vendor", 3)).glob("*.json")))
        with path.open("a") as file:
            file.write("a")
        return str(path.relative_to(self.root))

    def _link(self) -> str:
        path = self._file()
        path.unlink(missing_ok=True)
        # Other deeds write, link and change modes through this link, so it may lead only to what the run made itself.
        path.symlink_to(self.random.choice(("nowhere", "f1.json", "../src", "..", self.tree.elsewhere)))
        return path.name

    def _flip(self) -> str:
        path = self.root / "odd" / f"flip{self.random.randrange(5)}.json"
        if path.is_dir():
            shutil.rmtree(path)
            path.write_text(self.text())
        else:
            path.unlink(missing_ok=True)
            (path / "below").mkdir(parents=True)
            (path / "below" / "inner.json").write_text(self.text())
        return path.name

    def _times(self) -> str:
        path = self._file()
        if path.is_symlink() or not path.exists():
            return "none"
        size, mtime_ns = path.stat().st_size, path.stat().st_mtime_ns
        path.write_text("w" * size)
        os.utime(path, ns=(mtime_ns, mtime_ns))
        return path.name

    def _touch(self) -> str:
        run("touch", "-h", "-d", self.random.choice(("1970-01-01", "2100-01-01", "now", "yesterday")), self._file())
        return "touch -d"

    def _chmod(self) -> str:
        path = self._file()
        path.chmod(self.random.choice((0o600, 0o644, 0o400)))
        return path.name

    def _many(self) -> str:
        directory = self.root / "hot" / f"many{self.random.randrange(2)}"
        if directory.exists():
            shutil.rmtree(directory)
        else:
            directory.mkdir()
            for number in range(1500):
                (directory / f"n{number}.json").touch()
        return directory.name

    def _name(self) -> str:
        base = os.fsencode(self.root / "odd")
        name = self.random.choice((b"new\nline", b'it\'s "q"', b"100%s", b"-rf", b"bad\xff\xfe", b" blanks ;x")) + b".json"
        path = os.path.join(base, name)
        if os.path.lexists(path):
            os.unlink(path)
        else:
            with open(path, "wb") as file:  # noqa: PTH123 - exact bytes
                file.write(name)
        return repr(name)


KINDS: tuple[Callable[[Tree, Gate, Tally, random.Random], Writer], ...] = (
    Git, Tar, Rsync, Copy, Editor, Compiler, Mover, Deep, Odd,
)  # fmt: skip


def storm(tree: Tree, tally: Tally) -> None:
    """See `chaos.storm`; a process of its own, because ours has too many threads to be fast."""
    program = Path(__file__).with_name("storm.py")
    try:
        done = subprocess.run([sys.executable, "-I", program, tree.root], check=True, capture_output=True, timeout=_STORM_S)
    except subprocess.SubprocessError as error:
        log.info("storm ended: %s", error)
        tally.add("vain storm")
        return
    log.info("storm of %d", int(done.stdout))
    tally.add("op storm", int(done.stdout))
