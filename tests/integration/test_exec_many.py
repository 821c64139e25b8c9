"""Ten thousand changes and a command that fails at random: each is processed or dead, and no file by two runs at once."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_process import command_of, environment, run
from running import GUARD_S, Running, running, settings_for
from waiting import eventually

pytestmark = pytest.mark.usefixtures("no_leaks")

FILES = 10_000
REWRITTEN = 1_000
#: A run fails always with one of these among its files.
BAD = frozenset(f"bad{number}.json" for number in range(3))
#: A file for each path of a run that goes on. No command but `rm` is begun, so a run costs a few milliseconds.
SCRIPT = """
locks=$1 done=$2 twice=$3
shift 3
set -C
said=
for path; do
    name=${path##*/}
    : > "$locks/$name" || echo "$name" >> "$twice"
    read -r version < "$path"
    said="$said$name $version
"
done
code=0
case $* in *bad*) code=3 ;; esac
number=${SHARDWATCH_RUN##*.}
[ $(((number * 7919 + SHARDWATCH_ATTEMPT * 3) % 5)) -ne 0 ] || code=1
[ $code -ne 0 ] || printf %s "$said" >> "$done"
for path; do set -- "$@" "$locks/${path##*/}"; shift; done
rm -- "$@"
exit $code
"""


@contextlib.contextmanager
def begun(*arguments: str | Path) -> Iterator[None]:
    """A command of ours that goes on, and whose many words nobody reads."""
    nowhere = subprocess.DEVNULL
    command = command_of(*arguments)
    with subprocess.Popen(command, env=environment(), stdin=nowhere, stdout=nowhere, stderr=nowhere) as process:
        try:
            yield
        finally:
            process.terminate()


def group(service: Running) -> dict[str, Any]:
    (found,) = service.client.groups()
    return dict(found)


def test_ten_thousand_changes_are_processed_or_set_aside(state_dir: Path, tmp_path: Path) -> None:
    """A fifth of the runs fails, and some files fail always. Files that change while they are run for come again."""
    root, locks, done, twice = (tmp_path / name for name in ("tree", "locks", "done", "twice"))
    for path in (root, locks):
        path.mkdir()
    done.touch()
    directories = [root / f"d{number}" for number in range(50)]
    for directory in directories:
        directory.mkdir()
    paths = [directories[number % 50] / f"f{number}.json" for number in range(FILES - len(BAD))]
    paths += [directories[0] / name for name in sorted(BAD)]
    # A lease that ends, because the machine stalled, would have runs killed, which leave what they lock.
    with running(state_dir, settings_for(root, shards=1, attempts_max=3, lease_ms=3_600_000)) as service:
        service.client.create("g")
        words: list[str | Path] = ["exec", "--group", "g", "--batch", "100", "--jobs", "4", "--state-dir", state_dir, "--"]
        with begun(*words, "sh", "-c", SCRIPT, "sh", locks, done, twice, "{}"):
            for path in paths:
                path.write_text("1\n")
            for path in random.Random(12).sample(paths, REWRITTEN):
                path.write_text("2\n")
            service.client.sync(GUARD_S, patience_s=GUARD_S)

            def ended() -> bool:
                found = group(service)
                return not (found["backlog"] or found["leased"] or found["retrying"])

            eventually(ended, 300, every_s=0.1)
            listed = run("dead", "list", "--json", "--group", "g", "--state-dir", state_dir).stdout
    aside = {Path(json.loads(line)["path"]).name for line in listed.splitlines()}
    processed = set(done.read_text().splitlines())
    left = {f"{path.name} {path.read_text().strip()}" for path in paths if path.name not in aside} - processed
    assert not left
    assert aside >= BAD
    assert not {line.split()[0] for line in processed} & BAD
    assert not twice.exists(), twice.read_text()
