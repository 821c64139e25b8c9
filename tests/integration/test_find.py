"""`shardwatch find` and `shardwatch.find`: what a running service knows, asked for by name, size and time."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_process import run as cli
from running import Running, running, settings_for

from shardwatch import find
from shardwatch.shard.contract.errors import NotRunningError

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def service(tree: Path, state_dir: Path) -> Iterator[Running]:
    """A ready service in two shards, with a file of a name that is not UTF-8."""
    Path(os.fsdecode(os.fsencode(tree) + b"/pkg/odd\xff.json")).write_text("{}")
    with running(state_dir, settings_for(tree, shards=2)) as service:
        service.client.ready(60)
        yield service


def _found(service: Running, *arguments: str) -> list[dict[str, Any]]:
    done = cli("find", *arguments, "--json", "--state-dir", service.layout.state_dir)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_find_answers_with_what_the_service_watches(service: Running, tree: Path) -> None:
    """By pattern as for --include; as text, as JSON and for xargs; and the same in Python."""
    state_dir = service.layout.state_dir
    deep = {str(tree / "pkg/deep/er" / name) for name in ("c.ast.json", "d.ast.json")}
    assert set(cli("find", "/pkg/deep/**", "--state-dir", state_dir).stdout.splitlines()) == deep
    assert {found.path for found in find(state_dir, "/pkg/deep/**")} == deep
    assert {found["path"] for found in _found(service, "[cd].*", "!d.*")} == {str(tree / "pkg/deep/er/c.ast.json")}
    assert len(_found(service)) == 7  # a.py is not watched
    odd = os.fsencode(tree) + b"/pkg/odd\xff.json"
    assert cli("find", "odd*", "-0", "--state-dir", state_dir, errors="surrogateescape").stdout == os.fsdecode(odd) + "\0"
    (found,) = find(state_dir, "odd*")
    assert Path(found.path).read_text() == "{}"
    (line,) = _found(service, "odd*")
    stat = os.lstat(odd)
    assert line == {
        "type": "file", "path": odd.decode(errors="replace"), "path_b64": line["path_b64"], "size": 2,
        "mtime_ns": stat.st_mtime_ns, "tick": found.tick, "observed_at": found.observed_at,
    }  # fmt: skip
    assert (found.size, found.mtime_ns) == (2, stat.st_mtime_ns)
    refused = cli("find", f"{tree}/pkg/*", "--state-dir", state_dir, check=False)
    assert "it is an absolute path, and patterns are relative to a root (write /pkg/*)" in refused.stderr


def test_find_goes_by_size_and_by_time_of_modification(service: Running, tree: Path) -> None:
    """Both together, over the index as a sync has left it."""
    (tree / "large.json").write_text("x" * 10_001)
    (tree / "old.json").write_text("x" * 10_001)
    long_ago = time.time() - 3 * 86_400
    os.utime(tree / "old.json", (long_ago, long_ago))
    service.client.sync()
    large = {str(tree / name) for name in ("large.json", "old.json")}
    assert {found["path"] for found in _found(service, "--larger", "10k")} == large
    assert {found["path"] for found in _found(service, "--larger", "10k", "--changed-within", "2d")} == {str(tree / "large.json")}
    assert _found(service, "--larger", "10001") == []
    (tree / "large.json").unlink()
    service.client.sync()
    assert {found["path"] for found in _found(service, "--larger", "10k", "--changed-within", "1w")} == {str(tree / "old.json")}


def test_the_example_of_the_manual_finds_what_is_large_and_new(service: Running, tree: Path) -> None:
    """docs/api.md, as it is printed there."""
    text = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    (example,) = (block for part in text.split("```python\n")[1:] if "import find\n" in (block := part.split("```")[0]))
    names: dict[str, Any] = {}
    exec(example, names)
    (tree / "large.json").write_bytes(bytes(1_000_001))
    service.client.sync()
    assert names["large_and_new"](service.layout.state_dir) == [str(tree / "large.json")]


def test_find_where_no_service_runs_says_so(tmp_path: Path) -> None:
    """Exit code 3, one line; the same error in Python."""
    done = cli("find", "--state-dir", tmp_path / "none", check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("shardwatch: error: no service runs in ")
    with pytest.raises(NotRunningError):
        find(tmp_path / "none")
