"""The command line as a user meets it: real processes, their lines read with a deadline, their schema applied."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from jsonschema import Draft202012Validator

from shardwatch.shard.compiled.choice import NATIVE_VARIABLE

ROOT = Path(__file__).parents[1]
SCHEMA = json.loads((ROOT / "supervisor/schema/events.schema.json").read_text())
COMMANDS_SCHEMA = json.loads((ROOT / "supervisor/schema/commands.schema.json").read_text())
EXPLAIN_SCHEMA = json.loads((ROOT / "supervisor/schema/explain.schema.json").read_text())
#: Hang guard of everything here, seconds: a machine that stalls for a while is no failure.
GUARD_S = 60.0
#: Emptied in the environment of a process, these leave it out of the measuring of coverage: by `.ci/run`, or by hand.
UNMEASURED = dict.fromkeys(("COVERAGE_LINES_TO", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"), "")


def environment(**more: str) -> dict[str, str]:
    """The test's environment, without options of ours, and with this checkout importable from everywhere."""
    # Two underscores: internal to the configuration. The leak check of conftest.py finds processes by such a name.
    ours = ("SHARDWATCH__", NATIVE_VARIABLE)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SHARDWATCH_") or k.startswith(ours)}
    return {**kept, "PYTHONPATH": str(ROOT / "src"), **more}


def command_of(*arguments: str | bytes | Path, odd: Sequence[str] = ()) -> list[str | bytes | Path]:
    """The command line of a command of ours; `odd`: what its parent left it (tests/odd_start.py)."""
    command = [sys.executable, "-P", "-m", "shardwatch.supervisor.cli.main", *arguments]
    return [sys.executable, "-I", ROOT / "tests/odd_start.py", *odd, "--", *command] if odd else command


def run(
    *arguments: str | bytes | Path, check: bool = True, odd: Sequence[str] = (), **more: Any
) -> subprocess.CompletedProcess[str]:
    """One command to its end. With `check`, exit code 0 is demanded."""
    environ = environment(**more.pop("environ", {}))
    done = subprocess.run(
        command_of(*arguments, odd=odd),
        capture_output=True, text=True, timeout=GUARD_S, env=environ, check=False, **more,
    )  # fmt: skip
    assert not check or done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    if "--json" in arguments and done.stdout:
        check_output([os.fsdecode(argument) for argument in arguments], done.stdout)
    return done


def check_output(arguments: Sequence[str], output: str) -> None:
    """What a command printed with `--json` is valid under its schema, if it has one in commands.schema.json."""
    pair = "-".join(arguments[:2])
    name = {"root-add": "reload", "root-remove": "reload"}.get(pair, pair if pair in COMMANDS_SCHEMA["$defs"] else arguments[0])
    if pair in ("dead-retry", "dead-drop"):  # the same as without --json
        return
    if name in ("dead", "find", "since"):
        for line in map(json.loads, output.splitlines()):
            if line["type"] in (name, "file", "cursor"):
                check_command(name, line)
    elif name in COMMANDS_SCHEMA["$defs"]:
        check_command(name, json.loads(output))


def check_command(name: str, printed: object) -> None:
    """An object that a command printed, under the schema of its name."""
    Draft202012Validator({**COMMANDS_SCHEMA, "$ref": f"#/$defs/{name}"}).validate(printed)


def lines_of(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """The JSON lines that a command printed, each checked against the schema."""
    return [checked(json.loads(line)) for line in done.stdout.splitlines()]


def checked(line: dict[str, Any]) -> dict[str, Any]:
    """The line, valid under the schema of format 1."""
    Draft202012Validator(SCHEMA).validate(line)
    return line


def checked_explanation(found: dict[str, Any]) -> dict[str, Any]:
    """What `explain` found, valid under its schema."""
    Draft202012Validator(EXPLAIN_SCHEMA).validate(found)
    return found


def put(path: Path, text: str) -> None:
    """Writes a file in one step. `Path.write_text` makes it first and fills it then: who is held up in between is told of twice,
    and of an empty file first. The name that it has for a moment is one that the default profile leaves out."""
    beside = path.with_name(f"{path.name}.part")
    beside.write_text(text)
    beside.rename(path)


class Command:
    """A command that runs on, its standard output and error read without blocking."""

    def __init__(
        self,
        *arguments: str | bytes | Path,
        stdout: int = subprocess.PIPE,
        odd: Sequence[str] = (),
        command: Sequence[str | bytes | Path] = (),
        **environ: str,
    ) -> None:
        """`command`: a whole command line in place of `arguments`, which ends in one of ours."""
        self.process = subprocess.Popen(
            command or command_of(*arguments, odd=odd), stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
            env=environment(**environ),
        )  # fmt: skip
        self._buffer = b""
        self._errors = b""

    def __enter__(self) -> Command:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None and not stream.closed:
                stream.close()

    def line(self, timeout_s: float = GUARD_S) -> bytes:
        """The next line of standard output, without its newline. Fails at its end and after `timeout_s`."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"no line within {timeout_s} s"
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, f"output ended, exit code {self.process.wait(GUARD_S)}: {self.errors()}"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def json(self, timeout_s: float = GUARD_S) -> dict[str, Any]:
        """The next line, valid under the schema."""
        return checked(json.loads(self.line(timeout_s)))

    def event(self) -> dict[str, Any]:
        """The next line that is an event. Status lines may stand before it: on a machine that is busy a program may be silent."""
        return self.until(lambda line: line["type"] != "status")[-1]

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Lines up to and with the first that is wanted."""
        found = [self.json()]
        while not wanted(found[-1]):
            found.append(self.json())
        return found

    def ready(self) -> dict[str, Any]:
        """The ready line; only status lines may stand before it."""
        before = self.until(lambda line: line["type"] != "status")
        assert before[-1]["type"] == "ready", before
        return before[-1]

    def silent(self, seconds: float) -> bool:
        """Whether no line comes for so long."""
        assert self.process.stdout is not None
        return b"\n" not in self._buffer and not select.select([self.process.stdout], [], [], seconds)[0]

    def end(self, signum: signal.Signals | None = None, timeout_s: float = GUARD_S) -> int:
        """Sends a signal, if one is given, and returns the exit code; fails after `timeout_s`."""
        if signum is not None:
            self.process.send_signal(signum)
        return self.process.wait(timeout_s)

    def complains(self, words: str) -> str:
        """Waits until standard error has these words, and returns it up to then. Fails at its end, and after GUARD_S."""
        assert self.process.stderr is not None
        deadline = time.monotonic() + GUARD_S
        while words not in self._errors.decode():
            ready, _, _ = select.select([self.process.stderr], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{words!r} is not said within {GUARD_S} s: {self._errors!r}"
            data = os.read(self.process.stderr.fileno(), 65536)
            assert data, f"{words!r} was never said: {self._errors!r}"
            self._errors += data
        return self._errors.decode()

    def errors(self) -> str:
        """All of standard error, once the process has ended."""
        assert self.process.stderr is not None
        return (self._errors + self.process.stderr.read()).decode()
