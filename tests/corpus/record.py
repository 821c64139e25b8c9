"""Records tests/corpus/noise.jsonl: the file events of real editors, git and builds, beside writers of AST JSON.

Run by hand, not by tests: `python tests/corpus/record.py [OUT [SCENE..]]`. Needs what `TOOLS` names (Debian: vim nano
emacs-nox git nodejs npm gcc make), npm's and PyPI's registries, the project's .venv, and two minutes.

Every run is a scene in a project folder of its own. Events come from inotify, names only, directories left out. An
event is *relevant* iff its path is one that a writer of AST JSON meant as its output: the writers below note every such
path themselves, before any pattern is looked at. Everything else is noise, the writers' own temporary files included.

The first line of the file says which tools were used; then one line per scene, path and kind of event, with how often
it occurred: {"scene":…,"path":…,"event":"create|modify|close|delete|from|to","count":n,"relevant":bool}.
"""

from __future__ import annotations

import ast
import contextlib
import ctypes
import json
import os
import pty
import random
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

TOOLS = {
    "vim": ["vim", "--version"],
    "nano": ["nano", "--version"],
    "emacs": ["emacs", "--version"],
    "sed": ["sed", "--version"],
    "git": ["git", "--version"],
    "npm": ["npm", "--version"],
    "cc": ["cc", "--version"],
    "make": ["make", "--version"],
    "python": [sys.executable, "--version"],
}
#: Of one scene at most so many different (path, event) pairs of noise are kept, a fixed sample: the file stays small.
NOISE_LINES_MAX = 1200

PYPROJECT = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "demo"
version = "1"
[tool.setuptools.packages.find]
where = ["src"]
"""
MAKEFILE = """\
CFLAGS = -g -save-temps=obj -MMD
all: app
app: native/main.o {objects}
\tcc -o $@ $^
clean:
\trm -f native/*.[ois] native/*.d app
"""

_CREATE, _MODIFY, _CLOSE_WRITE, _DELETE, _FROM, _TO = 0x100, 0x2, 0x8, 0x200, 0x40, 0x80
_IS_DIRECTORY, _ONLY_DIRECTORY = 0x40000000, 0x01000000
_KINDS = {_CREATE: "create", _MODIFY: "modify", _CLOSE_WRITE: "close", _DELETE: "delete", _FROM: "from", _TO: "to"}
_libc = ctypes.CDLL(None, use_errno=True)


class Recorder:
    """Notes every event below a folder, in a thread, until stopped."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.seen: Counter[tuple[str, str]] = Counter()
        self._fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._paths: dict[int, Path] = {}
        self._add(root)
        self._stopping = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _add(self, directory: Path) -> None:
        """Watch, then list: what came into a new directory before the watch is noted as created."""
        wd = _libc.inotify_add_watch(self._fd, os.fsencode(directory), sum(_KINDS) | _ONLY_DIRECTORY)
        if wd < 0:
            return
        self._paths[wd] = directory
        with contextlib.suppress(OSError):
            for entry in os.scandir(directory):
                if entry.is_dir(follow_symlinks=False):
                    self._add(Path(entry.path))
                elif directory != self.root:
                    self.seen.setdefault((self._name(Path(entry.path)), "create"), 1)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _run(self) -> None:
        while True:
            readable, _, _ = select.select([self._fd], [], [], 0.2)
            if not readable:
                if self._stopping:
                    return
                continue
            data, at = os.read(self._fd, 1 << 20), 0
            while at < len(data):
                wd, mask, _cookie, length = struct.unpack_from("iIII", data, at)
                name = os.fsdecode(data[at + 16 : at + 16 + length].rstrip(b"\0"))
                at += 16 + length
                directory = self._paths.get(wd)
                if directory is None or not name:
                    continue
                if mask & _IS_DIRECTORY:
                    if mask & (_CREATE | _TO):
                        self._add(directory / name)
                    continue
                for bit, kind in _KINDS.items():
                    if mask & bit:
                        self.seen[self._name(directory / name), kind] += 1

    def stop(self) -> None:
        time.sleep(0.3)
        self._stopping = True
        self._thread.join()
        os.close(self._fd)


class Project:
    """A folder with sources of three languages, and writers that mirror them as AST JSON while a tool works."""

    def __init__(self, root: Path) -> None:
        self.root = root
        #: What the writers meant as their output. The label of every event comes from here.
        self.meant: set[str] = set()
        self.random = random.Random(5)
        for i in range(8):
            self.source(f"src/pkg/mod_{i}.py", f"VALUE = {i}\n\ndef f(x):\n    return x + VALUE\n")
            self.source(f"web/lib_{i}.ts", f"export const value{i}: number = {i};\n")
            self.source(f"native/unit_{i}.c", f"int value_{i}(void) {{ return {i}; }}\n")
        self.source("native/main.c", "int main(void) { return 0; }\n")

    def source(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def outputs(self) -> list[tuple[str, str]]:
        """(source, output): three layouts: beside the source, an `ast/` folder beside it, a mirrored tree."""
        found = [(f"src/pkg/mod_{i}.py", f"src/pkg/mod_{i}.ast.json") for i in range(8)]
        found += [(f"web/lib_{i}.ts", f"web/ast/lib_{i}.json") for i in range(8)]
        found += [(f"native/unit_{i}.c", f"asts/c/native/unit_{i}.c.ast.json") for i in range(8)]
        return found

    def write_ast(self, source: str, output: str, *, how: str) -> None:
        """Writes one output in one of the ways that writers have."""
        self.meant.add(output)
        path = self.root / output
        path.parent.mkdir(parents=True, exist_ok=True)
        text = (self.root / source).read_text()
        dumped = ast.dump(ast.parse(text)) if source.endswith(".py") else text
        content = json.dumps({"_type": "Module", "source": dumped, "n": self.random.random()})
        if how == "direct":
            path.write_text(content)
            return
        temporary = {
            "tmp": path.with_name(path.name + ".tmp"),
            "pid": path.with_name(f"{path.name}.{os.getpid()}.tmp"),
            "hidden": path.with_name(f".{path.name}.{self.random.randrange(10**6):06d}"),
            "mkstemp": path.with_name(f"tmp{self.random.randrange(16**8):08x}"),
        }[how]
        with temporary.open("w") as f:
            f.write(content)
            f.flush()
            os.fsync(f.fileno())
        temporary.replace(path)

    def write_all(self, rounds: int = 1) -> None:
        for _ in range(rounds):
            for source, output in self.outputs():
                self.write_ast(
                    source, output, how=self.random.choice(["direct", "direct", "tmp", "pid", "hidden", "mkstemp"])
                )
            gone = self.random.choice(self.outputs())[1]
            (self.root / gone).unlink(missing_ok=True)

    def run(self, *command: str, check: bool = True, **extra: str) -> None:
        env = {
            **os.environ,
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_AUTHOR_NAME": "a",
            "GIT_AUTHOR_EMAIL": "a@b",
            **extra,
        }
        env |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b", "PYTHONPYCACHEPREFIX": ""}
        subprocess.run(
            command, cwd=self.root, env=env, check=check, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )

    def typed(self, command: list[str], keys: list[bytes], *, wait_s: float = 0.5) -> None:
        """Runs a full-screen program on a terminal and types into it; killed if it does not end by itself."""
        pid, fd = pty.fork()
        if pid == 0:
            os.chdir(self.root)
            os.environ["TERM"] = "xterm"
            os.execvp(command[0], command)
        for key in [b"", *keys]:
            if key:
                os.write(fd, key)
            until = time.monotonic() + wait_s
            while (left := until - time.monotonic()) > 0:
                readable, _, _ = select.select([fd], [], [], left)
                if readable:
                    try:
                        os.read(fd, 65536)
                    except OSError:
                        break
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGHUP)
        os.waitpid(pid, 0)
        os.close(fd)


# --- scenes -----------------------------------------------------------------------------------------------------------


def vim(p: Project) -> None:
    for name in ("src/pkg/mod_0.py", "web/lib_1.ts", "src/pkg/mod_1.ast.json", "web/ast/lib_2.json"):
        p.typed(["vim", "-Nu", "NONE", name], [b"GoX = 1\x1b", b":w\r", b"ix\x1b", b":wq\r"])
        options = "set backup undofile swapfile writebackup"
        p.typed(["vim", "-Nu", "NONE", "-c", options, name], [b"Goy\x1b", b":w\r", b":wq\r"])
        p.typed(["vim", "-Nu", "NONE", "-c", "set backupcopy=no", name], [b"Goz\x1b", b":w\r", b":q\r"])
    p.typed(["vim", "-Nu", "NONE", "native/unit_1.c"], [b"Gounsaved\x1b"])  # hung up: the swap file stays


def nano(p: Project) -> None:
    for name in ("src/pkg/mod_2.py", "native/unit_2.c", "src/pkg/mod_3.ast.json"):
        p.typed(["nano", name], [b"typed ", b"\x0f", b"\r", b"\x18"])
        p.typed(["nano", "-B", "-G", name], [b"more ", b"\x0f", b"\r", b"\x18"])
    p.typed(["nano", "src/pkg/mod_4.ast.json"], [b"unsaved"])  # hung up: leaves a .save


def emacs(p: Project) -> None:
    edit = '(find-file "{}") (insert "; x\\n") (do-auto-save) (sit-for 0.1) (save-buffer) (kill-emacs)'
    lisp = f"(progn {edit})"
    for name in ("src/pkg/mod_5.py", "web/lib_5.ts", "src/pkg/mod_5.ast.json", "web/ast/lib_6.json"):
        p.typed(["emacs", "-nw", "-Q", "--eval", lisp.format(name)], [], wait_s=2.5)
        p.typed(
            [
                "emacs",
                "-nw",
                "-Q",
                "--eval",
                "(setq version-control t)",
                "--eval",
                lisp.format(name),
            ],
            [],
            wait_s=2.5,
        )
    p.typed(["emacs", "-nw", "-Q", "native/unit_5.c"], [b"unsaved"], wait_s=1.5)  # hung up: auto-save file


def sed(p: Project) -> None:
    for i in range(8):
        p.run("sed", "-i", "s/VALUE/TOTAL/g", f"src/pkg/mod_{i}.py")
        p.run("sed", "-i.bak", "s/value/total/g", f"web/lib_{i}.ts")
        p.run("sed", "-i", "s/Module/module/", f"asts/c/native/unit_{i}.c.ast.json", check=False)
        p.run("perl", "-pi.orig", "-e", "s/int/long/", f"native/unit_{i}.c")


def git(p: Project) -> None:
    p.run("git", "init", "-q", "-b", "main")
    p.run("git", "add", "-A")
    p.run("git", "commit", "-qm", "one")
    p.run("git", "checkout", "-qb", "topic")
    for i in range(4):
        p.source(f"src/pkg/mod_{i}.py", f"VALUE = {i * 10}\n")
        p.source(f"src/new_{i}/mod.py", "")
        p.write_all()
        p.run("git", "add", "-A")
        p.run("git", "commit", "-qm", f"topic {i}")
    for branch in ("main", "topic", "main", "topic"):
        p.run("git", "checkout", "-q", branch)
    p.source("src/pkg/mod_7.py", "VALUE = 'stashed'\n")
    p.run("git", "stash", "-q")
    p.run("git", "stash", "pop", "-q")
    p.run("git", "commit", "-qam", "stashed")
    p.run("git", "checkout", "-q", "main")
    p.run("git", "merge", "-q", "--no-ff", "-m", "merge", "topic")
    p.run("git", "tag", "v1")
    p.run("git", "checkout", "-q", "HEAD~1")
    p.run("git", "rebase", "-q", "topic", check=False)
    p.run("git", "checkout", "-q", "main")
    p.run("git", "gc", "-q", "--prune=now")
    p.run("git", "fsck", check=False)


def git_clone(p: Project) -> None:
    """Another repository, without AST JSON, cloned into the tree."""
    with tempfile.TemporaryDirectory() as elsewhere:
        other = Path(elsewhere, "other")
        shutil.copytree(p.root, other, ignore=shutil.ignore_patterns("*.json", ".git"))
        at = Project.__new__(Project)
        at.root = other
        at.run("git", "init", "-q")
        at.run("git", "add", "-A")
        at.run("git", "commit", "-qm", "one")
        p.run("git", "clone", "-q", "--no-hardlinks", str(other), "third_party/other")
        p.run("git", "-C", "third_party/other", "pull", "-q", check=False)


def npm(p: Project) -> None:
    p.source("package.json", json.dumps({"name": "demo", "version": "1.0.0", "private": True}))
    p.run("npm", "install", "--no-audit", "--no-fund", "is-odd", "left-pad", "typescript@5")
    p.source(
        "tsconfig.json",
        json.dumps(
            {
                "compilerOptions": {"outDir": "dist", "incremental": True, "declaration": True, "sourceMap": True},
                "include": ["web/*.ts"],
            }
        ),
    )
    p.run("node_modules/.bin/tsc", "-p", ".", check=False)
    p.source("web/lib_0.ts", "export const value0: number = 100;\n")
    p.run("node_modules/.bin/tsc", "-p", ".", check=False)
    p.run("npm", "install", "--no-audit", "--no-fund", "ms")
    p.run("npm", "uninstall", "--no-audit", "--no-fund", "left-pad")
    p.run("npm", "pack", "--silent")


def python(p: Project) -> None:
    p.source("src/pkg/__init__.py", "")
    p.source("pyproject.toml", PYPROJECT)
    p.source("tests/test_demo.py", "from pkg import mod_0\n\ndef test_it():\n    assert mod_0.f(1) == 1\n")
    p.run(sys.executable, "-m", "compileall", "-q", "src")
    tools = Path(sys.executable).parent
    p.run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "dist", ".")
    p.run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", check=False)
    p.run(sys.executable, "-m", "pytest", "-q", "tests", check=False, PYTHONPATH="src")
    p.run(str(tools / "mypy"), "src/pkg", check=False)
    p.run(str(tools / "ruff"), "check", "src", check=False)
    p.run(str(tools / "coverage"), "run", "-m", "pkg.mod_0", check=False, PYTHONPATH="src")
    p.run(str(tools / "coverage"), "json", "-q", check=False)
    p.run(str(tools / "coverage"), "html", "-q", check=False)
    p.run(sys.executable, "-m", "venv", ".venv")
    p.run(".venv/bin/python", "-m", "pip", "install", "-q", "six", "jsonschema")


def c(p: Project) -> None:
    p.source("Makefile", MAKEFILE.format(objects=" ".join(f"native/unit_{i}.o" for i in range(8))))
    p.run("make", "-j2")
    p.source("native/unit_3.c", "int value_3(void) { return 33; }\n")
    p.run("make")
    p.run("make", "clean")
    p.run("cc", "-E", "-o", "native/main.i", "native/main.c")
    p.run("make")


SCENES: dict[str, Callable[[Project], None]] = {
    f.__name__: f for f in (vim, nano, emacs, sed, git, git_clone, npm, python, c)
}


def record(scene: Callable[[Project], None]) -> list[dict[str, object]]:
    """Plays one scene in a fresh project, AST JSON being written before, during and after it; gives labelled lines."""
    with tempfile.TemporaryDirectory(prefix="corpus-") as home:
        root = Path(home, "project")
        root.mkdir()
        project = Project(root)
        recorder = Recorder(root)
        project.write_all()
        stopping = threading.Event()

        def background() -> None:
            while not stopping.wait(0.7):
                source, output = project.random.choice(project.outputs())
                with contextlib.suppress(OSError, SyntaxError, UnicodeDecodeError):
                    project.write_ast(source, output, how=project.random.choice(["direct", "tmp", "hidden"]))

        writer = threading.Thread(target=background)
        writer.start()
        try:
            scene(project)
        finally:
            stopping.set()
            writer.join()
        with contextlib.suppress(SyntaxError):
            project.write_all()
        recorder.stop()
        lines: list[dict[str, object]] = [
            {"scene": scene.__name__, "path": path, "event": event, "count": count, "relevant": path in project.meant}
            for (path, event), count in sorted(recorder.seen.items())
        ]
    noise = [line for line in lines if not line["relevant"]]
    if len(noise) > NOISE_LINES_MAX:
        noise = random.Random(5).sample(noise, NOISE_LINES_MAX)
    kept = [line for line in lines if line["relevant"]] + noise
    return sorted(kept, key=lambda line: (str(line["path"]), str(line["event"])))


def versions() -> dict[str, str]:
    found = {}
    for name, command in TOOLS.items():
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found[name] = output.splitlines()[0].strip()
    return found


def main() -> None:
    """Records every scene (or those named after OUT) and writes the file whole."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("noise.jsonl")
    lines: list[dict[str, object]] = [{"recorded_with": versions()}]
    for name in sys.argv[2:] or SCENES:
        began = time.monotonic()
        found = record(SCENES[name])
        relevant = sum(1 for line in found if line["relevant"])
        print(
            f"{name}: {relevant} relevant, {len(found) - relevant} noise, {time.monotonic() - began:.0f} s", flush=True
        )
        lines += found
    out.write_text("".join(json.dumps(line, ensure_ascii=True, separators=(",", ":")) + "\n" for line in lines))


if __name__ == "__main__":
    main()
