"""What does `shardwatch exec` cost for each file, against `xargs -P` over the same list with the same command?

The command is `echo`: next to nothing, so that what is around it shows. Both begin as many side by side as there are processors,
one for each file. In each round one follows the other, so that what else the machine does meets both. They are timed from the
first line that comes to the last, so the start of neither counts.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from book import Book
from sides import Service
from sizes import Sizes
from trees import Forest

JOBS = os.cpu_count() or 1
_READ_BYTES = 1 << 16


@dataclass(frozen=True)
class Lines:
    """What a program wrote."""

    seconds: float
    lines: frozenset[bytes]
    written: int


def read(process: subprocess.Popen[bytes], count: int) -> Lines:
    """So many lines of its output, from the first to the last."""
    assert process.stdout is not None
    output, first, last = bytearray(), 0.0, 0.0
    while output.count(b"\n") < count and (data := os.read(process.stdout.fileno(), _READ_BYTES)):
        last = time.monotonic()
        first = first or last
        output += data
    lines = bytes(output).splitlines()
    return Lines(last - first, frozenset(lines), len(lines))


@pytest.mark.row("exec")
def test_exec(page: Book, forest: Forest, sizes: Sizes, tmp_path: Path) -> None:
    """A group that begins with every file, against the list of these files."""
    tree = forest.tree(sizes.files // 100)
    names = tmp_path / "names"
    names.write_bytes(b"\0".join(tree.paths))
    wanted = frozenset(tree.paths)
    with Service(tree.root, consumer=False) as product:
        page.settings(files=tree.files, jobs=JOBS, command="echo", tree=tree.root, state=product.state_dir)
        numbers = iter(range(1_000))

        def by_xargs() -> Lines:
            with names.open("rb") as list_of_names:
                command = ["xargs", "-0", "-n", "1", "-P", str(JOBS), "echo"]
                with subprocess.Popen(command, stdin=list_of_names, stdout=subprocess.PIPE) as process:
                    return read(process, tree.files)

        def by_exec() -> Lines:
            group = f"exec{next(numbers)}"
            command = [sys.executable, "-P", "-m", "shardwatch.supervisor.cli.main", "exec", "--group", group, "--initial"]
            command += ["--jobs", str(JOBS), "--state-dir", str(product.state_dir), "--", "echo", "{}"]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
                found = read(process, tree.files)
                process.send_signal(signal.SIGTERM)
            product.client.drop(group)
            return found

        def measure() -> dict[str, float]:
            begun = sum(os.times()[2:4])  # of both and of their commands, which have ended
            xargs = by_xargs()
            before, between = product.usage(), sum(os.times()[2:4])
            ours = by_exec()
            cpu_s = product.usage().since(before).cpu_s + sum(os.times()[2:4]) - between
            wrong = len(wanted ^ ours.lines) + len(wanted ^ xargs.lines) + abs(ours.written - tree.files)
            each_ms, xargs_ms = (found.seconds * 1000 / tree.files for found in (ours, xargs))
            return {
                "exec_s": ours.seconds, "each_ms": each_ms, "xargs_ms": xargs_ms, "factor": each_ms / xargs_ms, "wrong": wrong,
                "cpu_s": cpu_s, "xargs_cpu_s": between - begun,
            }  # fmt: skip

        page.rounds(measure, 2 * sizes.rounds - 1, headline="exec_s")
