"""Does the check of `.ci/run` that tests changed nothing on the machine bite?"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import session
from waiting import next_tick

ROOT = Path(__file__).parents[2]


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("unharmed", ROOT / ".ci/unharmed.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


unharmed = _load()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small machine of files: an /etc with a passwd and a link, and a sysctl."""
    etc, sysctls = tmp_path / "etc", tmp_path / "sys"
    for directory in (etc, etc / "d", sysctls):
        directory.mkdir()
    (etc / "passwd").write_text("root:x:0:0::/root:/bin/bash\n")
    (etc / "link").symlink_to("passwd")
    (sysctls / "max_user_watches").write_text("100")
    monkeypatch.setattr(unharmed, "FOLDERS", (str(etc),))
    monkeypatch.setattr(unharmed, "SYSCTLS", (str(sysctls),))
    monkeypatch.setattr(unharmed, "TEMPORARY", (str(tmp_path),))
    monkeypatch.setattr(unharmed, "_GRACE_S", 0.0)
    # Other runs of tests may be at work on the real machine meanwhile.
    monkeypatch.setattr(unharmed, "PARTS", (unharmed.sysctls, unharmed.leftovers))
    return tmp_path


def _same_size_and_time(path: Path) -> None:
    before = path.stat()
    path.write_text(path.read_text().replace("bash", "dash"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _chmod_and_back(path: Path) -> None:
    path.chmod(0o600)
    path.chmod(0o644)


HARM: dict[str, Callable[[Path], object]] = {
    "changed: ROOT/etc/passwd": lambda root: (root / "etc/link").write_text("through the link"),
    "changed: ROOT/etc/passwd:": lambda root: _same_size_and_time(root / "etc/passwd"),
    "changed: ROOT/etc/passwd: ": lambda root: _chmod_and_back(root / "etc/passwd"),
    "new: ROOT/etc/d/new": lambda root: (root / "etc/d/new").touch(),
    "gone: ROOT/etc/passwd": lambda root: (root / "etc/passwd").unlink(),
    "changed: ROOT/etc/d": lambda root: ((root / "etc/d/f").touch(), (root / "etc/d/f").unlink()),
    "changed: ROOT/etc/link": lambda root: ((root / "etc/link").unlink(), (root / "etc/link").symlink_to("d")),
    "changed: ROOT/sys/max_user_watches: 100 | 50": lambda root: (root / "sys/max_user_watches").write_text("50"),
    "new: ROOT/sw-left: there": lambda root: (root / "sw-left").mkdir(),
}


@pytest.mark.parametrize("line", HARM)
def test_every_harm_is_named(machine: Path, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A write through a link, one that keeps size and time, modes put back, links elsewhere, sysctls, what is left."""
    note = str(machine / "note")
    assert unharmed.main(["take", note]) == 0
    assert unharmed.main(["compare", note]) == 0
    assert capsys.readouterr().out == ""
    next_tick()  # what keeps type and size is known by its times
    HARM[line](machine)
    assert unharmed.main(["compare", note]) == 1
    assert line.strip().replace("ROOT", str(machine)) in capsys.readouterr().out


def test_a_process_that_is_left_is_named(
    machine: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that carries a run's mark, whatever it is called."""
    monkeypatch.setattr(unharmed, "PARTS", (unharmed.processes,))
    note = str(machine / "note")
    unharmed.main(["take", note])
    with subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], stdin=-1, stdout=-1) as left:
        assert left.stdout is not None and left.stdin is not None
        left.stdout.readline()
        assert unharmed.main(["compare", note]) == 1
        assert f"new: process {left.pid}: " in capsys.readouterr().out
        left.stdin.close()


@pytest.mark.root
def test_a_mount_that_is_left_is_named(
    machine: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its mount point."""
    monkeypatch.setattr(unharmed, "PARTS", (unharmed.mounts,))
    note, at = str(machine / "note"), session.place()
    unharmed.main(["take", note])
    subprocess.run(["mount", "-t", "tmpfs", "sw-test", at], check=True)
    try:
        assert unharmed.main(["compare", note]) == 1
    finally:
        subprocess.run(["umount", "--lazy", at], check=True)
    assert f"new: mount {at}" in capsys.readouterr().out


def test_the_machine_itself_can_be_looked_at(tmp_path: Path) -> None:
    """The real sysctls, mounts, devices and processes: two looks without anything in between are equal, save for others' work."""
    first, second = (dict(part) for part in (unharmed.sysctls(), unharmed.sysctls()))
    assert first == second
    assert "/proc/sys/fs/inotify/max_user_watches" in first
    assert any(what.startswith("mount / ") for what, _ in unharmed.mounts())


def test_ci_looks_at_the_machine() -> None:
    """Before the tests and after everything."""
    steps = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line.startswith("step ")]
    names = [line.split()[1] for line in steps]
    assert names.index("before") < names.index("tests") < names.index("fresh") < names.index("unharmed") == len(names) - 1
