"""What a run of tests must not leave behind, taken away however the run ended: `python -I guard.py RECORD PARENT`.

RECORD names the run's folders; its own name is the run's mark. The guard is a process of its own, in a session of its own,
which no Ctrl-C reaches. It waits until the run says that it has ended, or until PARENT, the process of the run, is gone: killed
with -9, for one. Then it kills the processes that carry the run's mark, puts borrowed sysctls back, takes away the mounts below
the run's folders, then the folders. Where the guard was killed too, the next run does all that first. It touches nothing that
does not carry the mark or lie in the folders.

Standard library only: it must work when nothing else does. `session.py` starts it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

#: Environment variable that every process of a run inherits; its value is the run's mark.
MARK = "SW_TESTS_MARK"
#: Seconds in which processes may end by themselves once the run has said that it ended.
_GRACE_S = 30.0
#: Seconds after which a process that does not die of SIGKILL is given up: the kernel holds it.
_KILL_S = 30.0


def home() -> Path:
    """Where runs of this user keep records, loans and locks: one place for the machine, whatever TMPDIR says.

    Raises RuntimeError where the place is another user's or open to others.
    """
    path = Path("/tmp", f"shardwatch-tests-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise RuntimeError(f"{path} must be a directory of this user's alone: remove it, or chmod 700 it")
    return path


# --- processes --------------------------------------------------------------------------------------------------------


def carries(pid: int, mark: str) -> bool:
    """Whether that process was started with the mark in its environment."""
    try:
        return f"{MARK}={mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def marked(mark: str) -> list[int]:
    """Living processes of a run, whoever their parent is by now; this one is left out."""
    pids = (int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit())
    return sorted(pid for pid in pids if pid != os.getpid() and carries(pid, mark))


def words(pid: int) -> str:
    """Pid and command line."""
    with contextlib.suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        return f"{pid} {command}"
    return str(pid)


def _kill(pid: int, mark: str) -> None:
    """Kills a process that carries the mark. One that got its pid since is not touched: the descriptor stays the old one's."""
    with contextlib.suppress(OSError):
        pidfd = os.pidfd_open(pid)
        try:
            if carries(pid, mark):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)


def end_processes(mark: str, grace_s: float = 0.0) -> list[str]:
    """Kills every process of a run, after `grace_s` in which they may end by themselves. Those that had to be killed."""
    deadline = time.monotonic() + grace_s
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    killed: dict[int, str] = {}
    deadline = time.monotonic() + _KILL_S
    while (left := marked(mark)) and time.monotonic() < deadline:
        for pid in left:
            killed.setdefault(pid, words(pid))
            _kill(pid, mark)
        time.sleep(0.02)
    return list(killed.values())


# --- mounts and folders -----------------------------------------------------------------------------------------------


def mounts_below(folders: list[Path]) -> list[Path]:
    """Mount points in the folders, the innermost first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        point = Path(os.fsdecode(line.split()[4].decode("unicode_escape").encode("latin-1")))
        if any(point.is_relative_to(folder) for folder in folders):
            found.append(point)
    return found[::-1]


def unmount_below(folders: list[Path]) -> list[str]:
    """Takes away what is mounted in the folders. The mount points."""
    found = mounts_below(folders)
    for point in found:
        os.spawnlp(os.P_WAIT, "umount", "umount", "--lazy", os.fspath(point))
    return [str(point) for point in found]


def detach_below(folders: list[Path]) -> list[str]:
    """Takes loop devices from the images in the folders. Those that a mount holds go with it."""
    left = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            image = Path(backing.read_text().strip().removesuffix(" (deleted)"))
            if any(image.is_relative_to(folder) for folder in folders):
                left.append(f"/dev/{backing.parts[3]} on {image}")
                os.spawnlp(os.P_WAIT, "losetup", "losetup", "--detach", f"/dev/{backing.parts[3]}")
    return left


def remove(folder: Path) -> None:
    """Removes a folder, also where modes forbid it to its owner. Links are removed, not followed.

    A folder that something is still mounted in is left alone: what is mounted may be somebody else's.
    """
    if mounts_below([folder]):
        return
    if os.getuid() != 0:
        for above, directories, _ in os.walk(folder):  # from above: a directory is listed after its mode was put right
            for path in (os.path.join(above, name) for name in directories):
                if not os.path.islink(path):
                    os.chmod(path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)


# --- loans ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def borrowed(path: Path, value: str) -> Iterator[str]:
    """A file of /proc/sys with another value for a while; yields what was there. One borrower at a time on this machine.

    The value before is noted on the disk first, and put back by this process, by the guard, or by the next run.
    """
    loans = home() / "loans"
    loans.mkdir(mode=0o700, exist_ok=True)
    with (loans / os.fspath(path).strip("/").replace("/", ".")).open("a+") as note:
        fcntl.flock(note, fcntl.LOCK_EX)
        _give_back(note.name)
        before = path.read_text()
        _note(note.name, f"{path}\n{before}")
        try:
            path.write_text(value)
            yield before
        finally:
            _give_back(note.name)


def _note(name: str, text: str) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
        os.fsync(fd)
    finally:
        os.close(fd)


def _give_back(name: str) -> bool:
    """Writes the noted value back, if one is noted. The caller holds the lock."""
    where, _, value = Path(name).read_text().partition("\n")
    if not value:
        return False
    if Path(where).read_text() != value:
        Path(where).write_text(value)
    _note(name, "")
    return True


def give_back_loans() -> list[str]:
    """Puts back what dead borrowers noted; who lives keeps its own."""
    given = []
    for note in sorted((home() / "loans").glob("*")):
        with note.open("a+") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if _give_back(held.name):
                given.append(note.name)
    return given


# --- a record ---------------------------------------------------------------------------------------------------------


def note(record: Path, word: str, path: Path) -> None:
    """Adds a line to a record: `folder` or `cgroup` for what goes with the run, before it is made; `kept` for a folder that stays
    after all."""
    with record.open("a") as file:
        file.write(json.dumps([word, str(path)]) + "\n")


def noted(record: Path) -> tuple[list[Path], list[Path]]:
    """The folders of a run that go, and those that stay. A line that was not written whole is of a folder not made yet."""
    folders: dict[Path, str] = {}
    for line in record.read_text().splitlines():
        with contextlib.suppress(ValueError):
            word, path = json.loads(line)
            folders[Path(path)] = word
    return [path for path, word in folders.items() if word == "folder"], [p for p, w in folders.items() if w == "kept"]


def remove_groups(record: Path) -> list[str]:
    """Removes the control groups of a run whose processes are gone. Those that there were."""
    left = []
    for line in record.read_text().splitlines():
        with contextlib.suppress(ValueError, OSError):
            word, path = json.loads(line)
            if word == "cgroup":
                os.rmdir(path)
                left.append(path)
    return left


def tidy(record: Path, grace_s: float = 0.0) -> list[str]:
    """Takes away what a run left, then its record. What there was, a line each."""
    left = [f"process {line}" for line in end_processes(record.stem, grace_s)]
    left += [f"sysctl {name}" for name in give_back_loans()]
    left += [f"control group {path}" for path in remove_groups(record)]
    folders, kept = noted(record)
    left += [f"mount {point}" for point in unmount_below([*folders, *kept])]
    left += [f"loop device {line}" for line in detach_below([*folders, *kept])]
    for folder in folders:
        remove(folder)
    record.unlink(missing_ok=True)
    return left


def tidy_the_dead() -> None:
    """Tidies after runs whose process and guard are gone."""
    for record in sorted(home().glob("*.run")):
        with contextlib.suppress(FileNotFoundError), record.open() as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            tidy(record)
    give_back_loans()


def main(record: Path, parent: int) -> int:
    """Inherits a descriptor of the record, and with it the lock that says that the run is not dead yet."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    said = b""
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(parent)
        if os.getppid() == parent:
            ready, _, _ = select.select([0, pidfd], [], [])
            said = os.read(0, 16) if 0 in ready else b""
    left = tidy(record, _GRACE_S if said else 0.0)
    if said:
        print(json.dumps(left), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
