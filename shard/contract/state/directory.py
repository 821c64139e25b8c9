"""The state directory on disk. It is opened once as a descriptor, and everything in it is opened through this descriptor.

A name in the directory is not trusted. No link is followed. Only a regular file with a single name is opened, or a
directory or a socket where one belongs, and only if it belongs to the owner of the directory. New files are created
exclusively. So if another user, or a backup tool, has put something in place of one of our files, it is refused with a
clear error. It is never read, waited for, written, or changed in mode.

The names are in `layout`. No other module opens these files. Anyone may import this module.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pwd
import stat
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from ..errors import UsageError

#: Permissions by which others than the owner could change something.
_OTHERS_WRITE: Final = 0o022
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
#: A FIFO or a device in the place of a file must not make us wait.
_FILE: Final = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
#: Links of a path that are followed at most, as in the kernel (path_resolution(7)).
_LINKS_MAX: Final = 40

#: Marks a state directory, like the CACHEDIR.TAG of caches. A program that finds one leaves the directory alone, whoever owns
#: it.
TAG: Final = "SHARDWATCH.TAG"
TAG_NAME: Final = os.fsencode(TAG)
SIGNATURE: Final = b"Signature: 5b0e8f6d9c2a47d1b3f4a86072e95c1d"
TAG_TEXT: Final = SIGNATURE + b"""
# This directory is the state of a shardwatch service (docs/state.md).
# No shardwatch looks into a directory that has this file. Keep it where it is.
"""
#: Held by a service for its whole life; it says which process that is.
SERVICE_LOCK: Final = "locks/service.lock"
#: Environment variable of the processes of a service whose state directory goes when it ends: which directory that is. Other
#: directories that these processes write to, or their children, are none of its concern.
TEMPORARY_VARIABLE: Final = "SHARDWATCH__TEMPORARY"

_KINDS: Final = {
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a directory",
    stat.S_IFREG: "a file",
}


class StateDirectory:
    """A state directory, held by a descriptor. If it is renamed or replaced in the meantime, this is still the directory that
    was opened.

    Args:
        path: where it is. Links on the way are followed if they belong to the caller or to root.
        fd: a descriptor of it that is open already; it then belongs to this object.
        foreign: True: root may look into the directory of another user. Nothing is written then.

    Names are relative to the directory, with at most one directory on the way (`locks/service.lock`). Not thread-safe. Nothing
    waits for another process; `write` and `write_new` wait until the content is on the disk, unless they are told
    that it may be lost, or the directory is temporary: nobody reads it after a loss of power.

    Raises:
        FileNotFoundError, NotADirectoryError, or another OSError: it cannot be opened.
        UsageError: it, or a file that is asked for in it, does not belong to the caller or can be written by others. All
            methods raise this.
    """

    def __init__(self, path: Path | str, *, fd: int | None = None, foreign: bool = False) -> None:
        self.path = Path(os.path.abspath(path))
        self.fd = -1
        self.fd = self._opened() if fd is None else fd
        try:
            found = os.fstat(self.fd)
            if not stat.S_ISDIR(found.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(self.path))
            #: The owner of the directory, who must also own everything in it.
            self.owner = found.st_uid
            #: (device, inode): which directory it is, whatever its path.
            self.identity = (found.st_dev, found.st_ino)
            if self.owner != os.geteuid() and not (foreign and os.geteuid() == 0):
                raise self._anothers(self.owner)
        except BaseException:
            self.close()
            raise

    def _opened(self) -> int:
        try:
            return _open_directory(self.path)
        except PermissionError:
            with contextlib.suppress(OSError):
                owner = os.stat(self.path).st_uid
                if owner != os.geteuid():
                    raise self._anothers(owner) from None
            raise

    def _anothers(self, owner: int) -> UsageError:
        return UsageError(
            f"{self.path} belongs to {user(owner)}, not to {user(os.geteuid())}",
            hint=f"a service is used by its own user, and root: ask as {user(owner)}, or name another --state-dir",
        )

    def __enter__(self) -> StateDirectory:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the directory, and of its claim unless another process inherited the descriptor. Idempotent."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)

    @property
    def is_temporary(self) -> bool:
        """Whether this process belongs to a service that removes the directory when it ends."""
        return os.environ.get(TEMPORARY_VARIABLE) == temporary_value(self)

    def in_place(self) -> bool:
        """Whether the path still leads to this directory, as far as can be told: the way to it may be closed for a moment."""
        try:
            found = os.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return (found.st_dev, found.st_ino) == self.identity

    # -- who may use it

    def close_to_others(self) -> None:
        """Sets mode 0700, so that nobody else can put anything here from now on. Raises OSError."""
        if os.fstat(self.fd).st_mode & 0o077:
            os.fchmod(self.fd, 0o700)

    def check_private(self) -> None:
        """Raises UsageError if the mode lets others put something here."""
        if os.fstat(self.fd).st_mode & _OTHERS_WRITE:
            raise UsageError(f"{self.path} can be written by others", hint=f"check what is in it, then chmod 700 {self.path}")

    # -- what is in it

    def below(self, name: str) -> StateDirectory:
        """A directory in it, which the caller has to close.

        Raises FileNotFoundError if there is none, and UsageError if it is no directory, or another user's.
        """
        found = self._lstat(name)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(self.path / name))
        self._check_owner(name, found)
        if not stat.S_ISDIR(found.st_mode):
            raise self._refused(name, f"is {_kind(found)}, not a directory")
        fd = os.open(name, _DIRECTORY, dir_fd=self.fd)
        return StateDirectory(self.path / name, fd=fd, foreign=self.owner != os.geteuid())

    def names(self) -> list[str]:
        """The names of everything in it, sorted. Raises OSError."""
        return sorted(os.listdir(self.fd))

    def status(self, name: str, also: Collection[int] = ()) -> os.stat_result | None:
        """lstat of a file of ours, directly in the directory; None where there is none.

        `also`: types besides that of a file that it may have (`stat.S_IFSOCK`).

        Raises UsageError for anything else.
        """
        found = self._lstat(name)
        if found is not None:
            self._check(name, found, also)
        return found

    def identity_of(self, name: str) -> tuple[int, int] | None:
        """(device, inode) of a file of ours, None where there is none."""
        with self._parent(name) as (parent, base):
            found = parent.status(base)
        return None if found is None else (found.st_dev, found.st_ino)

    def open(self, name: str, flags: int = os.O_RDONLY) -> int:
        """A descriptor of a file. With O_CREAT the file is created (mode 0600) if it does not exist. Never blocks.

        Raises FileNotFoundError, another OSError, or UsageError if the file is not one of ours.
        """
        plain = flags & ~(os.O_CREAT | os.O_TRUNC) | _FILE
        with self._parent(name) as (parent, base):
            while True:
                if parent.status(base) is None and flags & os.O_CREAT:
                    with contextlib.suppress(FileExistsError):
                        return os.open(base, plain | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=parent.fd)
                    continue
                fd = os.open(base, plain, dir_fd=parent.fd)
                try:
                    parent._check(base, os.fstat(fd))
                    if flags & os.O_TRUNC:  # not before it is known to be ours
                        os.ftruncate(fd, 0)
                except BaseException:
                    os.close(fd)
                    raise
                return fd

    def held(self, name: str) -> bool:
        """Whether a process holds an exclusive lock (flock) on a file; False if there is no such file. Checks do not disturb each
        other, and do not block.
        """
        try:
            fd = self.open(name)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def read(self, name: str) -> bytes:
        """The whole content of a file that only its owner can have written.

        Raises FileNotFoundError, another OSError, or UsageError if others may write the file.
        """
        with self._parent(name) as (parent, base):
            fd = parent.open(base)
            with os.fdopen(fd, "rb") as f:
                if os.fstat(fd).st_mode & _OTHERS_WRITE:
                    raise UsageError(
                        f"{parent.path / base} can be written by others", hint=f"check it, then chmod 600 {parent.path / base}"
                    )
                return f.read()

    def write(self, name: str, content: bytes, *, durable: bool = True) -> None:
        """Writes a file, mode 0600, in one step: readers see the old or the new content as a whole. Blocks until the content is
        on the disk. After an OSError, or a crash before the end, the old content is there. A crash may leave a temporary file.

        `durable`: False: the disk is not awaited. Processes see the same, whatever ends them, but after a loss of power the file
        may be empty. This is for what each start compares, and writes again where it is not as it should be.
        """
        self.write_new(name, lambda fd: content, durable=durable)

    def write_new(self, name: str, content: Callable[[int], bytes], *, durable: bool = True) -> None:
        """As `write`. `content` is called once with the descriptor of the new file, and returns what is written."""
        with self._parent(name) as (parent, base):
            temporary = f".{base}.{os.urandom(8).hex()}"
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FILE, 0o600, dir_fd=parent.fd)
            try:
                with os.fdopen(fd, "wb") as f:
                    f.write(content(fd))
                    f.flush()
                    if durable and not self.is_temporary:
                        os.fsync(fd)
                os.replace(temporary, base, src_dir_fd=parent.fd, dst_dir_fd=parent.fd)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=parent.fd)
                raise

    def make_directory(self, name: str) -> bool:
        """Makes sure that a directory of that name exists, mode 0700. Returns whether it was made."""
        made = True
        with self._parent(name) as (parent, base):
            try:
                os.mkdir(base, 0o700, dir_fd=parent.fd)
            except FileExistsError:
                made = False
        with self.below(name) as inner:
            inner.close_to_others()
        return made

    def remove(self, name: str) -> None:
        """Removes a file of any kind, but not a directory. Does nothing if it does not exist."""
        with contextlib.suppress(FileNotFoundError), self._parent(name) as (parent, base):
            os.unlink(base, dir_fd=parent.fd)

    def touch(self, name: str) -> bool:
        """Sets the times of a file to now, because cleaners remove old files. Returns False if the file does not exist."""
        with self._parent(name) as (parent, base):
            if parent.status(base) is None:
                return False
            os.utime(base, dir_fd=parent.fd, follow_symlinks=False)
        return True

    @contextlib.contextmanager
    def _parent(self, name: str) -> Iterator[tuple[StateDirectory, str]]:
        """The directory that a name is in, and the last part of the name. An OSError inside names the file by its whole path."""
        self.check_private()
        directory, _, base = name.rpartition("/")
        try:
            if not directory:
                yield self, base
                return
            with self.below(directory) as inner:
                inner.check_private()
                yield inner, base
        except OSError as error:
            if isinstance(error.filename, str) and not os.path.isabs(error.filename):  # of a temporary one, the final name
                error.filename = os.fspath(self.path / name)
            raise

    def _lstat(self, name: str) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def _check(self, name: str, found: os.stat_result, also: Collection[int] = ()) -> None:
        self._check_owner(name, found)
        if stat.S_IFMT(found.st_mode) in also:
            return
        if not stat.S_ISREG(found.st_mode):
            raise self._refused(name, f"is {_kind(found)}, not a file")
        if found.st_nlink > 1:
            raise self._refused(name, "has another name elsewhere (a hard link), so it may be another program's")

    def _check_owner(self, name: str, found: os.stat_result) -> None:
        if found.st_uid != self.owner:
            raise self._refused(name, f"belongs to {user(found.st_uid)}, not to {user(self.owner)}")

    def _refused(self, name: str, why: str) -> UsageError:
        return UsageError(f"{self.path / name} {why}", hint="it was not made by shardwatch: look what it is, and remove it")


def _open_directory(path: Path) -> int:
    """The directory at an absolute path. A link on the way counts if it is the caller's, or root's."""
    at, fd, links = "/", os.open("/", _STEP), 0
    parts = [part for part in os.fspath(path).split("/") if part]
    try:
        while parts:
            part = parts.pop(0)
            if part in (".", ".."):  # of a link's target: what it leads to is known to the kernel only
                at = os.path.normpath(os.path.join(at, part))
                step = os.open(part, _STEP, dir_fd=fd)
                os.close(fd)
                fd = step
                continue
            found = os.stat(part, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                links += 1
                if links > _LINKS_MAX:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
                if found.st_uid not in (0, os.geteuid()):
                    raise UsageError(
                        f"{os.path.join(at, part)} is a link that {user(found.st_uid)} made, on the way to {path}",
                        hint="name the directory itself",
                    )
                target = os.readlink(part, dir_fd=fd)
                parts = [step for step in target.split("/") if step] + parts
                if target.startswith("/"):
                    at, step = "/", os.open("/", _STEP)
                    os.close(fd)
                    fd = step
                continue
            step = os.open(part, _STEP, dir_fd=fd)
            os.close(fd)
            fd = step
            at = os.path.join(at, part)
        last = os.open(".", _DIRECTORY, dir_fd=fd)
    except OSError as error:
        error.filename = os.fspath(path)
        raise
    finally:
        os.close(fd)
    return last


#: To walk through a directory it need not be readable.
_STEP: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW


def _kind(found: os.stat_result) -> str:
    return _KINDS.get(stat.S_IFMT(found.st_mode), "something else")


def user(uid: int) -> str:
    """How a user is named in messages."""
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"


def temporary_value(directory: StateDirectory) -> str:
    """What TEMPORARY_VARIABLE says in a service to which this directory belongs for its life."""
    device, inode = directory.identity
    return f"{device}:{inode}"


def read_private(path: Path) -> bytes:
    """Reads a trusted file. Raises OSError, or UsageError if anyone but its owner can have written it."""
    with StateDirectory(path.parent, foreign=True) as directory:
        return directory.read(path.name)


def write_private(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Writes a file that only the owner reads, in one step, as `StateDirectory.write` does. Raises OSError, or UsageError where
    the directory is another's.
    """
    with StateDirectory(path.parent) as directory:
        directory.write(path.name, content, durable=durable)


def keep_private(path: Path, content: bytes, *, durable: bool = True) -> None:
    """As `write_private`, unless the file has this content already: then nothing waits for the disk."""
    try:
        if read_private(path) == content:
            return
    except (OSError, UsageError):
        pass  # there is none, or none that counts: it is written
    write_private(path, content, durable=durable)


def is_state_directory(fd: int) -> bool:
    """Whether the directory open at `fd` is a state directory of shardwatch, of whichever service and user."""
    try:
        found = os.stat(TAG, dir_fd=fd, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode):
            return False
        tag = os.open(TAG, os.O_RDONLY | _FILE, dir_fd=fd)
    except OSError:
        return False
    try:
        return os.read(tag, len(SIGNATURE)) == SIGNATURE
    except OSError:
        return False
    finally:
        os.close(tag)
