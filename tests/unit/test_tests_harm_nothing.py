"""May the tests be run as root on somebody's machine? What their sources must not do, read from the sources.

A test that breaks a rule here would write, link to, signal or change something that it did not make. docs/testing.md says what to
use instead; `.ci/unharmed.py` looks at what was really done.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import guard
import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted([*ROOT.glob("tests/**/*.py"), *ROOT.glob("perf/*.py"), *ROOT.glob("supervisor/demo/*.py")])
#: The modules that do for all others what the rules forbid.
OURS = {"tests/guard.py", "tests/session.py"}
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm", "/run")
#: Programs that reach beyond a test, and the modules that undo what they did.
_REACHING = {
    "mount": {
        "tests/filesystems.py", "tests/disks.py", "tests/scene.py", "tests/conftest.py", "tests/unit/test_unharmed.py",
        "tests/integration/test_container.py",  # buildah's, of an image that the test has made
    },
    "umount": {
        "tests/fuse.py",
        "tests/filesystems.py", "tests/disks.py", "tests/scene.py", "tests/conftest.py", "tests/unit/test_unharmed.py",
        "tests/scenarios/test_mounts.py",
        "tests/integration/test_container.py",  # buildah's, as above
    },
    "git": {
        "tests/repository.py",
        "tests/integration/test_packaging.py",  # only `ls-files`
        "tests/integration/test_install.py",  # only `ls-files`
        "tests/unit/shard/contract/filter/test_filter.py",  # only `init` and `check-ignore`, in a folder of its own
        "perf/machine.py",  # only `status` and `rev-parse`
        "tests/corpus/record.py",  # in a folder and a home of its own
    },
    **{name: set() for name in ("pkill", "killall", "sysctl", "useradd", "userdel", "usermod", "crontab", "systemctl", "chattr")},
}  # fmt: skip
#: Who may name a sysctl, and why.
_SYSCTLS = {
    "tests/chaos/killer.py": "borrowed",
    "tests/integration/test_few_watches.py": "borrowed",
    "tests/watch_limit.py": "of a user namespace that ends with the test",
    "tests/integration/test_inherited.py": "of a user namespace that ends with the test",
    "tests/conftest.py": "asks whether it may be written",
    "tests/unit/test_unharmed.py": "reads",
    "tests/unit/shard/backend/test_fanotify_backend.py": "reads",
    "perf/test_start.py": "drop_caches, which is no setting",
}
#: Who may signal by number, and why.
_SIGNALS = {
    "tests/corpus/record.py": "its own child, not waited for yet",
    "tests/chaos/processes.py": "by a pidfd of a process that carries the run's mark",
    "tests/integration/test_demo.py": "the group of its own child, not waited for yet",
    "tests/integration/test_run_ends.py": "the group of its own child, not waited for yet",
}
#: Links to what is not a test's own: opened for reading by a test whose point is that they are refused, or that nobody looks into
#: what they lead to.
_LINKED = {"/dev/zero", "/dev/null", "/proc"}


def _name(node: ast.expr) -> str:
    """`os.kill` of the expression os.kill, `?.symlink_to` of anything's symlink_to."""
    if isinstance(node, ast.Attribute):
        return f"{node.value.id if isinstance(node.value, ast.Name) else '?'}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def _text(node: ast.AST | None) -> str:
    """A constant text, also of bytes, also inside Path(...); "" for anything else."""
    if isinstance(node, ast.Call) and _name(node.func) == "Path" and node.args:
        return _text(node.args[0])
    if isinstance(node, ast.JoinedStr) and node.values:
        return _text(node.values[0])
    value = node.value if isinstance(node, ast.Constant) else ""
    return value.decode(errors="replace") if isinstance(value, bytes) else value if isinstance(value, str) else ""


def _in(text: str, places: tuple[str, ...]) -> bool:
    return any(text == place or text.startswith(place + "/") for place in places)


def temporary_places(tree: ast.Module, file: str) -> Iterator[tuple[int, str]]:
    """Directories beside the run's folders: `session.place()`, `tmp_path` and `state_dir` are gone when the run is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            given = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "dir")]
            makes = _name(node.func).split(".")[-1] in {"mkdtemp", "TemporaryDirectory", "NamedTemporaryFile", "mkstemp"}
            if makes and any(_in(_text(value), _TEMPORARY) for value in given):
                yield node.lineno, "a temporary place that no run removes: session.place()"
            makes_directory = _name(node.func) in {"os.mkdir", "os.makedirs"}
            if makes_directory and _in(_text(node.args[0] if node.args else None), _TEMPORARY):
                yield node.lineno, "a temporary place that no run removes: session.place()"


def signals(tree: ast.Module, file: str) -> Iterator[tuple[int, str]]:
    """Signals by a number that may be another process's by now, or a group's: `session.deliver`."""
    calls = () if file in _SIGNALS else ast.walk(tree)
    for node in calls:
        if isinstance(node, ast.Call) and _name(node.func) in {"os.kill", "os.killpg", "signal.pidfd_send_signal"}:
            target = node.args[0]
            if not (isinstance(target, ast.Call) and _name(target.func) == "os.getpid"):
                yield node.lineno, "a signal by number: session.deliver"


def links(tree: ast.Module, file: str) -> Iterator[tuple[int, str]]:
    """Links to what the test did not make: another test, or a service run by root, may write through them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func).split(".")[-1] in {"symlink_to", "symlink", "hardlink_to", "link"}:
            for value in node.args:
                target = _text(value)
                if target.startswith("/") and target not in _LINKED:
                    yield node.lineno, f"a link to {target}, which the test did not make"


def sysctls(tree: ast.Module, file: str) -> Iterator[tuple[int, str]]:
    """Sysctls are lent by `guard.borrowed`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and _in(_text(node), ("/proc/sys",)) and file not in _SYSCTLS:
            yield node.lineno, "a sysctl: guard.borrowed, and a line in this test"


def programs(tree: ast.Module, file: str) -> Iterator[tuple[int, str]]:
    """Programs that change the machine, or the caller's own repository."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.List, ast.Tuple)) and node.elts:
            program = _text(node.elts[0])
            if file not in _REACHING.get(program, {file}) and len(node.elts) > 1:
                yield node.lineno, f"`{program}` reaches beyond a test"


RULES: list[Callable[[ast.Module, str], Iterator[tuple[int, str]]]] = [temporary_places, signals, links, sysctls, programs]


def test_no_test_harms_the_machine() -> None:
    """Every file of tests/ and perf/, and the demonstration. Each is parsed once: that takes longer than all rules."""
    found = []
    for path in FILES:
        file = str(path.relative_to(ROOT))
        if file not in OURS and path != Path(__file__):
            tree = ast.parse(path.read_text())
            found += [f"{file}:{line}: {what}" for rule in RULES for line, what in rule(tree, file)]
    assert found == []


@pytest.mark.parametrize(
    ("rule", "harm"),
    [
        (temporary_places, "import tempfile; tempfile.mkdtemp(prefix='x', dir='/tmp')"),
        (temporary_places, "import tempfile; from pathlib import Path; tempfile.TemporaryDirectory(dir=Path('/dev/shm/x'))"),
        (signals, "import os; os.kill(int(path.read_text()), 9)"),
        (signals, "import os; os.killpg(pid, 9)"),
        (links, "(at / 'f.json').symlink_to('/etc/passwd')"),
        (links, "import os; os.symlink(b'/etc/passwd', at)"),
        (links, "path.hardlink_to('/etc/shadow')"),
        (sysctls, "from pathlib import Path; Path('/proc/sys/fs/inotify/max_user_watches').write_text('5')"),
        (programs, "run(['sysctl', '-w', 'a=b'])"),
        (programs, "run(['git', 'stash', '-u'], cwd=at)"),
        (programs, "run(['mount', '--bind', a, b])"),
        (programs, "run(('pkill', '-f', 'shardwatch'))"),
    ],
)
def test_the_rules_bite(rule: Callable[[ast.Module, str], Iterator[tuple[int, str]]], harm: str) -> None:
    """The faults that were there, and their neighbours."""
    assert list(rule(ast.parse(harm), "tests/unit/test_other.py"))


def test_control_groups_go_with_their_run(tmp_path: Path) -> None:
    """Those that are noted and there; a line that was not written whole, and one that is gone, are passed over."""
    record, group = tmp_path / "x.run", tmp_path / "group"
    record.touch()
    guard.note(record, "cgroup", tmp_path / "gone")
    guard.note(record, "cgroup", group)
    with record.open("a") as file:
        file.write('["cgroup", "/half')
    group.mkdir()
    assert guard.remove_groups(record) == [str(group)]
    assert not group.exists() and guard.noted(record) == ([], [])
