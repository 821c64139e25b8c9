"""Whatever state a parent left a command in, the service works, or says in one line what is wrong and what to do."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_process import GUARD_S, Command, command_of, environment, lines_of, run
from disks import LET_GO
from odd_start import NEWER_CALLS
from running import stats_below
from session import deliver
from waiting import eventually

pytestmark = [pytest.mark.usefixtures("no_leaks"), pytest.mark.xdist_group("inherited")]

#: What the parent did -> what the test is about.
ODD = {
    "SIGCHLD is ignored": ["ignore=CHLD"],
    "every signal that may be is ignored": ["ignore=CHLD,TERM,PIPE,ALRM,USR1,USR2,QUIT"],
    "every signal is blocked": ["block=ALL"],
    "few descriptors": ["nofile=512"],
    "as few descriptors as a service needs": ["nofile=128"],
    "a low soft limit": ["softnofile=40"],
    "a closed standard input": ["close=0"],
    "all standard streams but output closed": ["close=0,2"],
    "a umask that takes everything": ["umask=777"],
    "a umask that takes nothing": ["umask=000"],
    "the working directory is gone": ["gone"],
    "a filter that does not know newer calls": [f"errno=ENOSYS:{NEWER_CALLS}"],
    "a filter that forbids newer calls": [f"errno=EPERM:{NEWER_CALLS}"],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    (root / "d" / "f.ast.json").write_text("{}")
    return root


def healthy(state: Path) -> dict[str, Any] | None:
    """What `status` says of a service that is well; None of one that is not, such as while a program was not heard for long."""
    done = run("status", "--json", "--state-dir", state, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def pids_of(state: Path) -> dict[str, int]:
    """Program -> pid of a service that is well."""
    found = {str(p["name"]): int(p["pid"]) for p in eventually(lambda: healthy(state), what="all is well")["processes"]}
    assert len(found) == 3 and all(found.values()), found
    return found


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_a_watch_works(root: Path, state_dir: Path, odd: list[str]) -> None:
    """It gets ready, tells a change, and ends by SIGTERM as ever, with nothing left."""
    with Command("watch", root, "--json", "--state-dir", state_dir / "s", odd=odd) as watch:
        assert watch.ready()["files"] == 1
        (root / "d" / "new.ast.json").write_text("{}")
        assert watch.event()["path"] == str(root / "d" / "new.ast.json")
        assert watch.end(signal.SIGTERM, 30) == 0


@pytest.mark.parametrize("answer", ["ENOSYS", "EPERM"])
def test_a_service_is_started_and_ended(root: Path, state_dir: Path, answer: str) -> None:
    """Everything at once, up to `down`: who is signalled is found without a pidfd too."""
    odd = [
        "ignore=CHLD,TERM,PIPE", "block=ALL", "nofile=512", "umask=777", "close=0", "gone", f"errno={answer}:{NEWER_CALLS}",
    ]  # fmt: skip
    state = state_dir / "s"
    run("up", "--detach", "--state-dir", state, root, odd=odd)
    (root / "d" / "new.ast.json").write_text("{}")
    run("sync", "--state-dir", state, odd=odd)
    found = lines_of(run("pull", "--json", "--group", "g", "--from", "start", "--state-dir", state, odd=odd))
    assert len([line for line in found if line["type"] == "event"]) == 2
    made = {path: found.st_mode for path, found in stats_below(state).items() if not stat.S_ISSOCK(found.st_mode)}
    assert [path for path, mode in made.items() if stat.S_IMODE(mode) & 0o077 or not mode & 0o400] == []
    assert run("hold", "--state-dir", state, "--", "sh", "-c", "exit 7", odd=odd, check=False).returncode == 7
    run("down", "--state-dir", state, odd=odd)
    assert run("status", "--state-dir", state, check=False).returncode == 3


ENVIRONMENTS = {
    "as little as possible": dict.fromkeys(("LANG", "LC_ALL", "TZ", "TMPDIR", "COLUMNS", "TERM"), ""),
    "odd in every way": {
        "PYTHONIOENCODING": "ascii", "LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "TZ": "Nowhere/Odd",
        "COLUMNS": "abc", "LINES": "-1", "TMPDIR": "/nonexistent", "HOME": "/nonexistent", "TERM": "unheard-of",
        "PYTHONOPTIMIZE": "2", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONSTARTUP": "/nonexistent", "PYTHONUNBUFFERED": "1",
    },
    "warnings are errors": {"PYTHONWARNINGS": "error"},
    "a locale that is not there": {"LC_ALL": "de_DE.ISO-8859-1", "LANGUAGE": "xx"},
}  # fmt: skip


@pytest.mark.parametrize("environ", ENVIRONMENTS.values(), ids=ENVIRONMENTS.keys())
def test_the_environment_may_be_anything(root: Path, state_dir: Path, environ: dict[str, str]) -> None:
    """A file whose name is not ASCII arrives, is shown by `status`, and the service ends in order."""
    state = state_dir / "s"
    (root / "d" / "\u00fc\u4e2d.ast.json").write_text("{}")
    run("up", "--detach", "--state-dir", state, root, environ=environ)
    try:
        found = lines_of(run("pull", "--json", "--group", "g", "--from", "start", "--state-dir", state, environ=environ))
        assert {line["path"] for line in found if line["type"] == "event"} == {str(path) for path in root.rglob("*.json")}
        run("status", "--state-dir", state, environ=environ)
    finally:
        run("down", "--state-dir", state, environ=environ)


def _in_a_namespace(kind: str, script: str, *command: str | bytes | Path) -> list[str | bytes | Path]:
    """A command whose namespace the script has changed before: it ends with the command, and nobody else sees it."""
    return ["unshare", *kind.split(), "sh", "-c", f'{script}; exec "$@"', "sh", *command]


@pytest.mark.root
@pytest.mark.needs("unshare")
def test_the_limit_of_a_user_namespace_is_the_one_that_is_named(root: Path, state_dir: Path) -> None:
    """Fewer watches than directories in a container: the rest is polled, every change comes, and its own sysctl is the remedy."""
    for n in range(80):
        (root / f"d{n}").mkdir()
    command = command_of("watch", root, "--json", "--backend", "inotify", "--state-dir", state_dir / "s")
    few = _in_a_namespace("--user --map-root-user", "echo 50 > /proc/sys/user/max_inotify_watches", *command)
    with Command(command=few) as watch:
        lines = watch.until(lambda line: line["type"] == "ready")
        wanted = {str(root / f"d{n}" / "new.ast.json") for n in range(80)}
        for path in wanted:
            Path(path).write_text("{}")
        while wanted or not any(line.get("remedy") for line in lines):
            lines.append(watch.json(60))
            wanted.discard(lines[-1].get("path", ""))
        told = [f"{line['message']} {line['remedy']}" for line in lines if line["type"] == "status"]
        assert any("user.max_inotify_watches=" in line for line in told), told
        assert not any("fs.inotify" in line or "disk" in line or "device" in line for line in told), told
        assert watch.end(signal.SIGTERM, 30) == 0


@pytest.mark.root
@pytest.mark.needs("unshare")
@pytest.mark.parametrize(
    ("what", "allowed", "words"),
    [
        ("watches", 0, "5 directories need a watch each, 0 are left of 0"), ("watches", 2, "1 are left of 2"),
        ("instances", 0, "1 inotify instance needed, 0 left of 0"), ("instances", 1, ""),
    ],
)  # fmt: skip
def test_doctor_names_the_limit_of_a_user_namespace(root: Path, state_dir: Path, what: str, allowed: int, words: str) -> None:
    """And nothing else: where it allows nothing, inotify is there all the same, and where one instance is enough, all is well."""
    for n in range(3):
        (root / f"d{n}").mkdir()
    command = command_of("doctor", root, "--json", "--backend", "inotify", "--state-dir", state_dir / "s")
    few = _in_a_namespace("--user --map-root-user", f"echo {allowed} > /proc/sys/user/max_inotify_{what}", *command)
    done = subprocess.run(few, capture_output=True, text=True, timeout=GUARD_S, env=environment(), check=False)
    findings = [finding for finding in json.loads(done.stdout)["findings"] if "inotify" in finding["remedy"]]
    assert len(findings) == bool(words), findings
    for finding in findings:
        assert words in finding["message"] and f"user.max_inotify_{what}=" in finding["remedy"]
        assert finding["remedy"].endswith("(in the user namespace that allows no more)")


@pytest.mark.root
@pytest.mark.needs("unshare")
def test_plan_refuses_a_backend_that_up_refuses(root: Path) -> None:
    """fanotify, in a user namespace, where no process has the capability that the kernel asks for."""
    plan = _in_a_namespace("--user --map-root-user", ":", *command_of("plan", root, "--backend", "fanotify"))
    done = subprocess.run(plan, capture_output=True, text=True, timeout=GUARD_S, env=environment(), check=False)
    assert done.returncode == 2 and "CAP_SYS_ADMIN" in done.stderr and done.stdout == ""


@pytest.mark.root
@pytest.mark.needs("unshare")
def test_without_proc_everything_is_polled(root: Path, state_dir: Path) -> None:
    """And the reason is /proc, not permissions."""
    command = command_of("watch", root, "--json", "--state-dir", state_dir / "s")
    bare = _in_a_namespace("--mount", f"{LET_GO}; mount -t tmpfs sw-test /proc", *command)
    with Command(command=bare) as watch:
        lines = watch.until(lambda line: line["type"] == "ready")
        assert lines[-1]["files"] == 1
        while not (told_of := [line for line in lines if line["type"] == "status" and "/proc" in line["message"]]):
            lines.append(watch.json(60))  # what is polled may be told a moment after `ready`
        (told,) = told_of
        assert "mount -t proc" in told["remedy"] and "permission" not in told["remedy"]
        (root / "d" / "new.ast.json").write_text("{}")
        assert watch.event()["path"] == str(root / "d" / "new.ast.json")
        assert watch.end(signal.SIGTERM, 30) == 0


@pytest.mark.root
@pytest.mark.needs("unshare")
def test_as_process_1_of_a_container(root: Path, state_dir: Path) -> None:
    """`up` as pid 1, where orphans become its children: it reaps them, works, and ends by SIGTERM with all of its namespace."""
    state = state_dir / "s"
    orphan = f'{LET_GO}; (sleep 0.2 & exec sleep 0.1) & exec "$@"'
    command = command_of("up", "--state-dir", state, root)
    with Command(command=["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", orphan, "sh", *command]) as container:
        eventually(lambda: run("sync", "--state-dir", state, check=False).returncode == 0, 60)
        outer = container.process.pid
        (inner,) = map(int, Path(f"/proc/{outer}/task/{outer}/children").read_text().split())
        children = Path(f"/proc/{inner}/task/{inner}/children")

        def zombies() -> list[str]:
            stats = []
            for pid in children.read_text().split():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has gone since
                    stats.append(Path(f"/proc/{pid}/stat").read_text())
            return [line for line in stats if line.rpartition(")")[2].split()[0] == "Z" or "(sleep)" in line]

        eventually(lambda: not zombies(), 30)
        deliver(inner, signal.SIGTERM)
        assert container.end(timeout_s=30) == 0


@pytest.mark.parametrize(
    ("odd", "words"),
    [(["nofile=100"], "100 descriptors may be open in a process here: a service needs 128 (ulimit -n 1024"),
     (["fsize=1000000"], "1,000,000 bytes are the most that a file may have here: a service needs 67,108,864 (ulimit -f")],
)  # fmt: skip
def test_a_limit_that_is_too_low_is_named(root: Path, state_dir: Path, odd: list[str], words: str) -> None:
    """With what to do, without supervisord's README, and before anything is written or said to run."""
    for how in ([], ["--detach"]):
        done = run("up", *how, "--state-dir", state_dir / "s", root, odd=odd, check=False)
        assert done.returncode == 6
        assert words in done.stderr and "minfds" not in done.stderr
        assert len(done.stderr.splitlines()) == 1 and not (state_dir / "s").exists()


def test_a_command_whose_directory_was_removed_says_so() -> None:
    """It would look there for the service that is meant."""
    done = run("status", odd=["gone"], check=False)
    assert done.returncode != 0
    assert "the working directory was removed" in done.stderr and "--state-dir" in done.stderr


def test_nobodys_descriptors_are_kept(root: Path, state_dir: Path, tmp_path: Path) -> None:
    """A lock that the shell holds by a descriptor of its own is not held on by the programs of the service."""
    lock = tmp_path / "lock"
    lock.touch()
    state = state_dir / "s"
    with subprocess.Popen(
        command_of("up", "--state-dir", state, root, odd=[f"stray={lock}"]), env=environment(), stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
    ) as service:  # fmt: skip
        try:
            eventually(lambda: run("sync", "--state-dir", state, check=False).returncode == 0, 60)
            for pid in pids_of(state).values():
                assert str(lock) not in {os.path.realpath(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}
        finally:
            run("down", "--state-dir", state, check=False)
        assert service.wait(30) == 0


def test_a_held_command_inherits_what_was_inherited(root: Path, state_dir: Path, tmp_path: Path) -> None:
    """A build under `hold`, under nohup: hang-ups stay ignored, its umask and its descriptors (make's job server) are its own."""
    state, lock = state_dir / "s", tmp_path / "jobs"
    lock.write_text("token")
    run("up", "--detach", "--state-dir", state, root)
    try:
        code = "import os, signal, sys; print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, oct(os.umask(0)), os.read(9, 9))"
        shell = 'exec 9<"$1"; shift; umask 027; trap "" HUP; exec "$@"'
        hold = command_of("hold", "--state-dir", state, "--", sys.executable, "-c", code)
        done = subprocess.run(
            ["sh", "-c", shell, "sh", lock, *hold], env=environment(), capture_output=True, text=True, check=False
        )
        assert done.stdout == "True 0o27 b'token'\n", done.stderr
    finally:
        run("down", "--state-dir", state)


def test_a_terminal_that_is_closed_ends_what_runs_on_it(root: Path, state_dir: Path) -> None:
    """`up` in the foreground: 129, as a shell has it, and all of it is gone."""
    pid, terminal = os.forkpty()
    if pid == 0:
        command = [os.fspath(word) for word in command_of("up", "--state-dir", state_dir / "s", root)]
        os.execvpe(command[0], command, environment())
    try:
        eventually(lambda: run("sync", "--state-dir", state_dir / "s", check=False).returncode == 0, 60)
        os.close(terminal)
        terminal = -1
        eventually(lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG), 60, what="it has ended")
    finally:
        if terminal >= 0:
            os.close(terminal)
        deliver(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
    assert run("status", "--state-dir", state_dir / "s", check=False).returncode == 3


def test_nohup_is_respected(root: Path, state_dir: Path) -> None:
    """A hang-up neither ends nor reloads what was started so."""
    state = state_dir / "s"
    run("up", "--detach", "--state-dir", state, root, odd=["ignore=HUP"])
    try:
        before = pids_of(state)
        (supervisord,) = {int(line.split()[0]) for line in (state / "locks/service.lock").read_text().splitlines()}
        deliver(supervisord, signal.SIGHUP)
        run("sync", "--state-dir", state)
        assert pids_of(state) == before
    finally:
        run("down", "--state-dir", state)


def test_a_start_logs_nothing_critical(root: Path, state_dir: Path) -> None:
    """supervisord's log of a plain start has no CRIT line, nor a warning."""
    run("up", "--detach", "--state-dir", state_dir / "s", root)
    run("down", "--state-dir", state_dir / "s")
    log = (state_dir / "s/logs/supervisord.log").read_text()
    assert "spawned: 'aggregator'" in log
    before_its_end, _, _ = log.partition("WARN received SIGTERM indicating exit request")
    assert " CRIT " not in log
    assert " WARN " not in before_its_end and " ERRO " not in before_its_end


def test_a_signal_that_means_nothing_ends_nobody(root: Path, state_dir: Path) -> None:
    """`supervisorctl signal USR1 aggregator`, and each other signal that would end a process that does not know it."""
    state = state_dir / "s"
    run("up", "--detach", "--state-dir", state, root)
    try:
        before = pids_of(state)
        numbers = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO, signal.SIGPWR]
        numbers += [signal.SIGHUP, signal.SIGWINCH, signal.SIGURG, signal.SIGCONT, signal.SIGPIPE, signal.SIGRTMIN]
        for pid in before.values():
            for number in numbers:
                deliver(pid, number)
        supervisord = int((state / "run/supervisord.pid").read_text())
        for number in set(numbers) - {signal.SIGHUP}:  # that one asks it to load its configuration anew
            deliver(supervisord, number)
        run("sync", "--state-dir", state)
        found = eventually(lambda: healthy(state), what="all is well")
        assert {p["name"]: p["pid"] for p in found["processes"]} == before
        assert [p["deaths"] for p in found["processes"]] == [0, 0, 0]
    finally:
        run("down", "--state-dir", state)
